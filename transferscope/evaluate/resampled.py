"""Agreement over many bootstrap draws of the sources at once, from how often each source was drawn.

A draw of a few hundred sources costs a row of one matrix product: pairs are never listed draw by draw.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

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
        Of the measures at k. Equals at the border of the first k are taken in the order given.

    Returns
    -------
    dict of measure to ndarray of shape (n_draws,)
        NaN where a draw does not define it.
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
    return found | _at_k(score, accuracy, counts, ks)


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


def _at_k(score: Array, accuracy: Array, counts: Counts, ks: Sequence[int]) -> dict[str, Array]:
    """Regret, relative accuracy and both recalls of the k first sources in each draw."""
    there = counts > 0
    empty = ~there.any(axis=1)
    best = np.where(empty, np.nan, np.where(there, accuracy, -np.inf).max(axis=1))
    order = np.argsort(-score, kind="stable")
    place = np.empty(there.shape, dtype=np.int64)
    place[:, order] = np.cumsum(there[:, order], axis=1)  # 1 for the first source that is there
    first = there & (place == 1)
    of_first = np.where(first, accuracy, -np.inf).max(axis=1)
    n_better = (there & (accuracy > of_first[:, None])).sum(axis=1)
    found = {}
    for k in ks:
        top = np.where(empty, np.nan, np.where(there & (place <= k), accuracy, -np.inf).max(axis=1))
        found[f"regret_at_{k}"] = best - top
        found[f"rel_at_{k}"] = np.where(best > 0, _safe(top, best), np.nan)
        found[f"best_in_top_{k}"] = np.where(empty, np.nan, top == best)
        found[f"top_1_among_{k}_best"] = np.where(empty, np.nan, n_better < k)
    return found
