"""Squared maximum mean discrepancy between two samples, with Gaussian kernels."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..errors import ScoreError, UnknownNameError
from ..features.arrays import Array
from .registry import register_measure
from .samples import check_samples, squared_distances

FACTORS = {1: (1.0,), 5: (0.25, 0.5, 1.0, 2.0, 4.0)}  # of the median heuristic's gamma
ESTIMATORS = ("biased", "unbiased", "linear")
MEDIAN_ROWS = 2000  # pooled rows, evenly spread, whose distances give the median


@register_measure(
    "mmd",
    kind="discrepancy",
    higher_is_closer=False,
    range="0 to 2 (biased); can be a little below 0 (unbiased, linear)",
    cost="(N + M)^2 D, in blocks",
    reference="Gretton, Borgwardt, Rasch, Schoelkopf and Smola, JMLR 2012",
    misleads="The biased form is above 0 by chance alone, and more so with few rows; the bandwidth follows the pooled "
    "rows, so values of different data do not compare.",
)
def mmd(
    source: Any,
    target: Any,
    *,
    estimator: Literal["biased", "unbiased", "linear"] = "biased",
    bandwidths: Literal[1, 5] = 1,
) -> float:
    r"""Squared MMD under :math:`k(x, z) = \exp(-\gamma\lVert x - z\rVert^2)`, :math:`1/\gamma` the median square.

    Parameters
    ----------
    source, target : arrays or tensors of shape (n_samples, n_features), (n_other_samples, n_features)
    estimator : {"biased", "unbiased", "linear"}
        Means over all pairs; without the diagonals; or over disjoint consecutive pairs (fast and noisy, and it depends
        on the order of rows, of which the longer side's last are left out).
    bandwidths : {1, 5}
        5 averages kernels of a quarter to four times gamma.

    Returns
    -------
    value : float
        Lower is closer. Invariant to rotation, shift and common scale. The median is of squared distances over all
        pairs of pooled rows (i < j), of at most 2000 evenly spread ones. Misleads where that median hides what
        differs, as with clusters far apart; the biased form is above 0 by chance, the more so the fewer the rows.

    Raises
    ------
    ScoreError
        If widths differ, values are not finite, a side has fewer than 2 rows, or most rows are equal.

    References
    ----------
    Gretton et al., "A Kernel Two-Sample Test", JMLR 2012.
    """
    s, t = _check(source, target, estimator, bandwidths)
    gammas = _gammas(np.concatenate([s, t]), bandwidths)
    if estimator == "linear":
        return _linear(s, t, gammas)
    inner = [_kernel_sum(s, s, gammas), _kernel_sum(t, t, gammas)]
    cross = _kernel_sum(s, t, gammas) / (len(s) * len(t))
    n, m = len(s), len(t)
    if estimator == "biased":
        return float(inner[0] / n**2 + inner[1] / m**2 - 2 * cross)
    return float((inner[0] - n) / (n * (n - 1)) + (inner[1] - m) / (m * (m - 1)) - 2 * cross)


def mmd_permutation_test(
    source: Any, target: Any, *, bandwidths: Literal[1, 5] = 1, n_permutations: int = 200, seed: int = 0
) -> tuple[float, float]:
    """Unbiased squared MMD, and how often random relabellings of the pooled rows reach it.

    Parameters
    ----------
    source, target, bandwidths
        As of `mmd`. The bandwidth stays that of the pooled rows.
    n_permutations, seed : int
        The kernel matrix is met in blocks; memory is for a number per row and permutation.

    Returns
    -------
    value, p_value : float
        The p-value is (1 + reached) / (1 + n_permutations), so it is never 0.

    Raises
    ------
    ScoreError
        As `mmd`, or if `n_permutations` is below 1.
    """
    if n_permutations < 1:
        raise ScoreError(f"mmd: n_permutations={n_permutations}; expected at least 1, better 200.")
    s, t = _check(source, target, "unbiased", bandwidths)
    pooled = np.concatenate([s, t])
    gammas = _gammas(pooled, bandwidths)
    n, m = len(s), len(t)
    rng = np.random.default_rng(seed)
    chosen = np.zeros((n + m, 1 + n_permutations))  # a column per relabelling, the true one first
    chosen[:n, 0] = 1.0
    for column in range(1, 1 + n_permutations):
        chosen[rng.permutation(n + m)[:n], column] = 1.0
    # the sum inside the first side gives the others, through the sums of rows
    total, inside, touching = 0.0, np.zeros(1 + n_permutations), np.zeros(1 + n_permutations)
    for block, squared in squared_distances(pooled, pooled):
        kernel = _kernel(squared, gammas)
        kernel[np.arange(len(kernel)), np.arange(block.start, block.stop)] = 0.0
        reached = kernel @ chosen
        total += float(kernel.sum())
        inside += (chosen[block] * reached).sum(axis=0)
        touching += reached.sum(axis=0)
    outside, cross = total - 2 * touching + inside, touching - inside
    values = inside / (n * (n - 1)) + outside / (m * (m - 1)) - 2 * cross / (n * m)
    at_least = values[1:] >= values[0] - 1e-12  # a relabelling equal to the true one differs by rounding
    return float(values[0]), float((1 + at_least.sum()) / (1 + n_permutations))


def _check(source: Any, target: Any, estimator: str, bandwidths: int) -> tuple[Array, Array]:
    if estimator not in ESTIMATORS:
        raise UnknownNameError("estimator of mmd", estimator, ESTIMATORS)
    if bandwidths not in FACTORS:
        raise ScoreError(f"mmd: bandwidths={bandwidths}; expected one of {', '.join(map(str, FACTORS))}.")
    return check_samples(source, target, caller="mmd")


def _gammas(pooled: Array, bandwidths: int) -> Array:
    rows = pooled[np.unique(np.linspace(0, len(pooled) - 1, min(len(pooled), MEDIAN_ROWS)).astype(int))]
    distances = np.concatenate([squared for _, squared in squared_distances(rows, rows)])
    median = float(np.median(distances[np.triu_indices(len(rows), 1)]))
    if median == 0:
        raise ScoreError(
            "mmd: at least half of all pairs of rows are equal, so there is no median distance; remove duplicate rows."
        )
    return np.array(FACTORS[bandwidths]) / median


def _kernel(squared: Array, gammas: Array) -> Array:
    """Mean of the kernels of these squared distances."""
    total = np.zeros_like(squared)
    for gamma in gammas:
        total += np.exp(-gamma * squared)
    return total / len(gammas)


def _kernel_sum(a: Array, b: Array, gammas: Array) -> float:
    """Sum over all pairs."""
    return sum(float(_kernel(squared, gammas).sum()) for _, squared in squared_distances(a, b))


def _linear(s: Array, t: Array, gammas: Array) -> float:
    n = min(len(s), len(t)) // 2 * 2
    s1, s2, t1, t2 = s[0:n:2], s[1:n:2], t[0:n:2], t[1:n:2]

    def kernel(a: Array, b: Array) -> Array:
        return _kernel(np.square(a - b).sum(axis=1), gammas)

    return float(np.mean(kernel(s1, s2) + kernel(t1, t2) - kernel(s1, t2) - kernel(s2, t1)))
