"""The command line: parse, call the library, show progress. Nothing is computed here."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; a person's mistake is one clear line and exit code 2, never a traceback."""
    from ..errors import TransferScopeError
    from .app import app

    try:
        app()
    except TransferScopeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped.", file=sys.stderr)
        sys.exit(130)


__all__ = ["main"]
