"""Where files live, and how they are written so that a reader never sees half of one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import CacheError


def cache_dir() -> Path:
    """``$TRANSFERSCOPE_CACHE``, or ``transferscope`` in the user's cache folder."""
    if named := os.environ.get("TRANSFERSCOPE_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "transferscope"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file beside `path` to write to; it takes the place of `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> Path:
    """Write so that a reader sees the old file or the new one, never half of it."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def writable(path: Path) -> bool:
    """Whether `path` could be written, so far as can be told without writing: asked before hours of work."""
    if path.is_dir():
        return False
    above = next(folder for folder in path.absolute().parents if folder.exists())
    return above.is_dir() and os.access(above, os.W_OK | os.X_OK)


@contextmanager
def cache_errors(folder: Path) -> Iterator[None]:
    """A full disk or a folder without write permission is a clear error."""
    try:
        yield
    except OSError as error:
        raise CacheError(
            f"the cache folder {folder} cannot be written ({error.strerror or error}); free some space there "
            "or point TRANSFERSCOPE_CACHE to another folder."
        ) from None


def write_cache(path: Path, content: bytes) -> Path:
    """`write_atomically` into the cache."""
    with cache_errors(path.parent):
        return write_atomically(path, content)
