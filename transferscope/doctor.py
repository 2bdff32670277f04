"""Is this environment sound, and if not, what to install?"""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from .storage import cache_dir

NEEDED = {  # import name: distribution
    "torch": "torch", "torchvision": "torchvision", "torchaudio": "torchaudio", "timm": "timm",
    "transformers": "transformers", "safetensors": "safetensors", "soundfile": "soundfile", "sklearn": "scikit-learn",
    "scipy": "scipy", "matplotlib": "matplotlib", "jinja2": "jinja2", "pydantic": "pydantic",
}  # fmt: skip
FREE_GIGABYTES = 2.0  # the demo's packages and features take about one


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes
    ----------
    remedy : str
        What to do; empty where `ok`.
    """

    name: str
    ok: bool
    found: str
    remedy: str = ""


def diagnose() -> list[Check]:
    """Look at everything a run needs; nothing is changed."""
    checks = [_python(), *(_package(module, name) for module, name in NEEDED.items())]
    return [*checks, _check("torchvision operators", _operators), _device(), _cache()]


def _python() -> Check:
    ok = sys.version_info >= (3, 11)
    return Check("python", ok, sys.version.split()[0], "" if ok else "install Python 3.11 or newer")


def _package(module: str, distribution: str) -> Check:
    try:
        found = version(distribution)
    except PackageNotFoundError:
        return Check(distribution, False, "not installed", f"pip install {distribution}")
    try:
        importlib.import_module(module)
    except Exception as error:  # a broken build raises anything: what it says is the finding
        return Check(distribution, False, f"{found}, import fails: {error}", _rebuild(distribution))
    return Check(distribution, True, found)


def _rebuild(distribution: str) -> str:
    """A CPU-only torch beside a torchvision built for another torch is the usual cause."""
    if distribution in ("torchvision", "torchaudio", "timm", "transformers"):
        return (
            "torch, torchvision and torchaudio must be builds of one kind; reinstall them together: "
            "pip install --force-reinstall torch torchvision torchaudio"
        )
    return f"pip install --force-reinstall {distribution}"


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except Exception as error:  # as above
        return Check(name, False, str(error), _rebuild("torchvision"))


def _operators() -> str:
    """The call that fails when torch and torchvision do not belong together."""
    import torch
    from torchvision.ops import nms

    kept = nms(torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0, 0.5]), 0.5)
    if kept.tolist() != [0]:
        raise RuntimeError(f"torchvision's nms kept {kept.tolist()}, expected [0]")
    return "nms works"


def _device() -> Check:
    try:
        from .features.extract import pick_device

        device = pick_device()
    except Exception as error:
        return Check("device", False, str(error), "pip install torch")
    return Check("device", True, device)


def _cache() -> Check:
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as probe:
            probe.write(b"probe")
    except OSError as error:
        remedy = "make it writable, or point TRANSFERSCOPE_CACHE to another folder"
        return Check("cache", False, f"{folder}: {error.strerror}", remedy)
    free = shutil.disk_usage(folder).free / 1e9
    ok = free > FREE_GIGABYTES
    return Check("cache", ok, f"{folder}, {free:.0f} GB free", "" if ok else f"free {FREE_GIGABYTES:g} GB there")
