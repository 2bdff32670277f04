"""What the rest of the package may know of a scorer without calling it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from ..features.arrays import Array, Task
from ..features.moments import Moments
from ..registry import Registry
from .jackknife import Blocks

Fn = TypeVar("Fn", bound=Callable[..., float])
Need = Literal["features", "labels", "source_probs", "source_logits", "label_embeddings", "reference_features"]
Caveats = Callable[[Moments], Sequence[str]]
Saturated = Callable[[Moments, float], str | None]
LeftOut = Callable[[Blocks], Array]
PerSample = Callable[..., Array | None]
NEEDS: tuple[Need, ...] = get_args(Need)


def _no_caveats(moments: Moments) -> Sequence[str]:
    return ()


def _never(moments: Moments, value: float) -> str | None:
    return None


@dataclass(frozen=True)
class ScorerSpec:
    """A registered scorer.

    Attributes
    ----------
    fn : callable
        Called with the arrays that `needs` names, in that order, and with what it takes of ``task=``, ``seed=`` and
        ``moments=`` (one pass and one eigendecomposition, shared).
    needs : tuple of names
        Of "features", "labels", "source_probs", "source_logits", "label_embeddings", "reference_features".
    tasks : tuple of {"classification", "multilabel", "regression"}
    range, cost : str
        For people: the values it can take; its cost in N samples, D features, K classes.
    is_accuracy : bool
        For classes, the value is a share of right answers, so that its standard error is counted over samples.
    comparable_across_widths : bool
        Whether sources of different feature widths may be compared by it.
    meaning : str
        One sentence for those who do not know the field; empty: the first one of the function's own docstring.
    misleads : str
        When not to believe it.
    reference : str
        The paper.
    caveats : callable
        ``caveats(moments)``: sentences on what makes its value doubtful for these very features and labels.
    saturated : callable
        ``saturated(moments, value)``: a sentence if the value is at a bound whatever the labels (or would be for every
        source alike), so that it must not rank; None otherwise.
    per_sample : callable, optional
        Called as `fn` is: what each sample adds, where the value is the mean of that; None where it is not.
    left_out : callable, optional
        ``left_out(blocks)``: the value without each block of samples, for less than the cost of computing it anew.
    """

    name: str
    fn: Callable[..., float]
    needs: tuple[Need, ...]
    tasks: tuple[Task, ...]
    higher_is_better: bool
    range: str
    cost: str
    is_accuracy: bool
    comparable_across_widths: bool
    misleads: str
    reference: str
    caveats: Caveats = _no_caveats
    saturated: Saturated = _never
    per_sample: PerSample | None = None
    left_out: LeftOut | None = None
    meaning: str = ""

    def options(self, offered: Mapping[str, Any]) -> dict[str, Any]:
        """Those of `offered` that the function takes."""
        taken = inspect.signature(self.fn).parameters
        return {name: value for name, value in offered.items() if name in taken}


def _first_sentence(fn: Callable[..., float]) -> str:
    return " ".join((inspect.getdoc(fn) or "").partition("\n\n")[0].split())


SCORERS: Registry[ScorerSpec] = Registry("scorer", "transferscope.scorers")


def register_scorer(
    name: str,
    *,
    needs: tuple[Need, ...] = ("features", "labels"),
    tasks: tuple[Task, ...] = ("classification",),
    higher_is_better: bool = True,
    range: str,
    cost: str,
    is_accuracy: bool = False,
    comparable_across_widths: bool,
    misleads: str,
    reference: str,
    caveats: Caveats = _no_caveats,
    saturated: Saturated = _never,
    per_sample: PerSample | None = None,
    left_out: LeftOut | None = None,
    meaning: str = "",
) -> Callable[[Fn], Fn]:
    """Enter the decorated function under `name`; see `ScorerSpec`."""

    def enter(fn: Fn) -> Fn:
        spec = ScorerSpec(
            name, fn, needs, tasks, higher_is_better, range, cost, is_accuracy, comparable_across_widths, misleads,
            reference, caveats, saturated, per_sample, left_out, meaning or _first_sentence(fn),
        )  # fmt: skip
        SCORERS.add(name, spec)
        return fn

    return enter
