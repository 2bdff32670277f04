"""Freeze or fine-tune, and why: frozen records of `transferscope.results.Advised`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


def signed(share: float) -> str:
    """Points with their sign, the minus as long as the plus."""
    return f"{100 * share:+.1f}".replace("-", "−")


@dataclass(frozen=True)
class CurvePoint:
    """Accuracy on left-out rows after training on `n` of the others, in closed form."""

    n: int
    frozen: float  # ridge on features of the best layer
    frozen_error: float
    tuned: float  # ridge on gradients of the last blocks: what moving the weights reaches to first order
    tuned_error: float


@dataclass(frozen=True)
class Signals:
    """What was measured of one source on one target, before any training."""

    n_train: int
    n_classes: int
    curve: tuple[CurvePoint, ...]
    last_layer: float  # accuracy of the last layer's features at the last point: where a new head would begin
    tangent_error: float  # standard error of `tuned` over `frozen` at the last point, on the same rows
    depth: float  # of the best layer: 0 the first, 1 the last
    twin_gap: float | None  # score of the source over its random twin's
    distance: float | None  # of target and source data, where the latter were given
    seconds: float

    def __post_init__(self) -> None:
        if not self.curve:
            raise ValueError("the curve has no point; expected at least one")

    @property
    def tangent_gain(self) -> float:
        """Of the tangent kernel over the best layer's features, at the last point."""
        return self.curve[-1].tuned - self.curve[-1].frozen


@dataclass(frozen=True)
class Advice:
    """How to transfer one source to the target."""

    source: str
    layer: str  # of the frozen features
    way: str  # "frozen", or the strategy to train with
    sure: bool  # whether the interval lies on one side; if not, training both ways tells more than this
    gain: float  # expected test accuracy of the best fine-tuning over frozen features
    gain_low: float  # 90 % prediction interval
    gain_high: float
    gains: Mapping[str, float]  # by strategy
    break_even: int | None  # training samples from which on fine-tuning is expected ahead; None: not within sight
    extrapolated: tuple[tuple[int, float, float, float], ...]  # samples, frozen accuracy and its 90 % interval
    reasons: tuple[str, ...]
    signals: Signals

    def __post_init__(self) -> None:
        if not self.extrapolated:
            raise ValueError("nothing is extrapolated; expected at least the samples at hand")
