"""Agreement over many bootstrap draws of the sources at once, from how often each source was drawn.

A draw of a few hundred sources costs a row of one matrix product: pairs are never listed draw by draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Array = NDArray[np.float64]
Counts = NDArray[np.int64]


def resample(score: Array, accuracy: Array, counts: Counts, ks: Sequence[int]) -> dict[str, Array]:
    """Every measure of agreement in every draw.

    Parameters
    ----------
    score, accuracy : ndarrays of shape (n_sources,)
        Higher is better in both.
    counts : ndarray of shape (n_draws, n_sources)
        How often each source is in each draw; a row of ones is the sources themselves.
    ks : sequence of int
        Of the measures at k. Sources tied in score share their places: means over all ways to break the tie.

    Returns
    -------
    dict of measure to ndarray of shape (n_draws,)
        NaN where a draw does not define it, and where k is above the number of sources.
    """
    pairs = _pairs(score, accuracy, counts)
    found = {name: statistic(score, accuracy, counts, pairs) for name, statistic in CORRELATIONS.items()}
    return found | _at_k(score, accuracy, counts, ks)


def correlation(name: str, score: Array, accuracy: Array) -> float:
    """One of `CORRELATIONS` of the sources themselves."""
    counts = np.ones((1, len(score)), dtype=np.int64)
    return float(CORRELATIONS[name](score, accuracy, counts, _pairs(score, accuracy, counts))[0])


class _Pairs(NamedTuple):
    """Signs of differences, summed over the other sources of each draw; of shape (n_draws, n_sources)."""

    x: Array  # in score
    y: Array  # in accuracy
    both: Array  # their product
    x_untied: Array
    y_untied: Array


def _pairs(score: Array, accuracy: Array, counts: Counts) -> _Pairs:
    weights = counts.astype(np.float64)
    sx, sy = (np.sign(values[None, :] - values[:, None]) for values in (score, accuracy))
    return _Pairs(*(weights @ signs for signs in (sx, sy, sx * sy, sx * sx, sy * sy)))


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 1e-12)


def _safe(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=below > 0)


def _weighted_kendall(score: Array, accuracy: Array, counts: Counts, pairs: _Pairs) -> Array:
    """Additive hyperbolic weights; copies of a source in a draw stand on places next to each other."""
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, counts.sum(axis=1).max() + 1))])
    found = []
    for first, then in ((score, accuracy), (accuracy, score)):
        order = np.lexsort(np.stack([-then, -first]))  # ties in one are broken by the other
        ends = np.cumsum(counts[:, order], axis=1)
        weight = np.empty(counts.shape)
        weight[:, order] = harmonic[ends] - harmonic[ends - counts[:, order]]  # of all copies together
        norm = np.sqrt((weight * pairs.x_untied).sum(1) * (weight * pairs.y_untied).sum(1))
        found.append(_ratio((weight * pairs.both).sum(1), norm))
    return np.clip((found[0] + found[1]) / 2, -1, 1)


def _kendall(score: Array, accuracy: Array, counts: Counts, pairs: _Pairs) -> Array:
    norm = np.sqrt((counts * pairs.x_untied).sum(1) * (counts * pairs.y_untied).sum(1))
    return np.clip(_ratio((counts * pairs.both).sum(1), norm), -1, 1)


def _spearman(score: Array, accuracy: Array, counts: Counts, pairs: _Pairs) -> Array:
    return _moments(pairs.x, pairs.y, counts)  # average ranks, but for a factor and a shift


def _pearson(score: Array, accuracy: Array, counts: Counts, pairs: _Pairs) -> Array:
    return _moments(np.broadcast_to(score, counts.shape), np.broadcast_to(accuracy, counts.shape), counts)


def _moments(x: Array, y: Array, counts: Counts) -> Array:
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1)  # a draw may hold none that both know
    found = []
    for values in (x, y):
        there = np.where(counts > 0, values, np.nan)
        away = values - (counts * values).sum(axis=1, keepdims=True) / total
        same = ~(_extreme(there, np.fmax) > _extreme(there, np.fmin))
        size = np.maximum(np.abs(away).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        found.append(np.where(same[:, None], np.nan, away / size))
    x, y = found
    return np.clip(_ratio((counts * x * y).sum(1), np.sqrt((counts * x * x).sum(1) * (counts * y * y).sum(1))), -1, 1)


def _extreme(values: Array, of: np.ufunc) -> Array:
    """The largest or smallest of each row that is known."""
    return np.asarray(of.reduce(values, axis=1))


CORRELATIONS = {
    "weighted_kendall": _weighted_kendall,
    "kendall": _kendall,
    "spearman": _spearman,
    "pearson": _pearson,
}


def _at_k(score: Array, accuracy: Array, counts: Counts, ks: Sequence[int]) -> dict[str, Array]:
    """Regret, relative accuracy and both recalls of the k first sources in each draw."""
    there = counts > 0
    empty = ~there.any(axis=1)
    best = np.where(empty, np.nan, np.where(there, accuracy, -np.inf).max(axis=1))
    is_best = there & (accuracy == best[:, None])
    level, n_better = np.unique(score, return_inverse=True)[1], _n_above(accuracy, there)
    first = there & (level == np.where(there, level, -1).max(axis=1, keepdims=True))
    n_first = np.maximum(first.sum(axis=1), 1)
    found = {}
    for k in ks:
        undefined = empty | (k > len(score))
        sure, tied, taken = _border(level, there, k)
        top = _expected_best(accuracy, sure, tied, taken)
        found[f"regret_at_{k}"] = np.where(undefined, np.nan, np.maximum(best - top, 0.0))
        found[f"rel_at_{k}"] = np.where(~undefined & (best > 0), _safe(top, best), np.nan)
        n_tied = tied.sum(axis=1)
        missed = np.exp(_log_ways(n_tied - (tied & is_best).sum(axis=1), taken) - _log_ways(n_tied, taken))
        holds = np.where((sure & is_best).any(axis=1), 1.0, 1.0 - missed)
        found[f"best_in_top_{k}"] = np.where(undefined, np.nan, holds)
        among = (first & (n_better < k)).sum(axis=1) / n_first
        found[f"top_1_among_{k}_best"] = np.where(undefined, np.nan, among)
    return found


def _n_above(values: Array | Counts, there: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many sources of the draw are strictly above each source."""
    levels, level = np.unique(values, return_inverse=True)
    of_level = there.astype(np.int64) @ (level[:, None] == np.arange(len(levels))).astype(np.int64)
    return np.asarray((of_level.sum(axis=1, keepdims=True) - np.cumsum(of_level, axis=1))[:, level])


def _border(level: Counts, there: NDArray[np.bool_], k: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Counts]:
    """Sources that are surely among the k first of a draw, those tied at the border, and how many of these are."""
    above = _n_above(level, there)
    same = there & (above < k)
    last = np.where(same, level, level.max() + 1).min(axis=1, keepdims=True)
    tied = same & (level == last)
    sure = same & ~tied
    return sure, tied, np.minimum(k - sure.sum(axis=1), tied.sum(axis=1))


def _expected_best(accuracy: Array, sure: NDArray[np.bool_], tied: NDArray[np.bool_], taken: Counts) -> Array:
    """Mean of the best accuracy over all ways to take some of the tied ones beside the sure ones."""
    order = np.argsort(accuracy, kind="stable")
    floor = np.where(sure, accuracy, -np.inf).max(axis=1, keepdims=True)
    # of m tied, the largest of those taken is the i-th smallest in C(i, taken - 1) of C(m, taken) ways
    place = np.cumsum(tied[:, order], axis=1) - 1
    ways = np.where(tied[:, order], _log_ways(place, taken[:, None] - 1), -np.inf)
    share = np.exp(ways - _log_ways(tied.sum(axis=1), taken)[:, None])
    return np.asarray(np.where(share > 0, share * np.maximum(accuracy[order], floor), 0.0).sum(axis=1))


def _log_ways(n: Counts, k: Counts) -> Array:
    """Logarithm of n choose k; minus infinity where there is no way."""
    possible = (k >= 0) & (k <= n)
    n, k = np.where(possible, n, 0), np.where(possible, k, 0)
    return np.where(possible, gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1), -np.inf)
