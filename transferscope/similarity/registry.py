"""What the rest of the package may know of a measure without calling it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from ..registry import Registry

Fn = TypeVar("Fn", bound=Callable[..., float])


@dataclass(frozen=True)
class MeasureSpec:
    """A registered measure.

    Attributes
    ----------
    kind : {"similarity", "discrepancy"}
        Of two representations of the same rows, or of two samples of any rows in the same features.
    higher_is_closer : bool
    range, cost, reference : str
    misleads : str
        When not to believe it.
    needs_labels : bool
        Called with (source, source_labels, target, target_labels) instead of the two arrays alone.
    """

    name: str
    fn: Callable[..., float]
    kind: Literal["similarity", "discrepancy"]
    higher_is_closer: bool
    range: str
    cost: str
    reference: str
    misleads: str = ""
    needs_labels: bool = False


MEASURES: Registry[MeasureSpec] = Registry("measure", "transferscope.similarity")


def register_measure(
    name: str,
    *,
    kind: Literal["similarity", "discrepancy"],
    higher_is_closer: bool,
    range: str,
    cost: str,
    reference: str,
    misleads: str = "",
    needs_labels: bool = False,
) -> Callable[[Fn], Fn]:
    """Enter the decorated function under `name`; see `MeasureSpec`."""

    def enter(fn: Fn) -> Fn:
        spec = MeasureSpec(name, fn, kind, higher_is_closer, range, cost, reference, misleads, needs_labels)
        MEASURES.add(name, spec)
        return fn

    return enter
