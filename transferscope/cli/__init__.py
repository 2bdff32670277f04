"""The command line: parse, call the library, show progress. Nothing is computed here."""

from __future__ import annotations

import sys

INTERRUPTED = 130  # exit code of a process that Ctrl-C ended


def main() -> None:
    """Run the command line; a person's mistake is one clear line and exit code 2, never a traceback."""
    from ..errors import TransferScopeError
    from .app import app

    try:
        app()
    except TransferScopeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as left:
        if left.code == INTERRUPTED:  # typer catches Ctrl-C itself and says nothing
            print("interrupted; the same command goes on where this one stopped.", file=sys.stderr)
        raise


__all__ = ["main"]
