"""Where files live, and how they are written so that a reader never sees half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .errors import CacheError


def cache_dir() -> Path:
    """``$TRANSFERSCOPE_CACHE``, or ``transferscope`` in the user's cache folder."""
    if named := os.environ.get("TRANSFERSCOPE_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "transferscope"


def write_atomically(path: Path, content: bytes) -> Path:
    """Write to a temporary name beside `path`, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def write_cache(path: Path, content: bytes) -> Path:
    """`write_atomically` into the cache; a full disk or a folder without write permission is a clear error."""
    try:
        return write_atomically(path, content)
    except OSError as error:
        raise CacheError(
            f"the cache folder {path.parent} cannot be written ({error.strerror or error}); free some space there "
            "or point TRANSFERSCOPE_CACHE to another folder."
        ) from None
