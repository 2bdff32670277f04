"""Files are replaced whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from transferscope.errors import CacheError
from transferscope.storage import cache_dir, replacing, write_atomically, write_cache


def test_cache_folder_is_the_named_one_then_xdg_then_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRANSFERSCOPE_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "own"
    monkeypatch.delenv("TRANSFERSCOPE_CACHE")
    assert cache_dir() == tmp_path / "xdg" / "transferscope"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path.home() / ".cache" / "transferscope"


def test_new_content_takes_the_place_of_the_old(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    for content in (b"old", b"new"):
        assert write_atomically(path, content).read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    stop: BaseException | type[BaseException], tmp_path: Path
) -> None:
    path = write_atomically(tmp_path / "file", b"old")

    def write() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half of the ne")
            raise stop

    with pytest.raises((KeyboardInterrupt, OSError)):
        write()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CacheError, match=r"cannot be written \(No space left on device\); free some space"):
        write_cache(tmp_path / "features" / "block", b"x")


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(CacheError, match=r"the cache folder .*taken.* cannot be written .*TRANSFERSCOPE_CACHE"):
        write_cache(tmp_path / "taken" / "block", b"x")
