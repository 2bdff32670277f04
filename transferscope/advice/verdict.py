"""From signals to advice: what fine-tuning is expected to add, with an interval, and where it breaks even.

The gains are a regression on the confirmed runs of `reports/advice`, made by ``python reports/advice/fit.py``, which
also says how often the advice was right on targets that it was not fitted to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from ..advices import Advice, CurvePoint, Signals, signed
from ..choices import NOISE
from .curve import Curve, extrapolate

Array = NDArray[np.float64]
NAMES = ("constant", "tangent gain", "last layer behind", "headroom", "labels per class")
WORTH = 0.01  # of accuracy: a smaller gain does not pay for training
FARTHEST = 20  # times the samples at hand: further no curve is believed


@dataclass(frozen=True)
class Calibration:
    """What was learned from confirmed runs.

    Attributes
    ----------
    weights : mapping of strategy to sequence of float
        Of `NAMES`, for its gain over the probe.
    error : float
        Root mean square of the best strategy's gain about its prediction, on targets left out.
    n_cells, n_targets : int
    """

    weights: Mapping[str, tuple[float, ...]]
    error: float
    n_cells: int
    n_targets: int


@cache
def calibration() -> Calibration:
    """The one that is shipped."""
    told = json.loads(files(__package__).joinpath("calibration.json").read_text())
    return Calibration(**{**told, "weights": {way: tuple(found) for way, found in told["weights"].items()}})


def inputs(signals: Signals) -> Array:
    """`NAMES` of one source and target."""
    return _inputs(signals, signals.curve[-1], signals.n_train)


def _inputs(signals: Signals, point: CurvePoint, n_train: float) -> Array:
    behind = signals.curve[-1].frozen - signals.last_layer
    labels = np.log2(max(n_train / signals.n_classes, 1.0)) / 5  # 32 a class is 1
    return np.array([1.0, point.tuned - point.frozen, behind, 1 - point.frozen, labels])


def decide(
    source: str, layer: str, signals: Signals, curves: tuple[Curve, Curve], *, seed: int = 0,
    known: Calibration | None = None,
) -> Advice:  # fmt: skip
    """Freeze or fine-tune, how, and why.

    Parameters
    ----------
    source, layer : str
    signals : Signals
    curves : tuple of Curve
        Of frozen features and of the tangent kernel.
    seed : int, default=0
        Of the extrapolation's draws.
    known : Calibration, optional
        By default the one that is shipped.
    """
    known = known or calibration()
    found = {way: float(np.array(weights) @ inputs(signals)) for way, weights in known.weights.items()}
    best = max(found, key=lambda way: found[way])
    gain, half = found[best], NOISE * known.error
    way = best if gain > WORTH else "frozen"
    sure = gain - half > WORTH if way != "frozen" else gain + half < WORTH
    sizes = signals.n_train * np.array([1, 2, 4, 10])
    frozen = extrapolate(curves[0], sizes, seed=seed)
    bands = np.quantile(frozen[1:], [0.05, 0.95], axis=0)
    advice = Advice(
        source, layer, way, sure, gain, gain - half, gain + half, found,
        _break_even(signals, curves, np.array(known.weights[best]), seed),
        tuple(
            (int(n), float(told), float(low), float(high))
            for n, told, low, high in zip(sizes, frozen[0], *bands, strict=True)
        ),
        (), signals,
    )  # fmt: skip
    return replace(advice, reasons=_reasons(advice, best, known))


def _break_even(signals: Signals, curves: tuple[Curve, Curve], weights: Array, seed: int) -> int | None:
    """The fewest samples from which on the gain is worth having, where both curves go on as power laws."""
    sizes = np.unique(np.geomspace(signals.curve[0].n, FARTHEST * signals.n_train, 200).round())
    frozen, tuned = (extrapolate(curve, sizes, seed=seed)[0] for curve in curves)
    gains = [
        weights @ _inputs(signals, CurvePoint(int(n), one, 0.0, other, 0.0), n)
        for n, one, other in zip(sizes, frozen, tuned, strict=True)
    ]
    below = np.flatnonzero(np.array(gains) <= WORTH)
    first = below[-1] + 1 if len(below) else 0
    return int(sizes[first]) if first < len(sizes) else None


def _reasons(advice: Advice, best: str, known: Calibration) -> tuple[str, ...]:
    """The advice in numbers."""
    signals, point = advice.signals, advice.signals.curve[-1]
    per_class = signals.n_train / signals.n_classes
    _, twice, low, high = advice.extrapolated[1]
    said = [
        f"Fine-tuning ({best}) is expected to change accuracy by {signed(advice.gain)} points over a probe of "
        f"{advice.layer} (90 % interval {signed(advice.gain_low)} to {signed(advice.gain_high)}, from "
        f"{known.n_cells} confirmed cases on {known.n_targets} targets).",
        f"With {point.n} samples the best layer's features tell {100 * point.frozen:.1f} % of left-out samples; "
        f"gradients of the last blocks tell {100 * point.tuned:.1f} % "
        f"({signed(signals.tangent_gain)} ± {100 * signals.tangent_error:.1f}).",
        f"{per_class:.0f} labels a class; with twice as many the probe is expected at {100 * twice:.1f} % "
        f"({100 * low:.1f} to {100 * high:.1f}).",
    ]
    if signals.depth < 1:
        behind = signed(signals.last_layer - point.frozen)
        said.append(
            f"The best layer lies at {100 * signals.depth:.0f} % of the depth; the last one, where fine-tuning "
            f"begins, tells {behind} points."
        )
    if signals.twin_gap is not None:
        said.append(f"Its weights are worth {signed(signals.twin_gap)} points over random ones.")
    if signals.distance is not None:
        said.append(f"Target and source data are {signals.distance:.3g} apart.")
    if advice.break_even is not None:
        said.append(f"Fine-tuning is expected to be ahead from about {advice.break_even} training samples on.")
    if not advice.sure:
        said.append("That is no certain call: train both ways with transferscope confirm; the probe takes seconds.")
    return tuple(said)
