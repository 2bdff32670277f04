"""Scorers: label-aware scores of features, one file each; ``from transferscope.scorers import logme`` and the like."""

from __future__ import annotations

from typing import Any

from ..callable_room import prefer_functions
from .registry import SCORERS

prefer_functions(__name__)


def __getattr__(name: str) -> Any:
    if name.startswith("_") or name not in SCORERS:
        raise AttributeError(f"transferscope.scorers has no scorer {name!r}; it has {', '.join(SCORERS)}")
    return SCORERS[name].fn


def __dir__() -> list[str]:
    return [*SCORERS, "SCORERS"]
