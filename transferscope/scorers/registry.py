"""What the rest of the package may know of a scorer without calling it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from ..features.arrays import Task
from ..registry import Registry

Fn = TypeVar("Fn", bound=Callable[..., float])


@dataclass(frozen=True)
class ScorerSpec:
    """A registered scorer.

    Attributes
    ----------
    fn : callable
        ``fn(features, labels, ...)`` or, where `needs` says so, ``fn(source_probs, labels, ...)``.
    needs : {"features", "moments", "source_probs"}
        "moments" takes features too, and ``moments=`` to share one pass and one eigendecomposition.
    tasks : tuple of {"classification", "multilabel", "regression"}
    range, cost : str
        For people: the values it can take; its cost in N samples, D features, K classes.
    is_accuracy : bool
        The value is a share of right answers, so that its standard error is binomial.
    comparable_across_widths : bool
        Whether sources of different feature widths may be compared by it.
    misleads : str
        When not to believe it.
    reference : str
        The paper.
    """

    name: str
    fn: Callable[..., float]
    needs: Literal["features", "moments", "source_probs"]
    tasks: tuple[Task, ...]
    higher_is_better: bool
    range: str
    cost: str
    is_accuracy: bool
    comparable_across_widths: bool
    misleads: str
    reference: str


SCORERS: Registry[ScorerSpec] = Registry("scorer", "transferscope.scorers")


def register_scorer(
    name: str,
    *,
    needs: Literal["features", "moments", "source_probs"],
    tasks: tuple[Task, ...] = ("classification",),
    higher_is_better: bool = True,
    range: str,
    cost: str,
    is_accuracy: bool = False,
    comparable_across_widths: bool,
    misleads: str,
    reference: str,
) -> Callable[[Fn], Fn]:
    """Enter the decorated function under `name`; see `ScorerSpec`."""

    def enter(fn: Fn) -> Fn:
        facts: dict[str, Any] = {
            "needs": needs, "tasks": tasks, "higher_is_better": higher_is_better, "range": range, "cost": cost,
            "is_accuracy": is_accuracy, "comparable_across_widths": comparable_across_widths,
            "misleads": misleads, "reference": reference,
        }  # fmt: skip
        SCORERS.add(name, ScorerSpec(name, fn, **facts))
        return fn

    return enter
