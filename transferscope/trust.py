"""What a ranking says of how far it can be trusted: frozen records of `transferscope.results.Ranking`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

BEST_SET = 0.9  # probability with which the best set holds the best source; also the level of rank intervals


@dataclass(frozen=True)
class Standing:
    """Where one source stands among the ranked ones (controls are not among them)."""

    source: str
    value: float | None  # of what orders, higher is better; None: it could not be scored
    standard_error: float | None
    places: tuple[int, int]  # rank interval at level `BEST_SET`; 1 is the best
    p_best: float  # probability that it is the best of those ranked
    in_best_set: bool  # the smallest set that holds the best with probability `BEST_SET`
    regret: float | None  # expected loss, in units of `rank_by`, of taking it instead of the best
    predicted: float | None = None  # accuracy after training, from the history; None: too little history
    predicted_low: float | None = None  # conformal interval at level `BEST_SET`
    predicted_high: float | None = None


@dataclass(frozen=True)
class Separation:
    """What would tell two tied sources apart."""

    first: str
    second: str
    gain: float  # of the first, by `rank_by`
    standard_error: float
    n_samples: int  # that were scored
    n_needed: int | None  # labelled samples for a difference of this size to stand out; None: more than is sensible
    n_test: int | None = None  # test samples with which training both would tell them apart
    seconds: float | None = None  # that training both is estimated to take on this machine


@dataclass(frozen=True)
class Fusion:
    """How scorers and the prior are weighed into the consensus, and what that is worth on the history."""

    weights: Mapping[str, float]  # by scorer, and "history" for the prior; they sum to 1
    left_out: Mapping[str, str]  # scorers that have no part, and why: saturated, no value for every source ...
    n_targets: int  # of the history that the weights were learned from; 0: equal weights
    validation: Mapping[str, float]  # mean weighted Kendall tau by order on targets left out; empty without history


@dataclass(frozen=True)
class Control:
    """An order that needs no features: what it puts first, and what measuring added over it."""

    name: str  # "n_parameters", "flops", "source_accuracy", "history", "raw", "twin"
    first: str  # the source, or control, that it would take
    lift: float | None  # of the ranking's first over that one, by `rank_by`; above 0 measuring helped
    standard_error: float | None
    tau: float | None  # weighted Kendall tau of the control's order with the ranking's; None: it has no order


@dataclass(frozen=True)
class Check:
    """Something about the data, the features or the scores that a reader must know before the numbers."""

    name: str  # "saturated scores", "duplicates across classes" ...
    level: Literal["veto", "caution"]  # veto: the order means nothing until this is mended
    text: str  # one sentence or two: what was found, what it does, what to do
    sources: tuple[str, ...] = ()  # that it is about; none: the target itself
