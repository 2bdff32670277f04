"""How the tables of the history came to be, a file a version; `env` runs them."""
