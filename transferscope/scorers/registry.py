"""What the rest of the package may know of a scorer without calling it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from ..features.arrays import Task
from ..features.moments import Moments
from ..registry import Registry

Fn = TypeVar("Fn", bound=Callable[..., float])
Caveats = Callable[[Moments], Sequence[str]]


def _none(moments: Moments) -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class ScorerSpec:
    """A registered scorer.

    Attributes
    ----------
    fn : callable
        ``fn(features, labels, ...)`` or, where `needs` says so, ``fn(source_probs, labels, ...)``. It is given what
        it takes of ``task=``, ``seed=`` and ``moments=`` (one pass and one eigendecomposition, shared).
    needs : {"features", "source_probs"}
    tasks : tuple of {"classification", "multilabel", "regression"}
    range, cost : str
        For people: the values it can take; its cost in N samples, D features, K classes.
    is_accuracy : bool
        For classes, the value is a share of right answers, so that its standard error is binomial.
    comparable_across_widths : bool
        Whether sources of different feature widths may be compared by it.
    misleads : str
        When not to believe it.
    reference : str
        The paper.
    caveats : callable
        ``caveats(moments)``: sentences on what makes its value doubtful for these very features and labels.
    """

    name: str
    fn: Callable[..., float]
    needs: Literal["features", "source_probs"]
    tasks: tuple[Task, ...]
    higher_is_better: bool
    range: str
    cost: str
    is_accuracy: bool
    comparable_across_widths: bool
    misleads: str
    reference: str
    caveats: Caveats = _none

    def options(self, offered: Mapping[str, Any]) -> dict[str, Any]:
        """Those of `offered` that the function takes."""
        taken = inspect.signature(self.fn).parameters
        return {name: value for name, value in offered.items() if name in taken}


SCORERS: Registry[ScorerSpec] = Registry("scorer", "transferscope.scorers")


def register_scorer(
    name: str,
    *,
    needs: Literal["features", "source_probs"] = "features",
    tasks: tuple[Task, ...] = ("classification",),
    higher_is_better: bool = True,
    range: str,
    cost: str,
    is_accuracy: bool = False,
    comparable_across_widths: bool,
    misleads: str,
    reference: str,
    caveats: Caveats = _none,
) -> Callable[[Fn], Fn]:
    """Enter the decorated function under `name`; see `ScorerSpec`."""

    def enter(fn: Fn) -> Fn:
        spec = ScorerSpec(
            name, fn, needs, tasks, higher_is_better, range, cost, is_accuracy, comparable_across_widths, misleads,
            reference, caveats,
        )  # fmt: skip
        SCORERS.add(name, spec)
        return fn

    return enter
