"""How well orders of sources agree with measured accuracy: frozen records of `transferscope.results.Evaluation`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A value with its bootstrap interval; `value` None where it is not defined, and `note` says why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str | None = None


@dataclass(frozen=True)
class Agreement:
    """How well one scorer's order agrees with measured accuracy on one target."""

    target: str
    strategy: str
    scorer: str  # a scorer, or a control such as "n_parameters"
    n_sources: int
    weighted_kendall: Estimate
    kendall: Estimate
    spearman: Estimate
    pearson: Estimate
    regret_at_1: Estimate  # accuracy points lost by taking the first


@dataclass(frozen=True)
class OrderScore:
    """What one order of the sources is worth."""

    order: str  # a scorer or a control
    is_control: bool
    target: str | None  # None: the mean over targets
    n: int  # sources of the target, or targets of the mean
    # weighted_kendall, kendall, spearman, pearson; regret_at_K, rel_at_K, best_in_top_K, top_1_among_K_best
    measures: Mapping[str, Estimate]


@dataclass(frozen=True)
class Comparison:
    """Two orders on the same targets and sources."""

    first: str
    second: str
    measure: str
    difference: Estimate  # of the first minus the second
    first_better: float | None  # share of the draws in which the first is the better
