"""Nearest neighbours against loops over all pairs and against scikit-learn."""

from __future__ import annotations

import sys
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from transferscope.errors import ScoreError, UnknownNameError
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, knn


def problem(n: int, d: int, k: int, seed: int = 0, separation: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return separation * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) + 2.0, y


def nearest(X: np.ndarray, i: int, k: int) -> list[tuple[float, int]]:
    """Distances and rows, of equal distances the earlier row first."""
    others = [(float(np.sqrt(np.square(X[i] - X[j]).sum())), j) for j in range(len(X)) if j != i]
    return sorted(others)[:k]


def literal(X: np.ndarray, y: np.ndarray, k: int, ties: str) -> float:
    hits = 0
    for i in range(len(X)):
        votes: dict[int, int] = defaultdict(int)
        reach: dict[int, float] = defaultdict(float)
        for distance, j in nearest(X, i, k):
            votes[int(y[j])] += 1
            reach[int(y[j])] += distance
        most = [c for c in votes if votes[c] == max(votes.values())]
        winner = min(most) if ties == "label" else min(most, key=lambda c: (reach[c], c))
        hits += winner == y[i]
    return hits / len(X)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(7, 25), d=st.integers(1, 4), classes=st.integers(2, 4), seed=st.integers(0, 10**6),
    k=st.integers(1, 6), ties=st.sampled_from(["label", "distance"]), grid=st.booleans(),
)  # fmt: skip
@example(n=7, d=2, classes=3, seed=8948, k=1, ties="label", grid=True)  # equal distances of which one rounds up
def test_is_the_vote_of_the_nearest(n: int, d: int, classes: int, seed: int, k: int, ties: str, grid: bool) -> None:
    """On a grid of whole numbers rows repeat and distances are equal more often than not."""
    X, y = problem(n, d, classes, seed)
    X = np.round(X) if grid else X
    assert knn(X, y, k=k, ties=ties) == literal(X, y, k, ties)  # type: ignore[arg-type]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_library_agrees(k: int) -> None:
    X, y = problem(80, 5, 3, seed=1)
    left_out = KNeighborsClassifier(k, algorithm="brute").fit(X, y).predict(None)  # of all rows but one's own
    assert knn(X, y, k=k) == np.mean(left_out == y)
    target = X[:, 0] ** 2 + np.random.default_rng(0).normal(size=80)
    left_out = KNeighborsRegressor(k, algorithm="brute").fit(X, target).predict(None)
    assert knn(X, target, k=k) == pytest.approx(np.corrcoef(left_out, target)[0, 1], rel=1e-10)


def test_correlation_is_averaged_over_columns() -> None:
    X, _ = problem(40, 3, 2)
    T = np.stack([X[:, 0], X[:, 1] + np.random.default_rng(0).normal(size=40), X[:, 2] * 1e6], axis=1)
    each = []
    for column in T.T:
        mean = [np.mean([column[j] for _, j in nearest(X, i, 3)]) for i in range(40)]
        each.append(np.corrcoef(mean, column)[0, 1])
    assert knn(X, T, k=3) == pytest.approx(np.mean(each), rel=1e-10)
    assert knn(X, -T, k=3) == pytest.approx(np.mean(each), rel=1e-10)


def test_neighbours_that_do_not_vary_correlate_with_nothing() -> None:
    """All rows are equal: the first is everyone's neighbour but its own."""
    target = np.array([5.0, 5.0, 1.0, 2.0])
    assert knn(np.zeros((4, 2)), target) == 0.0


@pytest.mark.parametrize("k", [1, 2, 4])
def test_copies_are_neighbours_and_a_row_is_not_its_own(k: int) -> None:
    """Codes that drop the first column of an argsort may drop the copy and keep the row itself."""
    X = np.repeat(np.arange(10.0)[:, None], 2, axis=1).repeat(2, axis=0)
    y = np.arange(20) % 2  # each row's copy is of the other class
    assert knn(X, y) == 0.0
    assert knn(X, y, k=k) == literal(X, y, k, "label")


@pytest.mark.parametrize("power", [-8, 8])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_numerical_extremes(offset: float, power: int) -> None:
    """Scales of 1e-8 and 1e8 and a mean of a million: expanding the square alone would name the wrong neighbours."""
    X, y = problem(60, 3, 3, seed=2)
    moved = (np.round(X, 3) + offset) * 10.0**power
    assert knn(moved, y, k=3) == knn(np.round(X, 3), y, k=3)
    single = (X + offset).astype(np.float32)
    assert knn(single, y, k=3) == literal(single.astype(float), y, 3, "label")


def test_far_outlier_costs_the_others_no_digits() -> None:
    """One row at 1e8 makes the expanded squares of all others rounding noise; the nearest are measured again."""
    X, y = problem(50, 3, 2, seed=3, separation=3.0)
    X[0] = 1e8
    assert knn(X, y) == literal(X, y, 1, "label")
    assert knn(X, y) > 0.8


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = problem(53, 4, 3)
    values = [knn(X, y, k=k) for k in (1, 4)] + [knn(X, X[:, 0])]
    monkeypatch.setattr(sys.modules["transferscope.scorers.knn"], "BLOCK", 53 * 5)
    assert [knn(X, y, k=k) for k in (1, 4)] + [knn(X, X[:, 0])] == values


def test_classes_of_one_sample_are_told() -> None:
    X, _ = problem(8, 2, 2)
    y = [0, 0, 0, 1, 1, 1, 2, 3]
    says = ("2 class(es) have one sample, which no other can vouch for: always wrong.",)
    assert SCORERS["knn"].caveats(Moments.from_features(X, y)) == says
    assert SCORERS["knn"].caveats(Moments.from_features(X, [0, 0, 0, 0, 1, 1, 1, 1])) == ()
    assert SCORERS["knn"].caveats(Moments.from_features(X, X[:, 0])) == ()


def test_refusals() -> None:
    X, y = problem(10, 3, 2)
    for k in (0, 10):
        with pytest.raises(ScoreError, match=f"knn: k={k} with 10 samples; expected 1 <= k < number of samples"):
            knn(X, y, k=k)
    with pytest.raises(UnknownNameError, match="no way to break ties named 'labels'. Did you mean 'label'"):
        knn(X, y, ties="labels")  # type: ignore[arg-type]
    with pytest.raises(ScoreError, match="knn: a target column is constant; there is nothing to explain. Drop it."):
        knn(X, np.full(10, 0.5))
    with pytest.raises(ScoreError, match="knn is not defined for multilabel; it is for classification, regression"):
        knn(X, np.eye(10, dtype=int))
