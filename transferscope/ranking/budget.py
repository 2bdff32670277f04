"""What a ranking may spend: seconds, samples or floating-point operations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ..errors import TransferScopeError

Unit = Literal["seconds", "samples", "flops"]
_TIMES = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18}
_EXAMPLES = "10m, 90s, 1h30m, 5000 samples, 2e15 flops or 3 PFLOP"


@dataclass
class Budget:
    """An amount of one unit, and what was spent of it.

    Attributes
    ----------
    unit : {"seconds", "samples", "flops"}
    amount, spent : float
        Seconds are those of computing features; samples and FLOPs those that were not in the cache.
    """

    unit: Unit
    amount: float
    spent: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read such as ``10m``, ``1h30m``, ``5000 samples``, ``2e15 flops`` or ``3 PFLOP``.

        Raises
        ------
        TransferScopeError
            If it is none of these, or not above zero.
        """
        plain = text.strip().lower()
        found: Budget | None = None
        if match := re.fullmatch(r"([\d.]+(?:e[+-]?\d+)?)\s*samples?", plain):
            found = cls("samples", _number(match[1]))
        elif match := re.fullmatch(r"([\d.]+(?:e[+-]?\d+)?)\s*([kmgtpe]?)flops?", plain):
            found = cls("flops", _number(match[1]) * _SIZES[match[2]])
        elif re.fullmatch(r"(?:[\d.]+\s*(?:sec|min|s|m|h|d)\s*)+", plain):
            parts = re.findall(r"([\d.]+)\s*(sec|min|s|m|h|d)", plain)
            found = cls("seconds", sum(_number(value) * _TIMES[unit] for value, unit in parts))
        if found is None or not 0 < found.amount < float("inf"):
            raise TransferScopeError(f"budget {text!r}; expected an amount above zero such as {_EXAMPLES}.")
        return found

    def spend(self, *, seconds: float, samples: int, flops: float) -> None:
        """Count what one source took."""
        self.spent += {"seconds": seconds, "samples": float(samples), "flops": flops}[self.unit]

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left."""
        return self.spent >= self.amount


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
