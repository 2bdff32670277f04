"""PARC against loops over all pairs, against scipy, and its streamed ranks against exact ones."""

from __future__ import annotations

import math
import sys
import tracemalloc

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA

from transferscope.errors import ScoreError, UnknownNameError
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, parc

MODULE = "transferscope.scorers.parc"


def problem(n: int, d: int, k: int, seed: int = 0, separation: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return separation * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) + 2.0, y


def tags(n: int, c: int, seed: int = 0) -> np.ndarray:
    """0/1 columns; the first rows have no tag, every tag, and the same one."""
    Y = np.random.default_rng(seed).integers(0, 2, size=(n, c))
    Y[0], Y[1] = 0, 1
    Y[2:4] = np.eye(c, dtype=int)[0]
    return Y


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Not a number where a row is constant."""
    a, b = a - sum(a) / len(a), b - sum(b) / len(b)
    size = math.sqrt(sum(a * a) * sum(b * b))
    return sum(a * b) / size if size > 1e-9 else math.nan


def average_ranks(values: list[float]) -> list[float]:
    """Values that differ by less than rounding are ties."""
    return [sum(v < x - 1e-9 for v in values) + (sum(abs(v - x) <= 1e-9 for v in values) + 1) / 2 for x in values]


def literal(X: np.ndarray, labels: np.ndarray) -> float:
    """Bolya et al., section 4, pair by pair; rows that have no correlation are left out."""
    T = labels if labels.ndim == 2 else np.array([[float(c == k) for k in sorted(set(labels))] for c in labels])
    spread = X.std(axis=0)
    Z = (X - X.mean(axis=0)) / np.where(spread > 1e-9, spread, np.inf)
    features, tasks = [], []
    for i in range(len(X)):
        for j in range(i + 1, len(X)):
            unlike = 1 - pearson(Z[i], Z[j]), 1 - pearson(T[i], T[j])
            if not math.isnan(sum(unlike)):
                features.append(unlike[0])
                tasks.append(unlike[1])
    if len(features) < 2 or np.ptp(features) < 1e-9 or np.ptp(tasks) < 1e-9:
        return 0.0
    return 100 * float(np.corrcoef(average_ranks(features), average_ranks(tasks))[0, 1])


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(6, 14), d=st.integers(1, 16), k=st.integers(2, 4), seed=st.integers(0, 10**6),
    several=st.booleans(), grid=st.booleans(),
)  # fmt: skip
def test_is_the_correlation_of_ranks(n: int, d: int, k: int, seed: int, several: bool, grid: bool) -> None:
    """On a grid of whole numbers rows repeat; with two features all correlations are 1 or -1."""
    X, y = problem(n, d, k, seed)
    X = np.round(X) if grid else X
    labels = tags(n, k + 1, seed) if several else 7 * y - 3
    assert parc(X, labels, ties="exact") == pytest.approx(literal(X, labels), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_library_agrees(seed: int) -> None:
    X, y = problem(90, 12, 5, seed)
    unlike = pdist((X - X.mean(axis=0)) / X.std(axis=0), "correlation")
    differ = pdist(y[:, None], "hamming")
    assert parc(X, y, ties="exact") == pytest.approx(100 * scipy.stats.spearmanr(unlike, differ).statistic, rel=1e-10)


def test_equal_labels_are_ties_to_the_last_digit() -> None:
    """Correlations of equal one-hot rows of 5 classes come out as 1, or 1 less a rounding, by the class's number."""
    X, y = problem(80, 6, 5)
    value = parc(X, y, ties="exact")
    for seed in range(5):
        assert parc(X, np.random.default_rng(seed).permutation(5)[y], ties="exact") == value


@pytest.mark.parametrize("power", [-8, 8])
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("shape", [(60, 5), (25, 40)])
def test_numerical_extremes(shape: tuple[int, int], offset: float, power: int) -> None:
    X, y = problem(*shape, 3)
    uneven = (X + offset) * np.geomspace(1, 1e4, shape[1]) * 10.0**power
    assert parc(uneven, y) == pytest.approx(parc(X, y), rel=1e-6)
    assert parc((X + 10).astype(np.float32), y) == pytest.approx(parc(X, y), rel=1e-3)


@pytest.mark.parametrize("d", [2, 3, 30])
@pytest.mark.parametrize("several", [False, True])
def test_streamed_ranks_are_the_exact_ones(d: int, several: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = problem(150, d, 5, seed=1)
    X[100:] = X[:50]
    labels = tags(150, 4) if several else y
    exact = parc(X, labels)
    monkeypatch.setattr(sys.modules[MODULE], "EXACT_PAIRS", 0)
    assert parc(X, labels) == pytest.approx(exact, abs=100 * 1e-6)
    monkeypatch.setattr(sys.modules[MODULE], "BINS", 2**10)  # coarse ones show that it is the histogram that ran
    assert parc(X, labels) == pytest.approx(exact, abs=1.0)
    assert d == 2 or parc(X, labels) != pytest.approx(exact, abs=100 * 1e-8)


@pytest.mark.parametrize("exact_pairs", [0, 2**22])
def test_blocks_do_not_matter(exact_pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = problem(53, 7, 3)
    monkeypatch.setattr(sys.modules[MODULE], "EXACT_PAIRS", exact_pairs)
    value = parc(X, y)
    for rows in (1, 5, 52):
        monkeypatch.setattr(sys.modules[MODULE], "BLOCK", 53 * rows)
        assert parc(X, y) == pytest.approx(value, rel=1e-12)


def test_streaming_never_holds_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = problem(1500, 4, 3)
    for name, value in {"EXACT_PAIRS": 10**6, "BLOCK": 2**15, "BINS": 2**12}.items():
        monkeypatch.setattr(sys.modules[MODULE], name, value)
    tracemalloc.start()
    parc(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 1500**2 / 4


def test_principal_components() -> None:
    """A full decomposition, and no more components than there are: noise, standardised, would count like signal."""
    X, y = problem(70, 12, 3)
    assert parc(X, y, n_components=4) == pytest.approx(parc(PCA(4, svd_solver="full").fit_transform(X), y), rel=1e-9)
    assert abs(parc(X, y, n_components=4) - parc(X, y)) > 1
    thin = X[:, :4] @ np.random.default_rng(0).normal(size=(4, 12)) + 1e4
    assert parc(thin, y, n_components=10) == pytest.approx(parc(thin, y, n_components=4), rel=1e-9)
    wide, y = problem(20, 50, 3)
    wanted = parc(PCA(8, svd_solver="full").fit_transform(wide), y)
    assert parc(wide, y, n_components=8) == pytest.approx(wanted, rel=1e-9)
    Y = tags(70, 4)
    assert parc(X, Y, n_components=4) == pytest.approx(parc(PCA(4, svd_solver="full").fit_transform(X), Y), rel=1e-9)


def test_what_has_no_correlation_scores_0() -> None:
    X, y = problem(30, 6, 3)
    twin = np.stack([X[:, 0], 3 * X[:, 0] + 5], axis=1)  # once standardised, both are the same: every row is constant
    for features in (X[:, :1], np.full((30, 6), 0.1), np.full((30, 6), -1e4, dtype=np.float32), twin):
        assert parc(features, y) == 0.0
        assert parc(features.astype(np.float32), y) == 0.0
        assert parc(features, y, n_components=2) == 0.0
    assert parc(X, np.arange(30), ties="exact") == 0.0  # all pairs are of different classes
    blank = np.zeros((30, 4), dtype=int)
    blank[:2, 0] = 1  # one pair of rows with labels
    assert parc(X, blank) == 0.0


def test_single_features_are_told() -> None:
    X, y = problem(30, 3, 2)
    says = SCORERS["parc"].saturated(Moments.from_features(X[:, :1], y), 0.0) or ""
    assert says.startswith("Saturated: rows of one feature have no correlation with one another, so it is 0")
    assert SCORERS["parc"].saturated(Moments.from_features(X, y), 0.0) is None


def test_constant_columns_add_their_mean_like_published() -> None:
    """A dead feature is 0 once standardised, which is a value like any other in a row."""
    X, y = problem(40, 5, 3)
    dead = np.hstack([X, np.full((40, 2), 0.1)])
    assert parc(dead, y, ties="exact") == pytest.approx(literal(dead, y), rel=1e-9)
    assert abs(parc(dead, y) - parc(X, y)) > 1e-3
    X, y = problem(1000, 5, 3)
    dead, zero = (np.hstack([X, np.full((1000, 1), value)]) for value in (0.02, 0.0))
    assert abs(dead.mean(axis=0)[5] - 0.02) > 4 * np.spacing(0.02)  # a mean off by more than the rounding of rows
    assert parc(dead, y) == parc(zero, y)
    dead[::3, 5] = np.nextafter(0.02, 1)  # rounding of what computed it
    assert parc(dead, y) == pytest.approx(parc(zero, y), rel=1e-9)


def test_refusals() -> None:
    X, y = problem(20, 4, 2)
    with pytest.raises(ScoreError, match="parc: n_components=1; expected at least 2, or None for the features as th"):
        parc(X, y, n_components=1)
    with pytest.raises(UnknownNameError, match="no treatment of ties in parc named 'torn'"):
        parc(X, y, ties="torn")  # type: ignore[arg-type]
    with pytest.raises(ScoreError, match="parc is not defined for regression; it is for classification, multilabel"):
        parc(X, X[:, 0])


@pytest.mark.parametrize("k", [3, 5, 6, 40])
def test_published_ties_are_those_of_one_hot_rows(k: int) -> None:
    """As NumPy's correlation of one-hot rows tears them; 4 classes, whose shares are exact in binary, stay whole."""
    X, y = problem(3 * k, 6, k)
    pairs = np.triu_indices(len(y), 1)
    unlike = 1 - np.corrcoef((X - X.mean(axis=0)) / X.std(axis=0))[pairs]
    labels = 1 - np.corrcoef(np.eye(k))[y[pairs[0]], y[pairs[1]]]
    assert parc(X, y) == pytest.approx(100 * scipy.stats.spearmanr(unlike, labels).statistic, rel=1e-9)
    assert len(np.unique(labels)) > 2
    X, y = problem(60, 6, 4)
    assert parc(X, y) == parc(X, y, ties="exact")
