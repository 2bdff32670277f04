"""How well an order of sources agrees with their measured accuracy. Scores are oriented: higher is better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ScoreError

Values = Sequence[float] | np.ndarray


def weighted_kendall(score: Values, accuracy: Values) -> float:
    """Weighted Kendall tau, scipy's default: hyperbolic additive weights, both rank orders averaged.

    Disagreements near the top weigh most. In [-1, 1]; NaN if either is constant (Vigna, WWW 2015).
    """
    from scipy.stats import weightedtau

    return _of_pair(weightedtau, score, accuracy)


def kendall(score: Values, accuracy: Values) -> float:
    """Kendall's tau-b, in [-1, 1]; NaN if either is constant."""
    from scipy.stats import kendalltau

    return _of_pair(kendalltau, score, accuracy)


def spearman(score: Values, accuracy: Values) -> float:
    """Spearman's rank correlation with average ranks, in [-1, 1]; NaN if either is constant."""
    from scipy.stats import spearmanr

    return _of_pair(spearmanr, score, accuracy)


def pearson(score: Values, accuracy: Values) -> float:
    """Pearson's correlation, in [-1, 1]; NaN if either is constant."""
    from scipy.stats import pearsonr

    return _of_pair(pearsonr, score, accuracy)


def regret_at_k(score: Values, accuracy: Values, k: int = 1, *, relative: bool = False) -> float:
    """Accuracy lost by taking the best of the k top-scored sources instead of the best of all.

    Sources tied in score share their places: the value is the mean over all ways to break the tie. 0 is best;
    `relative` divides by the best accuracy.
    """
    values, measured = _check(score, accuracy, k)
    lost = float(measured.max() - _best_of_top(values, measured, k))
    return lost / float(measured.max()) if relative else lost


def rel_at_k(score: Values, accuracy: Values, k: int = 1) -> float:
    """Best accuracy among the k top-scored over the best of all; at most 1, for positive accuracies only."""
    values, measured = _check(score, accuracy, k)
    return float(_best_of_top(values, measured, k) / measured.max())


def recall_at_k(score: Values, accuracy: Values, k: int = 1, *, meaning: str = "best_in_top_k") -> float:
    """Whether the order finds the best, 0 or 1; among sources tied in score, the share of ways to break the tie.

    Parameters
    ----------
    meaning : {"best_in_top_k", "top_1_among_k_best"}
        The best source is among the k top-scored (usual); or the top-scored source is among the k best (the
        SFDA code's meaning).
    """
    values, measured = _check(score, accuracy, k)
    if meaning == "best_in_top_k":
        return _share_in_top(values, int(measured.argmax()), k)
    if meaning != "top_1_among_k_best":
        raise ScoreError(f"recall_at_k: meaning {meaning!r}; expected best_in_top_k or top_1_among_k_best.")
    first = np.flatnonzero(values == values.max())
    return float(np.mean([(measured > measured[i]).sum() < k for i in first]))


def _check(score: Values, accuracy: Values, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
    values, measured = np.asarray(score, dtype=float), np.asarray(accuracy, dtype=float)
    if values.ndim != 1 or values.shape != measured.shape:
        raise ScoreError(f"scores of shape {values.shape}, accuracies of {measured.shape}; give one each a source.")
    if not (np.isfinite(values).all() and np.isfinite(measured).all()):
        raise ScoreError("scores and accuracies must be finite; leave out sources without a score.")
    if not 1 <= k <= len(values):
        raise ScoreError(f"k={k} with {len(values)} sources; expected 1 <= k <= {len(values)}.")
    return values, measured


def _of_pair(statistic: Any, score: Values, accuracy: Values) -> float:
    """The statistic, or NaN where it is not defined."""
    values, measured = _check(score, accuracy)
    if len(values) < 2 or np.ptp(values) == 0 or np.ptp(measured) == 0:
        return float("nan")
    return float(statistic(values, measured)[0])


def _best_of_top(values: np.ndarray, measured: np.ndarray, k: int) -> float:
    """Expected best accuracy among the k top-scored, ties at the border broken at random."""
    border = np.sort(values)[::-1][k - 1]
    sure, tied = measured[values > border], np.sort(measured[values == border])
    taken = k - len(sure)
    floor = float(sure.max()) if len(sure) else -np.inf
    # the largest of `taken` draws without replacement is the i-th smallest with probability C(i, taken-1) / C(n, taken)
    from scipy.special import comb

    weights = comb(np.arange(len(tied)), taken - 1) / comb(len(tied), taken)
    return float(weights @ np.maximum(tied, floor))


def _share_in_top(values: np.ndarray, best: int, k: int) -> float:
    above, equal = int((values > values[best]).sum()), int((values == values[best]).sum())
    return float(np.clip((k - above) / equal, 0, 1))
