"""Least squares against refits by NumPy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

import transferscope as ts
from transferscope.errors import ScoreError
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, least_squares


def problem(n: int, d: int, c: int, seed: int = 0, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) + 2.0
    return X, X @ rng.normal(size=(d, c)) / np.sqrt(d) + noise * rng.normal(size=(n, c)) + 1.0


def literal(X: np.ndarray, T: np.ndarray, intercept: bool) -> float:
    """The normal equations solved by a generalised inverse, column by column and residual by residual."""
    X = np.hstack([X, np.ones((len(X), 1))]) if intercept else X
    total = 0.0
    for column in T.T:
        weights = np.linalg.pinv(X, rcond=1e-10) @ column
        for row, wanted in zip(X, column, strict=True):
            total += (wanted - row @ weights) ** 2
    return -total / T.size


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(3, 40),
    d=st.integers(1, 45),
    c=st.integers(1, 3),
    seed=st.integers(0, 10**6),
    intercept=st.booleans(),
)
def test_is_its_definition(n: int, d: int, c: int, seed: int, intercept: bool) -> None:
    X, T = problem(n, d, c, seed)
    assert least_squares(X, T, intercept=intercept) == pytest.approx(literal(X, T, intercept), rel=1e-7, abs=1e-10)


@pytest.mark.parametrize("intercept", [True, False])
def test_library_agrees(intercept: bool) -> None:
    X, T = problem(80, 6, 2)
    predicted = LinearRegression(fit_intercept=intercept).fit(X, T).predict(X)
    assert least_squares(X, T, intercept=intercept) == pytest.approx(-np.square(T - predicted).mean(), rel=1e-10)
    assert least_squares(X, T[:, 0], intercept=intercept) == pytest.approx(
        -np.square(T - predicted)[:, 0].mean(), rel=1e-10
    )


def test_multilabel_columns() -> None:
    X, T = problem(60, 5, 3)
    Y = (T > 1.0).astype(int)
    assert least_squares(X, Y) == pytest.approx(literal(X, Y.astype(float), True), rel=1e-9)
    assert least_squares(X, Y, task="multilabel") == least_squares(X, Y.astype(float), task="regression")


def test_redundant_features_add_nothing() -> None:
    X, T = problem(80, 4, 2)
    wide = X @ np.random.default_rng(1).normal(size=(4, 12))
    assert least_squares(wide, T) == pytest.approx(least_squares(X, T), rel=1e-9)
    assert least_squares(wide.astype(np.float32), T) == pytest.approx(least_squares(X, T), rel=1e-4)
    assert least_squares(np.hstack([X, np.full((80, 2), 7.0)]), T) == pytest.approx(least_squares(X, T), rel=1e-10)


@pytest.mark.parametrize("power", [-8, 8])
@pytest.mark.parametrize("shape", [(200, 6), (30, 25)])
def test_features_may_be_moved_and_scaled(shape: tuple[int, int], power: int) -> None:
    X, T = problem(*shape, 2)
    value = least_squares(X, T)
    assert least_squares((X + 1e6) * 10.0**power, T) == pytest.approx(value, rel=1e-6)
    assert least_squares(X * np.geomspace(1, 1e3, shape[1]), T) == pytest.approx(value, rel=1e-6)
    assert least_squares(X * 10.0**power, T, intercept=False) == pytest.approx(literal(X, T, False), rel=1e-8)


def test_targets_may_be_moved_and_their_scale_counts() -> None:
    X, T = problem(100, 5, 2)
    value = least_squares(X, T)
    assert least_squares(X, T + 1e4) == pytest.approx(value, rel=1e-6)
    for factor in (1e-6, 1e6):
        assert least_squares(X, factor * T) == pytest.approx(factor**2 * value, rel=1e-9)
    assert least_squares(X, T + 1e4, intercept=False) < value - 1.0


def test_perfect_fits_and_none() -> None:
    X, _ = problem(50, 5, 1)
    assert least_squares(X, X[:, :2]) == 0.0
    assert least_squares(X, X[:, :2] * 3 + 1e3) == pytest.approx(0.0, abs=1e-8)
    assert least_squares(X, np.full(50, 2.5)) == 0.0  # what is constant is fitted
    T = np.random.default_rng(0).normal(size=(50, 2))
    assert least_squares(np.full((50, 3), 0.5), T) == pytest.approx(-T.var(axis=0).mean(), rel=1e-12)
    assert least_squares(np.repeat(X[:10], 5, axis=0), T) < -0.5  # 5 rows each, so no perfect fit


@pytest.mark.parametrize("intercept", [True, False])
def test_saturates_and_says_so(intercept: bool) -> None:
    X, T = problem(20, 25, 2)
    assert least_squares(X, T, intercept=intercept) == 0.0
    says = SCORERS["least_squares"].saturated(Moments.from_features(X, T), 0.0) or ""
    assert says.startswith("Saturated: 20 samples span all of their 19 directions, so every target is fitted")
    assert SCORERS["least_squares"].saturated(Moments.from_features(*problem(40, 25, 2)), -0.1) is None
    assert ts.score(X, T, ["least_squares"], task="regression")["least_squares"].saturated


def test_moments_are_enough() -> None:
    for shape in ((60, 5), (12, 30)):
        X, T = problem(*shape, 2)
        assert least_squares(None, None, moments=Moments.from_features(X, T)) == least_squares(X, T)
        streamed = Moments.from_features(X[:7], T[:7]) + Moments.from_features(X[7:], T[7:])
        assert least_squares(None, None, moments=streamed) == pytest.approx(least_squares(X, T), rel=1e-9)


def test_arrays_stay_as_they_are() -> None:
    X, T = problem(30, 4, 2)
    kept = X.copy(), T.copy()
    X.flags.writeable = T.flags.writeable = False
    least_squares(X, T)
    least_squares(X, T, intercept=False)
    np.testing.assert_array_equal(X, kept[0])
    np.testing.assert_array_equal(T, kept[1])


def test_refusals() -> None:
    X, T = problem(30, 4, 2)
    with pytest.raises(
        ScoreError, match="least_squares is not defined for classification; it is for multilabel, regr"
    ):
        least_squares(X, np.arange(30) % 3)
    with pytest.raises(ScoreError, match="least_squares: 30 rows of features but 20 rows of targets; give one per"):
        least_squares(X, T[:20])
    T[3, 0] = np.inf
    with pytest.raises(ScoreError, match="least_squares: targets hold 0 NaN and 1 infinite values"):
        least_squares(X, T)
