"""Agreement over many bootstrap draws of the sources at once, from how often each source was drawn.

A draw of a few hundred sources costs a row of one matrix product: pairs are never listed draw by draw.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..agreements import Estimate

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
FEWEST = 4  # sources, or targets, from which a bootstrap interval says anything


def resample(score: Array, accuracy: Array, counts: Counts, ks: Sequence[int]) -> dict[str, Array]:
    """Every measure of agreement in every draw.

    Parameters
    ----------
    score, accuracy : ndarrays of shape (n_sources,)
        Higher is better in both.
    counts : ndarray of shape (n_draws, n_sources)
        How often each source is in each draw; a row of ones is the sources themselves.
    ks : sequence of int
        Of the measures at k, which are of k different sources, or of all where a draw has fewer. Sources tied in score
        share their places: the value is the mean over all ways to break the tie.

    Returns
    -------
    dict of measure to ndarray of shape (n_draws,)
        NaN where a draw does not define it, and for a k above the number of sources.
    """
    weights = counts.astype(np.float64)
    sx, sy = (np.sign(values[:, None] - values[None, :]) for values in (score, accuracy))
    both, in_x, in_y = sx * sy, sx * sx, sy * sy
    rows = {name: weights @ pairs for name, pairs in (("both", both), ("x", in_x), ("y", in_y))}  # pairs are symmetric
    found = {
        "weighted_kendall": _weighted_kendall(score, accuracy, counts, rows),
        "kendall": _ratio(
            (weights * rows["both"]).sum(1),
            np.sqrt((weights * rows["x"]).sum(1) * (weights * rows["y"]).sum(1)),
        ),
        "spearman": _pearson(weights @ sx.T, weights @ sy.T, weights),
        "pearson": _pearson(np.broadcast_to(score, weights.shape), np.broadcast_to(accuracy, weights.shape), weights),
    }
    places = _Places(score, accuracy, counts > 0)
    for k in ks:
        found |= places.at(k)
    return found


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 1e-12)


def _pearson(x: Array, y: Array, weights: Array) -> Array:
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1.0)  # a draw may hold none that both know
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    spread = (weights * x * x).sum(1) * (weights * y * y).sum(1)
    size = np.abs(x).max(1) ** 2 * np.abs(y).max(1) ** 2
    return np.where(spread > 1e-20 * size, np.clip(_safe((weights * x * y).sum(1), np.sqrt(spread)), -1, 1), np.nan)


def _safe(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=below > 0)


def _weighted_kendall(score: Array, accuracy: Array, counts: Counts, rows: dict[str, Array]) -> Array:
    """Additive hyperbolic weights; copies of a source in a draw stand on places next to each other."""
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, counts.sum(axis=1).max() + 1))])
    found = []
    for first, then in ((score, accuracy), (accuracy, score)):
        order = np.lexsort(np.stack([-then, -first]))
        ends = np.cumsum(counts[:, order], axis=1)
        weight = np.empty(counts.shape)
        weight[:, order] = harmonic[ends] - harmonic[ends - counts[:, order]]  # of all copies together
        norm = np.sqrt((weight * rows["x"]).sum(1) * (weight * rows["y"]).sum(1))
        found.append(_ratio((weight * rows["both"]).sum(1), norm))
    return np.clip((found[0] + found[1]) / 2, -1, 1)


class _Places:
    """Who is among the k first of each draw; sources best first, equals by accuracy."""

    def __init__(self, score: Array, accuracy: Array, there: NDArray[np.bool_]) -> None:
        order = np.lexsort(np.stack([-accuracy, -score]))
        self.accuracy, self.there = accuracy[order], there[:, order]
        self.tie = np.concatenate([[0], np.cumsum(np.diff(score[order]) != 0)])  # equals have one number
        self.place = np.cumsum(self.there, axis=1)  # 1 for the first source that is there
        self.n_there = self.place[:, -1]
        self.best = np.where(self.n_there > 0, np.where(self.there, self.accuracy, -np.inf).max(axis=1), np.nan)
        self.log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, len(score) + 1)))])
        down = np.argsort(-self.accuracy, kind="stable")
        above = np.searchsorted(-self.accuracy[down], -self.accuracy)  # sources with a higher accuracy, drawn or not
        drawn = np.cumsum(self.there[:, down], axis=1)
        self.n_better = np.concatenate([np.zeros((len(drawn), 1), drawn.dtype), drawn], axis=1)[:, above]

    def at(self, k: int) -> dict[str, Array]:
        """Regret, relative accuracy and both recalls at k."""
        names = f"regret_at_{k}", f"rel_at_{k}", f"best_in_top_{k}", f"top_1_among_{k}_best"
        if k > len(self.accuracy):
            return {name: np.full(len(self.there), np.nan) for name in names}
        sure, tied, chance = self._first(k)

        def expected(values: Array) -> Array:
            """Mean of the largest value among the k first, over the ways to break the tie."""
            floor = np.where(sure, values, -np.inf).max(axis=1, keepdims=True)
            return np.where(tied, chance * np.maximum(values, floor), 0.0).sum(axis=1)

        top = np.minimum(expected(self.accuracy), self.best)  # a mean of equals can round above them
        hit = np.minimum(expected((self.accuracy == self.best[:, None]).astype(np.float64)), 1.0)
        first = self._first(1)[1]
        among = (first & (self.n_better < k)).sum(axis=1) / np.maximum(first.sum(axis=1), 1)
        rel = np.where(self.best > 0, _safe(top, self.best), np.nan)
        empty = self.n_there == 0
        return {
            name: np.where(empty, np.nan, found)
            for name, found in zip(names, (self.best - top, rel, hit, among), strict=True)
        }

    def _first(self, k: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Array]:
        """Who is surely among the k first, who is tied for the last of those places, and the chance of each.

        The chance is that of being the most accurate of the tied that get a place: of n tied, t of which do, the one
        with r more accurate ones is it in C(n - 1 - r, t - 1) of C(n, t) ways.
        """
        taken = np.minimum(k, self.n_there)
        border = self.tie[np.argmax(self.place >= taken[:, None], axis=1)][:, None]
        sure, tied = (self.there & found for found in (self.tie < border, self.tie == border))
        n = tied.sum(axis=1, keepdims=True)
        t = np.maximum(taken[:, None] - sure.sum(axis=1, keepdims=True), 1)
        r = np.maximum(np.cumsum(tied, axis=1) - 1, 0)
        can = tied & (r <= n - t)
        r, log = np.where(can, r, 0), self.log_factorial
        n = np.maximum(n, t)  # only where nothing is there
        ways = log[n - 1 - r] - log[t - 1] - log[n - r - t]
        return sure, tied, np.where(can, np.exp(ways - log[n] + log[t] + log[n - t]), 0.0)


def draw_counts(rng: np.random.Generator, known: NDArray[np.bool_], n_draws: int) -> list[Counts]:
    """How often each source is in each draw, for every target; the sources themselves first.

    Sources are drawn once for all targets, for a source that a score misjudges is misjudged on many of them: draws of
    their own for each target would average that away, and intervals for means over targets come out too narrow. A
    target takes, of one sequence of draws, the first ones that it knows, as many as it has sources.

    Parameters
    ----------
    known : ndarray of bool, shape (n_targets, n_sources)

    Returns
    -------
    list of ndarrays of shape (1 + n_draws, n_known), one per target

    References
    ----------
    Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007, on crossed rows and columns.
    """
    n_sources = known.shape[1]
    drawn = rng.integers(0, n_sources, (n_draws, 2 * n_sources + 30))  # long enough for a target that knows few
    found = []
    for row in known:
        taken = row[drawn]
        taken &= np.cumsum(taken, axis=1) <= row.sum()
        place, _ = np.nonzero(taken)
        counts = np.bincount(place * n_sources + drawn[taken], minlength=n_draws * n_sources)
        once = np.ones((1, int(row.sum())), dtype=np.int64)
        found.append(np.concatenate([once, counts.reshape(n_draws, n_sources)[:, row]]))
    return found


def estimate(drawn: Array, n: int, level: float, *, of: str = "sources", undefined: str) -> Estimate:
    """The first value, and the percentiles of the others where it is defined in most of them."""
    value = float(drawn[0])
    if not np.isfinite(value):
        return Estimate(None, note=undefined)
    if n < FEWEST:
        return Estimate(value, note=f"no interval from {n} {of}")
    usual = drawn[1:][np.isfinite(drawn[1:])]
    if len(usual) < (len(drawn) - 1) / 2:
        return Estimate(value, note="undefined in most bootstrap draws")
    low, high = np.quantile(usual, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high))
