"""Scorers: label-aware scores of features, one file each; ``from transferscope.scorers import logme`` and the like."""

from __future__ import annotations

from inspect import isfunction
from typing import Any

from ..callable_room import prefer_functions
from .registry import SCORERS

prefer_functions(__name__)


def __getattr__(name: str) -> Any:
    if not name.startswith("_") and name in SCORERS:
        return SCORERS[name].fn
    if isfunction(globals().get(name)):  # `ncti` gives the parts of three scorers; the look-up has imported its file
        return globals()[name]
    raise AttributeError(f"transferscope.scorers has no scorer {name!r}; it has {', '.join(SCORERS)}")


def __dir__() -> list[str]:
    return [*SCORERS, "SCORERS"]
