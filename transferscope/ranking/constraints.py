"""What a source must be to be ranked, and which sources are worth their cost."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ..errors import TransferScopeError
from ..results import SourceCard
from ..spending import Cost

PERMISSIVE = ("mit", "bsd-*", "apache-2.0", "isc", "unlicense", "cc0-1.0", "cc-by-4.0", "0bsd", "zlib")
UNKNOWN = "unknown"
_SIZES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9}
_TIMES = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True)
class Constraints:
    """Limits; None and an empty tuple are no limit.

    Attributes
    ----------
    max_params : float or None
    max_latency : float or None
        Seconds for one sample alone, forward pass only, on this machine.
    licenses : tuple of str
        SPDX names, lower case, that are allowed; ``*`` stands for any letters, "unknown" for none stated.
    """

    max_params: float | None = None
    max_latency: float | None = None
    licenses: tuple[str, ...] = ()

    @classmethod
    def parse(
        cls, *, max_params: str | None = None, max_latency: str | None = None, licenses: Sequence[str] = ()
    ) -> Constraints:
        """From words such as ``25M``, ``20ms`` and ``apache-2.0``; "permissive" is each of `PERMISSIVE`.

        Raises
        ------
        TransferScopeError
            If a word cannot be read.
        """
        allowed = [name for text in licenses for name in (PERMISSIVE if text.lower() == "permissive" else (text,))]
        return cls(
            None if max_params is None else _amount(max_params, _SIZES, "max-params", "25M or 1.5B"),
            None if max_latency is None else _amount(max_latency, _TIMES, "max-latency", "20ms or 0.5s"),
            tuple(dict.fromkeys(name.lower() for name in allowed)),
        )


def _amount(text: str, units: Mapping[str, float], option: str, example: str) -> float:
    match = re.fullmatch(r"([\d.]+(?:e\d+)?)\s*([a-zµ]*)", text.strip().lower())
    unit = match[2].replace("µ", "u") if match else "?"
    try:
        value = float(match[1]) * units[unit] if match else 0.0
    except (ValueError, KeyError):
        value = 0.0
    if value <= 0:
        raise TransferScopeError(f"--{option} {text!r}; expected an amount such as {example}.")
    return value


def refusal(found: SourceCard | Cost, constraints: Constraints) -> str | None:
    """Why a source may not be ranked, in one sentence; None if it may.

    Of a card only size and licence are known; of a `Cost` the latency too.
    """
    most = constraints.max_params
    if most is not None and found.n_parameters > most:
        return f"it has {found.n_parameters:,} parameters; at most {most:,.0f} are allowed"
    if constraints.licenses and not _allowed(found.license, constraints.licenses):
        names = ", ".join(constraints.licenses)
        stated = f"its licence is {found.license!r}" if found.license else "it states no licence"
        hint = "" if found.license else f"; allow that with the licence {UNKNOWN!r}"
        return f"{stated}; allowed are {names}{hint}"
    if isinstance(found, Cost) and constraints.max_latency is not None:
        if found.latency is None:
            return "its latency could not be measured, and a limit is set"
        if found.latency > constraints.max_latency:
            return (
                f"one sample takes it {1000 * found.latency:.3g} ms on {found.device}; at most "
                f"{1000 * constraints.max_latency:.3g} ms are allowed"
            )
    return None


def _allowed(license: str | None, allowed: Sequence[str]) -> bool:
    name = (license or UNKNOWN).lower().partition(" (")[0]  # what stands in brackets is whose it is
    return any(fnmatchcase(name, pattern) for pattern in allowed)


def pareto(values: Mapping[str, float], costs: Mapping[str, float]) -> tuple[str, ...]:
    """Sources that no other one equals or beats in both, cheapest first; equals in both all stay.

    Parameters
    ----------
    values : mapping of source to value, higher is better
    costs : mapping of source to cost, lower is better
    """
    known = [name for name in values if name in costs]

    def beaten(name: str) -> bool:
        return any(
            values[other] >= values[name]
            and costs[other] <= costs[name]
            and (values[other], -costs[other]) != (values[name], -costs[name])
            for other in known
        )

    return tuple(sorted((name for name in known if not beaten(name)), key=lambda name: (costs[name], name)))
