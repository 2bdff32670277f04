"""Scorers and measures of all pairs of samples: time and memory per size, beside a library or the naive version.

Run with ``pytest tests/benchmarks/test_pairwise.py -m benchmark -s``, on a quiet machine. Nothing here fails for being
slow.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import KNeighborsClassifier

from transferscope.scorers import knn, parc, tmi
from transferscope.similarity import mmd

pytestmark = pytest.mark.benchmark
SIZES, WIDTH, CLASSES = (1000, 4000, 10000), 384, 10
NAIVE_UP_TO = 4000  # rows whose N x N matrices the naive versions are asked to hold


def problem(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % CLASSES
    return rng.normal(size=(CLASSES, WIDTH))[y] * 0.3 + rng.normal(size=(n, WIDTH)), y


def library_knn(X: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean(KNeighborsClassifier(1, algorithm="brute").fit(X, y).predict(None) == y))


def naive_parc(X: np.ndarray, y: np.ndarray) -> float:
    upper = np.triu_indices(len(X), 1)
    features = 1 - np.corrcoef((X - X.mean(axis=0)) / X.std(axis=0))
    return 100 * float(spearmanr(features[upper], (y[:, None] != y)[upper]).statistic)


def naive_tmi(X: np.ndarray, y: np.ndarray) -> float:
    from scipy.special import digamma

    total = 0.0
    for k in range(CLASSES):
        rows = X[y == k]
        third = np.sort(cdist(rows, rows, "chebyshev"), axis=1)[:, 3]
        entropy = -digamma(3) + digamma(len(rows)) + X.shape[1] * np.log(2 * np.maximum(third, 1.0)).mean()
        total += len(rows) / len(X) * entropy
    return total / CLASSES


def naive_mmd(X: np.ndarray, y: np.ndarray) -> float:
    """scikit-learn's kernel, the median of all pairs."""
    half = len(X) // 2
    squared = cdist(X, X, "sqeuclidean")
    gamma = 1 / np.median(squared[np.triu_indices(len(X), 1)])
    s, t = X[:half], X[half:]
    return float(rbf_kernel(s, s, gamma).mean() + rbf_kernel(t, t, gamma).mean() - 2 * rbf_kernel(s, t, gamma).mean())


Pair = tuple[Callable[..., float], Callable[..., float], float]
PAIRS: dict[str, Pair] = {
    "knn (scikit-learn)": (knn, library_knn, 1e-12),
    "parc (naive)": (lambda X, y: parc(X, y, ties="exact"), naive_parc, 1e-5),
    "tmi (naive)": (tmi, naive_tmi, 1e-9),
    "mmd (naive)": (lambda X, y: mmd(X[: len(X) // 2], X[len(X) // 2 :]), naive_mmd, 1e-2),  # its median: 2000 rows
}


def peak_mb(call: Callable[[], object]) -> float:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.timeout(1200)
def test_time_and_memory_per_size(section: Callable[..., None], timed: Callable[..., list[float]]) -> None:
    rows: list[list[object]] = []
    for name, (ours, peer, slack) in PAIRS.items():
        for n in SIZES:
            X, y = problem(n)
            call = lambda f=ours, X=X, y=y: f(X, y)  # noqa: E731
            theirs = lambda f=peer, X=X, y=y: f(X, y)  # noqa: E731
            if n > NAIVE_UP_TO and "naive" in name:
                rows.append([name, n, timed(call, turns=2)[0], peak_mb(call), "-", n * n * 8 / 2**20])
                continue
            assert call() == pytest.approx(theirs(), rel=slack, abs=slack)
            mine, other = timed(call, theirs, turns=2)
            rows.append([name, n, mine, peak_mb(call), other, n * n * 8 / 2**20])
    section(
        f"All pairs of N samples of {WIDTH} features, {CLASSES} classes",
        ["scorer (peer)", "N", "ours", "ours, peak MiB", "peer", "N x N, MiB"],
        rows,
    )
