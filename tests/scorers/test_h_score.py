"""H-score against its published formula and against canonical correlations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles

from transferscope.errors import ScoreError
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, h_score


def problem(n: int, d: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) + 2.0, y


def published(X: np.ndarray, y: np.ndarray, rcond: float) -> float:
    """tr(cov(X)^+ cov(g)), g the class mean of each row, as Bao et al. define it."""
    means = np.stack([X[y == k].mean(axis=0) for k in range(y.max() + 1)])
    covariance = np.atleast_2d(np.cov(X, rowvar=False))
    between = np.atleast_2d(np.cov(means[y], rowvar=False))
    return float(np.trace(np.linalg.pinv(covariance, rcond=rcond, hermitian=True) @ between))


def canonical(X: np.ndarray, y: np.ndarray) -> float:
    """Sum of squared canonical correlations of features and classes: cosines of angles between their spans."""
    members = np.eye(y.max() + 1)[y][:, 1:]
    angles = subspace_angles(X - X.mean(axis=0), members - members.mean(axis=0))
    return float(np.square(np.cos(angles)).sum())


@settings(max_examples=60, deadline=None)
@given(n=st.integers(12, 60), d=st.integers(1, 10), k=st.integers(2, 4), seed=st.integers(0, 10**6))
def test_is_the_published_trace_and_canonical_correlations(n: int, d: int, k: int, seed: int) -> None:
    X, y = problem(n, d, k, seed)
    assert h_score(X, y) == pytest.approx(published(X, y, 1e-12), rel=1e-8)
    assert h_score(X, y) == pytest.approx(canonical(X, y), rel=1e-8)


def test_redundant_features_add_nothing() -> None:
    """Rank 4 in 12 columns: a generalised inverse is meant."""
    X, y = problem(80, 4, 3)
    wide = X @ np.random.default_rng(1).normal(size=(4, 12))
    assert h_score(wide, y) == pytest.approx(h_score(X, y), rel=1e-9)
    assert h_score(wide.astype(np.float32), y) == pytest.approx(h_score(X, y), rel=1e-4)
    assert h_score(np.hstack([X, np.zeros((80, 3)), np.full((80, 1), 7.0)]), y) == pytest.approx(h_score(X, y))
    assert published(wide, y, 1e-12) == pytest.approx(h_score(X, y), rel=1e-8)


@pytest.mark.parametrize("power", [-8, -4, 4, 8])
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("shape", [(5000, 6), (30, 20)])
def test_numerical_extremes(shape: tuple[int, int], power: int, offset: float) -> None:
    """Scales of 1e-8 and 1e8, a mean of a million standard deviations, and N >> D."""
    X, y = problem(*shape, 3)
    assert h_score((X + offset) * 10.0**power, y) == pytest.approx(canonical(X, y), rel=1e-7)


def test_weak_directions_count_as_strong_ones_do() -> None:
    """Rows kept and rows summed up: directions of 1e-5 hold all of the signal."""
    for n in (60, 25):
        X, y = problem(n, 30, 2, seed=3)
        X[:, 20:] += 3 * y[:, None]
        weak = X * np.concatenate([np.ones(20), np.full(10, 1e-5)])
        assert h_score(weak, y) == pytest.approx(canonical(X, y), rel=1e-5)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_saturates_at_k_minus_1_and_says_so(k: int) -> None:
    X, y = problem(20, 20, k)
    shuffled = np.random.default_rng(0).permutation(y)
    assert h_score(X, y) == pytest.approx(k - 1, rel=1e-9)
    assert h_score(X, shuffled) == pytest.approx(k - 1, rel=1e-9)
    says = SCORERS["h_score"].saturated(Moments.from_features(X, y), k - 1.0) or ""
    assert says.startswith("Saturated: 20 samples span all of their 19 directions, so it is K - 1 whatever the labels")
    assert SCORERS["h_score"].saturated(Moments.from_features(*problem(90, 20, k)), 0.5) is None


def test_uneven_classes_are_told() -> None:
    X, _ = problem(45, 4, 2)
    y = np.array([0] * 42 + [1] * 3)
    says = ["Every class weighs the same in it, and the rarest has 3 sample(s)."]
    assert SCORERS["h_score"].caveats(Moments.from_features(X, y)) == says


def test_refusals() -> None:
    X, y = problem(30, 4, 2)
    for moments in (Moments.from_features(X, X[:, 0]), Moments.from_features(X[y == 0], y[y == 0])):
        with pytest.raises(ScoreError, match=r"these moments are not of 2 classes or more; take them with task='clas"):
            h_score(X, y, moments=moments)
    with pytest.raises(ScoreError, match="h_score: labels hold fractions such as 0.5; expected classes"):
        h_score(X, y + 0.5)
