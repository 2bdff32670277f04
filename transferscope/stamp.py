"""`Stamp`: where, when and with what a result was made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Stamp:
    """Where, when and with what a result was made."""

    created: str  # UTC, ISO 8601
    command: str  # the command line or the library call
    seed: int
    device: str
    seconds: Mapping[str, float]  # wall time by phase
    versions: Mapping[str, str]  # python, transferscope, torch, timm, transformers, numpy ...


MADE_BY = ("transferscope", "torch", "torchaudio", "timm", "transformers")  # whose version can change a feature


def version_differences(made: Iterable[Mapping[str, str]]) -> str:
    """Packages of which several versions had a part, such as ``torch 2.11.0 and 2.14.1``; empty where none had."""
    seen: dict[str, dict[str, None]] = {}
    for versions in made:
        for name in MADE_BY:
            if name in versions:
                seen.setdefault(name, {})[versions[name]] = None
    return ", ".join(f"{name} {' and '.join(sorted(found))}" for name, found in seen.items() if len(found) > 1)


def make_stamp(command: str, *, seed: int, device: str, seconds: Mapping[str, float]) -> Stamp:
    """Collect versions and the time of day."""
    import platform
    from datetime import UTC, datetime
    from importlib.metadata import version

    packages = (
        "transferscope",
        "torch",
        "torchaudio",
        "timm",
        "transformers",
        "numpy",
        "scipy",
        "scikit-learn",
    )
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return Stamp(created, command, seed, device, {k: round(v, 3) for k, v in seconds.items()}, versions)
