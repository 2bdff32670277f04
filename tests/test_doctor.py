"""What the doctor finds in a sound environment, and in sick ones."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from transferscope import doctor
from transferscope.doctor import Check, diagnose


def found(name: str) -> Check:
    return next(check for check in diagnose() if check.name == name)


def test_this_environment_is_sound() -> None:
    sick = [check for check in diagnose() if not check.ok]
    assert sick == []
    assert all(check.found for check in diagnose())


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "timm":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(doctor, "version", version)
    assert found("timm") == Check("timm", False, "not installed", "pip install timm")


def test_builds_that_do_not_belong_together_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = importlib.import_module

    def broken(name: str, package: str | None = None) -> object:
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
        return sound(name, package)

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    check = found("torchvision")
    assert not check.ok
    assert "operator torchvision::nms does not exist" in check.found
    assert "reinstall them together" in check.remedy
    assert found("timm").ok


def test_an_operator_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.ops

    monkeypatch.setattr(torchvision.ops, "nms", lambda *boxes: importlib.import_module("torch").tensor([0, 1]))
    check = found("torchvision operators")
    assert not check.ok
    assert "kept [0, 1], expected [0]" in check.found


def test_an_unwritable_cache_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("TRANSFERSCOPE_CACHE", str(tmp_path / "taken"))
    check = found("cache")
    assert not check.ok
    assert "TRANSFERSCOPE_CACHE" in check.remedy


def test_a_nearly_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "FREE_GIGABYTES", 1e9)
    check = found("cache")
    assert not check.ok
    assert check.remedy.startswith("free 1e+09 GB")
