"""Nearest mean against its definition in loops and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestCentroid

import transferscope as ts
from transferscope.errors import ScoreError
from transferscope.scorers import SCORERS, nearest_mean


def problem(n: int, d: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) + 2.0, y


def literal(X: np.ndarray, y: np.ndarray) -> float:
    """x.mu - |mu|^2 / 2 + ln pi for every row and class, and the softmax of that."""
    classes = sorted(set(y.tolist()))
    means = {c: [float(np.mean([row[j] for row in X[y == c]])) for j in range(X.shape[1])] for c in classes}
    total = 0.0
    for row, own in zip(X, y.tolist(), strict=True):
        logits = {}
        for c in classes:
            product = sum(a * b for a, b in zip(row, means[c], strict=True))
            logits[c] = product - sum(a * a for a in means[c]) / 2 + math.log(np.mean(y == c))
        top = max(logits.values())
        total += math.exp(logits[own] - top) / sum(math.exp(value - top) for value in logits.values())
    return total / len(X)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(4, 25), d=st.integers(1, 30), k=st.integers(2, 4), seed=st.integers(0, 10**6))
def test_is_its_definition(n: int, d: int, k: int, seed: int) -> None:
    X, y = problem(n, d, k, seed)
    assert nearest_mean(X, y) == pytest.approx(literal(X, y), rel=1e-9)
    assert nearest_mean(X, 7 * y - 3) == nearest_mean(X, y)  # numbers that no class has are no classes


def test_large_features_tend_to_the_share_that_is_nearest_to_its_own_mean() -> None:
    X, y = problem(60, 4, 3, seed=1)
    nearest = NearestCentroid().fit(X, y).predict(X)
    assert nearest_mean(1e6 * X, y) == pytest.approx(np.mean(nearest == y), rel=1e-9)
    assert np.mean(nearest == y) < 1


def test_small_features_tend_to_the_squared_shares() -> None:
    X, y = problem(60, 4, 3, seed=1)
    shares = np.bincount(y) / 60
    assert nearest_mean(1e-8 * X, y) == pytest.approx((shares**2).sum(), rel=1e-9)
    assert nearest_mean(np.full((60, 4), 0.1), y) == pytest.approx((shares**2).sum(), rel=1e-12)


def test_it_depends_on_scale_and_not_on_shift_or_rotation() -> None:
    X, y = problem(60, 4, 3, seed=1)
    values = [nearest_mean(factor * X, y) for factor in (0.1, 1.0, 3.0)]
    assert values[0] + 0.05 < values[1] < values[2] - 0.02
    turned = X @ np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    assert nearest_mean(turned, y) == pytest.approx(values[1], rel=1e-12)
    assert nearest_mean(X + 1e6, y) == pytest.approx(values[1], rel=1e-8)
    single = (X + 1e4).astype(np.float32)
    assert nearest_mean(single, y) == pytest.approx(literal(single.astype(np.float64) - 1e4, y), rel=1e-9)


def test_small_classes_and_copies() -> None:
    """A class of one row is certain of it where it lies far off; copies change nothing."""
    X = np.array([[0.0], [0.1], [0.2], [50.0]])
    assert nearest_mean(X, [0, 0, 0, 1]) == pytest.approx(1.0, abs=1e-12)
    assert nearest_mean(np.array([[0.0], [1e-3]]), ["a", "b"]) == pytest.approx(0.5, abs=1e-6)
    X, y = problem(30, 4, 3)
    assert nearest_mean(np.tile(X, (3, 1)), np.tile(y, 3)) == pytest.approx(nearest_mean(X, y), rel=1e-12)


def test_certainty_orders_nothing_and_says_so() -> None:
    X = 20 * np.random.default_rng(0).normal(size=(10, 60))
    found = ts.score(X, np.arange(10) % 2, ["nearest_mean"])["nearest_mean"]
    assert found.saturated
    assert found.warnings[0].startswith("Saturated: every sample is nearest to its own class mean, in which it counts")
    assert not ts.score(*problem(60, 4, 3, seed=1), ["nearest_mean"])["nearest_mean"].saturated


def test_the_mean_of_what_samples_add() -> None:
    X, y = problem(60, 4, 3, seed=1)
    each = SCORERS["nearest_mean"].per_sample(X, y)  # type: ignore[misc]
    assert each.shape == (60,)
    assert nearest_mean(X, y) == each.mean()
    own = np.linalg.norm(X - np.stack([X[y == k].mean(axis=0) for k in range(3)])[y], axis=1)
    assert each[own.argmin()] > each[own.argmax()]


def test_refusals() -> None:
    X, y = problem(20, 4, 2)
    with pytest.raises(ScoreError, match="nearest_mean: labels hold fractions such as 0.5; expected classes"):
        nearest_mean(X, y + 0.5)
    with pytest.raises(ScoreError, match="nearest_mean is not defined for multilabel; it is for classification"):
        nearest_mean(X, np.eye(2, dtype=int)[y])
