"""Squared maximum mean discrepancy between two samples, with Gaussian kernels."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..errors import ScoreError, UnknownNameError
from ..features.arrays import as_float64
from .registry import register_measure

FACTORS = {1: (1.0,), 5: (0.25, 0.5, 1.0, 2.0, 4.0)}  # of the median heuristic's gamma
ESTIMATORS = ("biased", "unbiased", "linear")
MEDIAN_ROWS = 4000  # pooled rows, evenly spread, whose distances give the median
BLOCK = 1024  # rows of the kernel matrix in memory at a time


@register_measure(
    "mmd",
    kind="discrepancy",
    higher_is_closer=False,
    range="0 to 2 (biased); can be a little below 0 (unbiased, linear)",
    cost="(N + M)^2 D, in blocks",
    reference="Gretton, Borgwardt, Rasch, Schoelkopf and Smola, JMLR 2012",
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
        Means over all pairs; without the diagonals; or over disjoint consecutive pairs (fast and noisy).
    bandwidths : {1, 5}
        5 averages kernels of a quarter to four times gamma.

    Returns
    -------
    value : float
        Lower is closer. Invariant to rotation, shift and common scale. The median is of squared distances over all
        pairs of pooled rows (i < j), of at most 4000 evenly spread ones.

    Raises
    ------
    ScoreError
        If widths differ, values are not finite, or a side has fewer than 2 rows.
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
    """Unbiased squared MMD, and the share of random relabellings of the pooled rows that reach it.

    The bandwidth stays that of the pooled rows. The p-value is (1 + reached) / (1 + n_permutations), so it is never 0.
    The pooled kernel matrix is held in memory: thousands of rows, not millions.
    """
    s, t = _check(source, target, "unbiased", bandwidths)
    pooled = np.concatenate([s, t])
    gammas = _gammas(pooled, bandwidths)
    kernel = _kernel(pooled, pooled, gammas)
    np.fill_diagonal(kernel, 0.0)
    n, total, rows = len(s), kernel.sum(), kernel.sum(axis=1)

    def value(chosen: np.ndarray) -> float:
        """From the sum inside the first side alone: the others follow from row sums."""
        inside = kernel[np.ix_(chosen, chosen)].sum()
        touching = rows[chosen].sum()
        m = len(kernel) - n
        outside, cross = total - 2 * touching + inside, touching - inside
        return float(inside / (n * (n - 1)) + outside / (m * (m - 1)) - 2 * cross / (n * m))

    rng = np.random.default_rng(seed)
    observed = value(np.arange(n))
    reached = sum(value(rng.permutation(len(kernel))[:n]) >= observed for _ in range(n_permutations))
    return observed, (1 + reached) / (1 + n_permutations)


def _check(source: Any, target: Any, estimator: str, bandwidths: int) -> tuple[np.ndarray, np.ndarray]:
    if estimator not in ESTIMATORS:
        raise UnknownNameError("estimator of mmd", estimator, ESTIMATORS)
    if bandwidths not in FACTORS:
        raise ScoreError(f"mmd: bandwidths={bandwidths}; expected one of {', '.join(map(str, FACTORS))}.")
    s, t = (as_float64(x, name=n, caller="mmd") for x, n in ((source, "source"), (target, "target")))
    if s.shape[1] != t.shape[1]:
        raise ScoreError(
            f"mmd: source has {s.shape[1]} features and target {t.shape[1]}; use one source model for both."
        )
    if min(len(s), len(t)) < 2:
        raise ScoreError(f"mmd: {len(s)} and {len(t)} rows; expected at least 2 on each side.")
    centre = t.mean(axis=0)  # distances stay, and lose fewer digits
    return s - centre, t - centre


def _gammas(pooled: np.ndarray, bandwidths: int) -> np.ndarray:
    rows = pooled[np.unique(np.linspace(0, len(pooled) - 1, min(len(pooled), MEDIAN_ROWS)).astype(int))]
    distances = _squared_distances(rows, rows)[np.triu_indices(len(rows), 1)]
    median = float(np.median(distances))
    if median <= 0:
        raise ScoreError("mmd: more than half of all pairs of rows are equal, so there is no median distance.")
    return np.array(FACTORS[bandwidths]) / median


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squared = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
    return np.maximum(squared, 0.0, out=squared)


def _kernel(a: np.ndarray, b: np.ndarray, gammas: np.ndarray) -> np.ndarray:
    squared = _squared_distances(a, b)
    return np.mean([np.exp(-gamma * squared) for gamma in gammas], axis=0)


def _kernel_sum(a: np.ndarray, b: np.ndarray, gammas: np.ndarray) -> float:
    total = sum(_kernel(a[i : i + BLOCK], b, gammas).sum() for i in range(0, len(a), BLOCK))
    if a is b:  # the diagonal is 1 exactly, whatever rounding left of the distances
        diagonal = sum(np.trace(_kernel(a[i : i + BLOCK], a[i : i + BLOCK], gammas)) for i in range(0, len(a), BLOCK))
        total += len(a) - diagonal
    return float(total)


def _linear(s: np.ndarray, t: np.ndarray, gammas: np.ndarray) -> float:
    n = min(len(s), len(t)) // 2 * 2
    s1, s2, t1, t2 = s[0:n:2], s[1:n:2], t[0:n:2], t[1:n:2]

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        squared = np.square(a - b).sum(axis=1)
        return np.mean([np.exp(-gamma * squared) for gamma in gammas], axis=0)

    return float(np.mean(kernel(s1, s2) + kernel(t1, t2) - kernel(s1, t2) - kernel(s2, t1)))
