"""`Stamp`: where, when and with what a result was made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from os import PathLike
from typing import Any


@dataclass(frozen=True)
class Stamp:
    """Where, when and with what a result was made."""

    created: str  # UTC, ISO 8601
    command: str  # the command line or the library call
    seed: int
    device: str
    seconds: Mapping[str, float]  # wall time by phase
    versions: Mapping[str, str]  # python, transferscope, torch, timm, transformers, numpy ...
    call: str | None = None  # the same in Python, with what differs from the defaults


@dataclass
class Watch:
    """Wall time by phase, each measured from the end of the one before."""

    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def lap(self, phase: str) -> None:
        """`phase` ends here."""
        now = time.perf_counter()
        self.seconds[phase], self._since = now - self._since, now


UNTOLD = ("cache", "command", "progress", "store")  # of a call
_PLAIN = str | int | float | bool | None
MADE_BY = ("transferscope", "torch", "torchaudio", "timm", "transformers")  # whose version can change a feature


def version_differences(made: Iterable[Mapping[str, str]]) -> str:
    """Packages of which several versions had a part, such as ``torch 2.11.0 and 2.14.1``; empty where none had."""
    seen: dict[str, dict[str, None]] = {}
    for versions in made:
        for name in MADE_BY:
            if name in versions:
                seen.setdefault(name, {})[versions[name]] = None
    return ", ".join(f"{name} {' and '.join(sorted(found))}" for name, found in seen.items() if len(found) > 1)


def call_of(function: Callable[..., Any], given: Mapping[str, Any]) -> str:
    """A call of a public function as one would write it, with the arguments that differ from the defaults.

    What has no literal stands as its type in angle brackets; where results and caches are kept is left out, as a
    database's address may hold a password.
    """
    from inspect import Parameter, signature

    said = []
    for name, parameter in signature(function).parameters.items():
        value, default = given[name], parameter.default
        if name in UNTOLD or value is default or (isinstance(value, _PLAIN) and value == default):
            continue
        is_keyword = parameter.kind is Parameter.KEYWORD_ONLY
        said.append(f"{name}={_literal(value)}" if is_keyword else _literal(value))
    return f"ts.{function.__name__}({', '.join(said)})"


def _literal(value: Any) -> str:
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_literal(key)}: {_literal(one)}' for key, one in value.items())}}}"
    kind = type(value).__name__
    if isinstance(value, PathLike):
        return repr(str(value))
    if hasattr(value, "stamp") or hasattr(value, "samples"):
        return kind.lower()  # a result or a target, known by the name of a variable
    if is_dataclass(value):
        found = [(one, getattr(value, one.name)) for one in fields(value) if one.init and one.repr]
        said = [f"{one.name}={_literal(given)}" for one, given in found if given != one.default]
        return f"{kind}({', '.join(said)})"
    return f"<{kind}>"


def make_stamp(
    command: str, *, seed: int, device: str, seconds: Mapping[str, float], call: str | None = None
) -> Stamp:
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
    return Stamp(created, command, seed, device, {k: round(v, 3) for k, v in seconds.items()}, versions, call)
