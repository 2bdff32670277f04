"""Leave-one-out ridge regression against as many refits as there are samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from transferscope.errors import ScoreError
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, ridge_loo
from transferscope.scorers.hat import PENALTIES, best_penalty
from transferscope.scorers.ridge_loo import left_out_predictions
from transferscope.scorers.score import score


def problem(n: int, d: int, k: int, seed: int = 0, separation: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return separation * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) + 2.0, y


def refits(X: np.ndarray, Y: np.ndarray, alpha: float) -> np.ndarray:
    """Each row's prediction by normal equations of all other rows, with an intercept that is not penalised."""
    predicted = np.empty_like(Y, dtype=float)
    for i in range(len(X)):
        rest = np.arange(len(X)) != i
        x_mean, y_mean = X[rest].mean(axis=0), Y[rest].mean(axis=0)
        A, B = X[rest] - x_mean, Y[rest] - y_mean
        weights = np.linalg.solve(A.T @ A + alpha * np.eye(X.shape[1]), A.T @ B)
        predicted[i] = y_mean + (X[i] - x_mean) @ weights
    return predicted


def generalised_error(X: np.ndarray, Y: np.ndarray, penalty: float) -> float:
    """Golub, Heath and Wahba's: squared error of the fit over the square of what its hat matrix leaves."""
    n, A = len(X), X - X.mean(axis=0)
    hat = 1 / n + A @ np.linalg.solve(A.T @ A + penalty * np.eye(X.shape[1]), A.T)
    return float(np.square(Y - hat @ Y).sum() / (n - np.trace(hat)) ** 2)


def chosen(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """The refits of the penalty with the least generalised cross-validation error."""
    scale = np.square(X - X.mean(axis=0)).sum() / X.shape[1]
    best = min(PENALTIES * scale, key=lambda penalty: generalised_error(X, Y, penalty))
    assert best_penalty(Moments.from_features(X, Y)) == pytest.approx(best, rel=1e-12)
    return refits(X, Y, best)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(6, 25), d=st.integers(1, 30), k=st.integers(2, 4), seed=st.integers(0, 10**6),
    alpha=st.sampled_from([0.01, 1.0, 100.0]),
)  # fmt: skip
def test_closed_form_is_that_of_refits(n: int, d: int, k: int, seed: int, alpha: float) -> None:
    X, y = problem(n, d, k, seed)
    Y = np.eye(k)[y]
    wanted = refits(X, Y, alpha)
    np.testing.assert_allclose(left_out_predictions(X, Y, Moments.from_features(X, y), alpha), wanted, atol=1e-9)
    assert ridge_loo(X, y, alpha=alpha) == np.mean(wanted.argmax(axis=1) == y)


@pytest.mark.parametrize(("n", "d", "k"), [(40, 6, 3), (20, 20, 2), (15, 30, 3), (12, 1, 2)])
def test_penalty_is_the_one_with_the_least_error(n: int, d: int, k: int) -> None:
    X, y = problem(n, d, k)
    wanted = chosen(X, np.eye(k)[y])
    got = left_out_predictions(X, np.eye(k)[y], Moments.from_features(X, y), None)
    np.testing.assert_allclose(got, wanted, atol=1e-8)
    assert ridge_loo(X, y) == np.mean(wanted.argmax(axis=1) == y)


def test_library_refits_agree() -> None:
    X, y = problem(25, 4, 3)
    right = [
        Ridge(alpha=2.0).fit(np.delete(X, i, 0), np.eye(3)[np.delete(y, i)]).predict(X[i : i + 1]).argmax() == y[i]
        for i in range(25)
    ]
    assert ridge_loo(X, y, alpha=2.0) == np.mean(right)


def test_numeric_and_multilabel_targets() -> None:
    """R squared of what was left out, averaged over columns that share a penalty."""
    X, _ = problem(30, 5, 2)
    rng = np.random.default_rng(4)
    T = X @ rng.normal(size=(5, 2)) * np.array([1.0, 20.0]) + rng.normal(size=(30, 2)) * np.array([1.0, 90.0]) + 5

    def r2(predicted: np.ndarray, target: np.ndarray) -> float:
        total = np.square(target - target.mean(axis=0)).sum(axis=0)
        return float(np.mean(1 - np.square(predicted - target).sum(axis=0) / total))

    assert ridge_loo(X, T, alpha=3.0) == pytest.approx(r2(refits(X, T, 3.0), T), abs=1e-10)
    assert ridge_loo(X, T) == pytest.approx(r2(chosen(X, T), T), abs=1e-9)
    assert ridge_loo(X, T[:, 0]) == pytest.approx(r2(chosen(X, T[:, :1]), T[:, :1]), abs=1e-9)
    Y = np.greater(T, np.median(T, axis=0)).astype(int)
    assert ridge_loo(X, Y, alpha=3.0) == pytest.approx(r2(refits(X, Y.astype(float), 3.0), Y), abs=1e-10)


def test_without_signal_it_falls_below_chance() -> None:
    """As documented: whoever is left out makes its own class the rarer one."""
    y = np.arange(60) % 3
    assert ridge_loo(np.random.default_rng(0).normal(size=(60, 2)), y, alpha=1e9) == 0.0
    assert ridge_loo(np.zeros((60, 2)), y) == 0.0
    assert "falls below chance" in SCORERS["ridge_loo"].misleads


def test_noise_does_not_explain_a_target() -> None:
    rng = np.random.default_rng(0)
    value = ridge_loo(rng.normal(size=(80, 60)), rng.normal(size=80))
    assert -0.1 < value < 0.1


@pytest.mark.parametrize("power", [-8, 8])
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("shape", [(3000, 5), (20, 30)])
def test_numerical_extremes(shape: tuple[int, int], power: int, offset: float) -> None:
    """Features of scale 1e-8 and 1e8, a mean of 1e6 times the spread, N >> D and N < D."""
    X, y = problem(*shape, 3)
    Y = np.eye(3)[y]
    wanted = left_out_predictions(X, Y, Moments.from_features(X, y), None)
    moved = (X + offset) * 10.0**power
    got = left_out_predictions(moved, Y, Moments.from_features(moved, y), None)
    np.testing.assert_allclose(got, wanted, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(6, 25), d=st.integers(1, 30), seed=st.integers(0, 10**6))
def test_copies_of_all_rows_never_add_to_the_error(n: int, d: int, seed: int) -> None:
    """Twice the rows under twice the penalty are the same fit, and the copy of whoever is left out halves leverage."""
    X, _ = problem(n, d, 2, seed)
    target = np.random.default_rng(seed).normal(size=n) + X[:, 0]
    twice = np.tile(X, (2, 1)), np.tile(target, 2)
    assert ridge_loo(*twice) >= ridge_loo(X, target) - 1e-9
    U, s, _ = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    hat = 1 / n + U @ np.diag(s**2 / (s**2 + 3.0)) @ U.T
    residual = (target - hat @ target) / (1 - np.diag(hat) / 2)
    predicted = left_out_predictions(twice[0], twice[1][:, None], Moments.from_features(*twice), 6.0)
    np.testing.assert_allclose(predicted[:n, 0], target - residual, atol=1e-8)


def test_a_row_that_nothing_else_explains() -> None:
    """Leverage of nearly 1: one feature that only one row has."""
    X, y = problem(20, 3, 2)
    X = np.hstack([X, 1e4 * np.eye(20)[:, :1]])
    wanted = refits(X, np.eye(2)[y], 1e-3)
    got = left_out_predictions(X, np.eye(2)[y], Moments.from_features(X, y), 1e-3)
    np.testing.assert_allclose(got[1:], wanted[1:], atol=1e-6)
    assert np.isfinite(got).all()


def test_refusals() -> None:
    X, y = problem(20, 4, 2)
    for alpha in (0.0, -1.0, float("nan")):
        with pytest.raises(ScoreError, match=rf"ridge_loo: alpha={alpha}; expected a positive penalty"):
            ridge_loo(X, y, alpha=alpha)
    with pytest.raises(ScoreError, match="moments of 19 x 4 features beside 20 x 4 ones; give those of these very"):
        ridge_loo(X, y, moments=Moments.from_features(X[1:], y[1:]))
    with pytest.raises(ScoreError, match="ridge_loo: a target column is constant; there is nothing to explain. Drop"):
        ridge_loo(X, np.stack([X[:, 0], np.full(20, 0.1)], axis=1))


@pytest.mark.parametrize(("n", "d", "n_columns", "least"), [(1000, 5, 1, 0.84), (200, 20, 3, 0.75)])
def test_intervals_of_r_squared_hold_the_mean_of_repeated_samples(
    n: int, d: int, n_columns: int, least: float
) -> None:
    """Nominal 90 %, t with nine degrees of freedom; with ten samples a feature the fits' own chance is missed."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(d, n_columns)) / np.sqrt(d)
    values, errors = [], []
    for _ in range(300):
        X = rng.normal(size=(n, d))
        found = score(X, X @ weight + rng.normal(size=(n, n_columns)), ["ridge_loo"], task="regression")["ridge_loo"]
        values.append(found.value)
        errors.append(found.standard_error)
    held = np.abs(np.array(values) - np.mean(values)) <= 1.833 * np.array(errors, dtype=float)
    assert least <= held.mean() <= 0.97
