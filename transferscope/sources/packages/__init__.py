"""Models whose weights a package on the package index ships. One family a file; each registers its recipes."""
