"""``python -m transferscope`` is the command line."""

from .cli import main

main()
