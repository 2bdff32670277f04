"""How well an order of sources agrees with their measured accuracy. Scores are oriented: higher is better."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoreError
from .resampled import correlation

Array = NDArray[np.float64]
Values = Sequence[float] | Array
MEANINGS = ("best_in_top_k", "top_1_among_k_best")


def weighted_kendall(score: Values, accuracy: Values) -> float:
    """Weighted Kendall tau, as `scipy.stats.weightedtau` by default: disagreements near the top weigh most.

    Hyperbolic additive weights 1 / (rank + 1); the mean of ranking by score and ranking by accuracy.

    Parameters
    ----------
    score, accuracy : sequences of float, one per source
        Larger means better in both.

    Returns
    -------
    tau : float
        In [-1, 1]; NaN (undefined, not "no agreement") if either is constant.

    References
    ----------
    Vigna, "A Weighted Correlation Index for Rankings with Ties", WWW 2015.
    """
    return correlation("weighted_kendall", *_check(score, accuracy))


def kendall(score: Values, accuracy: Values) -> float:
    """Kendall's tau-b, in [-1, 1]; NaN if either is constant."""
    return correlation("kendall", *_check(score, accuracy))


def spearman(score: Values, accuracy: Values) -> float:
    """Spearman's rank correlation with average ranks, in [-1, 1]; NaN if either is constant."""
    return correlation("spearman", *_check(score, accuracy))


def pearson(score: Values, accuracy: Values) -> float:
    """Pearson's correlation, in [-1, 1]; NaN if either is constant."""
    return correlation("pearson", *_check(score, accuracy))


def regret_at_k(score: Values, accuracy: Values, k: int = 1, *, relative: bool = False) -> float:
    """Accuracy lost by taking the best of the k top-scored sources instead of the best of all.

    Sources tied in score share their places: the value is the mean over all ways to break the tie. 0 is best;
    `relative` divides by the best accuracy.
    """
    values, measured = _check(score, accuracy, k)
    lost = float(measured.max() - _best_of_top(values, measured, k))
    return lost / _positive_best(measured) if relative else lost


def rel_at_k(score: Values, accuracy: Values, k: int = 1) -> float:
    """Best accuracy among the k top-scored over the best of all; at most 1. Ties as in `regret_at_k`."""
    values, measured = _check(score, accuracy, k)
    return _best_of_top(values, measured, k) / _positive_best(measured)


def recall_at_k(
    score: Values,
    accuracy: Values,
    k: int = 1,
    *,
    meaning: Literal["best_in_top_k", "top_1_among_k_best"] = "best_in_top_k",
) -> float:
    """Whether the order finds the best, 0 or 1; among sources tied in score, the share of ways to break the tie.

    Parameters
    ----------
    meaning : {"best_in_top_k", "top_1_among_k_best"}
        A source of the best accuracy is among the k top-scored (usual); or the top-scored source is among the k
        best (what the SFDA code, ECCV 2022, calls recall).
    """
    values, measured = _check(score, accuracy, k)
    if meaning == "best_in_top_k":
        return _best_of_top(values, (measured == measured.max()).astype(np.float64), k)
    if meaning != "top_1_among_k_best":
        raise ScoreError(f"recall_at_k: meaning={meaning!r}; expected one of {', '.join(MEANINGS)}.")
    first = np.flatnonzero(values == values.max())
    return float(np.mean([(measured > measured[i]).sum() < k for i in first]))


def _check(score: Values, accuracy: Values, k: int = 1) -> tuple[Array, Array]:
    values, measured = np.asarray(score, dtype=np.float64), np.asarray(accuracy, dtype=np.float64)
    if values.ndim != 1 or values.shape != measured.shape:
        raise ScoreError(
            f"scores of shape {values.shape} beside accuracies of shape {measured.shape}; expected one of each per "
            "source."
        )
    if not (np.isfinite(values).all() and np.isfinite(measured).all()):
        raise ScoreError("scores or accuracies hold NaN or infinite values; leave out the sources they belong to.")
    if not 1 <= k <= len(values):
        raise ScoreError(f"k={k} with {len(values)} source(s); expected 1 <= k <= number of sources.")
    return values, measured


def _positive_best(measured: Array) -> float:
    if measured.max() <= 0:
        raise ScoreError(f"the best accuracy is {measured.max():g}; a share of it is only defined above 0.")
    return float(measured.max())


def _best_of_top(values: Array, measured: Array, k: int) -> float:
    """Expected best accuracy among the k top-scored, ties at the border broken at random."""
    border = np.sort(values)[::-1][k - 1]
    sure, tied = measured[values > border], np.sort(measured[values == border])
    taken = k - len(sure)
    floor = float(sure.max()) if len(sure) else -np.inf
    # of n tied, the largest of `taken` drawn ones is the i-th smallest with probability C(i, taken - 1) / C(n, taken)
    ways = comb(len(tied), taken)
    return float(sum(comb(i, taken - 1) / ways * max(float(value), floor) for i, value in enumerate(tied)))
