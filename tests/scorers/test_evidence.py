"""LogME's evidence against the density with an N x N covariance, and against exact arithmetic of fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import multivariate_normal

from transferscope.features.moments import Moments
from transferscope.scorers.evidence import Evidence, density, maximise

Exact = list[list[Fraction]]
SHAPES = [(40, 5), (12, 1), (9, 8), (8, 8), (8, 7), (7, 20)]  # among them N - 1 = D, N = D and N < D


def problem(n: int, d: int, seed: int = 0, offset: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Features of a grid to which an offset adds without rounding, and two columns of targets."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * np.geomspace(0.5, 2.0, d)
    T = np.stack([X @ rng.normal(size=d) + rng.normal(size=n) + 1, rng.normal(size=n)], axis=1)
    return np.round(64 * X) / 64 + offset, np.round(64 * T) / 64


def evidence_of(X: np.ndarray, T: np.ndarray) -> Evidence:
    return Evidence.of(Moments.from_features(X, T, task="regression"))


def both(u: float) -> np.ndarray:
    return np.array([u, u])


@settings(max_examples=60, deadline=None)
@given(n=st.integers(3, 20), d=st.integers(1, 30), seed=st.integers(0, 10**6), u=st.floats(-4, 12))
def test_is_the_density_at_the_best_noise(n: int, d: int, seed: int, u: float) -> None:
    """log N(y; 0, I / beta + X X' / alpha) / n, where no other beta of the same alpha / beta is more likely."""
    X, T = problem(n, d, seed)
    found, t = evidence_of(X, T), math.exp(u)
    values, noise = found.at(both(u)), found.terms(both(u))[0] / n
    np.testing.assert_allclose(found.on_grid(np.array([u, u + 1]))[0], values, rtol=1e-9, atol=1e-9)
    for column in range(2):

        def log_density(scale: float, column: int = column) -> float:
            covariance = scale * noise[column] * (np.eye(n) + X @ X.T / t)
            return float(multivariate_normal(np.zeros(n), covariance).logpdf(T[:, column])) / n

        assert values[column] == pytest.approx(log_density(1.0), rel=1e-7, abs=1e-7)
        assert values[column] > max(log_density(0.9), log_density(1.1))


def test_density_is_its_formula() -> None:
    """Of a covariance ``q / n`` times one of that determinant, at a point of squared length n under its inverse."""
    covariance = 3.0 / 4 * np.diag([1.0, 2.0, 3.0, 4.0])
    y = np.sqrt(np.diag(covariance))  # y' inverse y = 4 = n
    wanted = multivariate_normal(np.zeros(4), covariance).logpdf(y) / 4
    assert density(np.array([3.0]), np.log([24.0]), 4)[0] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("offset", [0.0, 0.5, 1e4])
@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_slopes_are_those_of_finite_differences(n: int, d: int, offset: float) -> None:
    X, T = problem(n, d, seed=1, offset=offset)
    found, step = evidence_of(X, T), 1e-4
    for u in (-3.0, 0.0, 2.0, 5.0, 9.0):
        slope, bend = found.slopes(both(u))
        above, below, here = found.at(both(u + step)), found.at(both(u - step)), found.at(both(u))
        np.testing.assert_allclose(slope, (above - below) / (2 * step), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(bend, (above - 2 * here + below) / step**2, rtol=1e-4, atol=1e-6)


def fractions(values: np.ndarray) -> Exact:
    return [[Fraction(value) for value in row] for row in values.tolist()]


def product(A: Exact, B: Exact) -> Exact:
    columns = list(zip(*B, strict=True))
    return [[sum((a * b for a, b in zip(row, column, strict=True)), Fraction(0)) for column in columns] for row in A]


def solve(A: Exact, B: Exact) -> tuple[Exact, Fraction]:
    """A^-1 B and the determinant of A, without rounding."""
    rows, determinant = [a + b for a, b in zip(A, B, strict=True)], Fraction(1)
    for i in range(len(A)):  # positive definite: no pivot is zero
        determinant *= rows[i][i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for j in range(len(A)):
            if j != i:
                rows[j] = [a - rows[j][i] * b for a, b in zip(rows[j], rows[i], strict=True)]
    return [row[len(A) :] for row in rows], determinant


@cache
def exactly(n: int, d: int, offset: float, t: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Weights, y'(I + XX'/t)^-1 y, ln det(I + XX'/t), and tr X (X'X + t I)^-1 X'."""
    X, T = (fractions(values) for values in problem(n, d, seed=2, offset=offset))
    transposed = [list(column) for column in zip(*X, strict=True)]
    gram = product(transposed, X)
    shifted = [[gram[i][j] + (Fraction(t) if i == j else 0) for j in range(d)] for i in range(d)]
    weights, determinant = solve(shifted, product(transposed, T))
    fitted = product(X, weights)
    q = [sum(T[i][c] * (T[i][c] - fitted[i][c]) for i in range(n)) for c in range(2)]
    inverse_gram = solve(shifted, gram)[0]
    effective = sum((inverse_gram[i][i] for i in range(d)), Fraction(0))
    ratio = determinant / Fraction(t) ** d
    log_determinant = math.log(ratio.numerator) - math.log(ratio.denominator)
    return np.array(weights, float), np.array(q, float), np.array(log_determinant), float(effective)


@pytest.mark.parametrize(("offset", "slack"), [(0.0, 1e-11), (1e4, 1e-9), (1e6, 1e-7)])
@pytest.mark.parametrize("t", [2.0**-10, 0.5, 64.0, 2.0**30])
@pytest.mark.parametrize(("n", "d"), [(10, 3), (6, 5), (5, 5), (4, 7)])
def test_large_means_keep_their_digits(n: int, d: int, t: float, offset: float, slack: float) -> None:
    """X'X of a mean of 1e6 standard deviations has lost all of 12 digits; and t from far below to far above it."""
    X, T = problem(n, d, seed=2, offset=offset)
    moments = Moments.from_features(X, T, task="regression")
    found, u = Evidence.of(moments), both(math.log(t))
    weights, q, log_determinant, effective = exactly(n, d, offset, t)
    np.testing.assert_allclose(found.weights(u, moments), weights, rtol=slack, atol=slack * np.abs(weights).max())
    np.testing.assert_allclose(found.terms(u)[0], q, rtol=slack)
    np.testing.assert_allclose(found.terms(u)[1], log_determinant, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(found.effective(u), effective, rtol=1e-10)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_weights_and_effective_number_are_those_of_ridge_regression(n: int, d: int) -> None:
    """Without centring: (X'X + t I)^-1 X'y, and the trace of its hat matrix; every column at its own t."""
    X, T = problem(n, d, seed=3)
    moments = Moments.from_features(X, T, task="regression")
    found, u = Evidence.of(moments), np.array([-1.0, 3.0])
    for column in range(2):
        inverse = np.linalg.inv(X.T @ X + math.exp(u[column]) * np.eye(d))
        np.testing.assert_allclose(found.weights(u, moments)[:, column], inverse @ X.T @ T[:, column], atol=1e-10)
        assert found.effective(u)[column] == pytest.approx(np.trace(X @ inverse @ X.T), rel=1e-10)
        rest = T[:, column] - X @ inverse @ X.T @ T[:, column]
        assert found.terms(u)[0][column] == pytest.approx(rest @ T[:, column], rel=1e-9)


@pytest.mark.parametrize("power", [-8, 8])
@pytest.mark.parametrize("shape", [(40, 5), (7, 20)])
def test_scale_moves_u_and_nothing_else(shape: tuple[int, int], power: int) -> None:
    X, T = problem(*shape)
    plain, scaled = evidence_of(X, T), evidence_of(X * 10.0**power, T)
    for u in (-2.0, 4.0, 20.0):
        moved = both(u + 2 * power * math.log(10))
        np.testing.assert_allclose(scaled.at(moved), plain.at(both(u)), rtol=1e-9)
        np.testing.assert_allclose(scaled.effective(moved), plain.effective(both(u)), rtol=1e-9)
        np.testing.assert_allclose(scaled.slopes(moved), plain.slopes(both(u)), rtol=1e-7, atol=1e-12)
    tiny = np.trace(X @ X.T) * 10.0 ** (2 * power)
    if power == -8:  # where t is far above all squares, the number is their share of it
        np.testing.assert_allclose(scaled.effective(both(0.0)), tiny, rtol=1e-9)


@pytest.mark.parametrize("shape", [(40, 5), (7, 20)])
def test_without_weights(shape: tuple[int, int]) -> None:
    """u of infinity: every error is left, and no determinant."""
    X, T = problem(*shape)
    moments = Moments.from_features(X, T, task="regression")
    found, nothing = Evidence.of(moments), both(np.inf)
    np.testing.assert_allclose(found.terms(nothing)[0], np.square(T).sum(axis=0), rtol=1e-12)
    assert found.terms(nothing)[1].tolist() == [0.0, 0.0]
    assert not found.weights(nothing, moments).any()
    assert found.effective(nothing).tolist() == [0.0, 0.0]
    wanted = [np.mean([multivariate_normal.logpdf(y, 0, np.mean(column**2)) for y in column]) for column in T.T]
    np.testing.assert_allclose(found.at(nothing), wanted, rtol=1e-12)
    np.testing.assert_allclose(found.without_signal(), wanted, rtol=1e-12)
    np.testing.assert_allclose(found.at(both(60.0)), wanted, rtol=1e-10)  # its limit
    half = found.terms(np.array([np.inf, 0.0]))
    assert half[1][0] == 0.0 < half[1][1]


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(4, 20), d=st.integers(1, 25), seed=st.integers(0, 10**6), offset=st.sampled_from([0.0, 0.5, 100.0])
)
def test_maximum_is_not_surpassed(n: int, d: int, seed: int, offset: float) -> None:
    X, T = problem(n, d, seed, offset)
    found = evidence_of(X, T)
    values, u, perfect = maximise(found)
    low, high = found.bounds()
    np.testing.assert_allclose(found.at(u), values, rtol=1e-12, atol=1e-12)
    for column in range(2):
        elsewhere = found.on_grid(np.linspace(low, high, 997))[:, column]
        assert values[column] >= max(elsewhere.max(), found.without_signal()[column]) - 1e-12
        if np.isfinite(u[column]) and not perfect:
            near = minimize_scalar(
                lambda v, column=column: -found.at(both(v))[column],
                bounds=(u[column] - 0.3, u[column] + 0.3), method="bounded", options={"xatol": 1e-9},
            )  # fmt: skip
            assert values[column] >= -near.fun - 1e-12
            assert abs(found.slopes(both(u[column]))[0][column]) < 1e-6


def test_search_reaches_below_a_large_mean() -> None:
    """Of 1e7 standard deviations: 1e12 times less than its square is still above the best t.

    Weights that add up to zero do not see the mean.
    """
    X, _ = problem(60, 3, offset=0.0)
    T = 10 * X @ [[1.0, 1.0], [-1.0, 1.0], [0.0, -2.0]] + np.random.default_rng(0).normal(size=(60, 2))
    found = evidence_of(X + 1e7, T)
    values, u, perfect = maximise(found)
    assert not perfect
    assert (u < np.log(60 * 3e14) - np.log(1e12) - 1).all()
    assert (values >= found.on_grid(np.linspace(-30, 60, 9001)).max(axis=0) - 1e-9).all()


def test_perfect_fits_are_told() -> None:
    X, T = problem(12, 20)
    T[:, 0] = X @ np.random.default_rng(0).normal(size=20)
    found = evidence_of(X, T)
    _, u, perfect = maximise(found)
    assert perfect
    assert u[0] == pytest.approx(found.bounds()[0], abs=1.0)
    X, T = problem(30, 4)
    assert not maximise(evidence_of(X, T))[2]
    T[:, 1] = X @ [1.0, -2.0, 0.5, 3.0]
    assert maximise(evidence_of(X, T))[2]


def test_what_no_weights_explain() -> None:
    """Of N - 1 directions and the constant column nothing is left, however rounding falls."""
    for n, d in ((40, 5), (9, 3)):
        X, T = problem(n, d)
        A = np.column_stack([X, np.ones(n)])
        wanted = [float(np.square(t - A @ np.linalg.lstsq(A, t, rcond=None)[0]).sum()) for t in T.T]
        np.testing.assert_allclose(evidence_of(X, T).residual, wanted, rtol=1e-10)
    for n, d in ((9, 8), (8, 8), (7, 20)):
        X, T = problem(n, d)
        for widths in (np.ones(d), np.geomspace(1.0, 1e-5, d)):  # of small directions the summed squares know little
            assert evidence_of(X * widths, T).residual.tolist() == [0.0, 0.0]
    for seed in range(20):
        X, T = problem(30, 4, seed, offset=0.1)
        T[:, 1] = X @ [1.0, -2.0, 0.5, 3.0] + 7
        assert evidence_of(X, T).residual[1] == 0.0 < evidence_of(X, T).residual[0]


@pytest.mark.parametrize("shape", [(20, 3), (3, 20)])
def test_features_that_do_not_vary(shape: tuple[int, int]) -> None:
    """Zeros explain nothing; a constant is an intercept, shrunk as weights are."""
    T = np.random.default_rng(0).normal(size=(shape[0], 2)) + 2
    flat = evidence_of(np.zeros(shape), T)
    assert flat.is_flat
    values, u, perfect = maximise(flat)
    np.testing.assert_array_equal(values, flat.without_signal())
    assert (u.tolist(), perfect) == ([np.inf, np.inf], False)
    X = np.full(shape, 2.0)
    found = evidence_of(X, T)
    assert not found.is_flat
    for point in (0.0, 3.0):
        covariance = np.eye(len(X)) + X @ X.T / math.exp(point)
        q, log_determinant = found.terms(both(point))
        np.testing.assert_allclose(q, np.diag(T.T @ np.linalg.solve(covariance, T)), rtol=1e-10)
        np.testing.assert_allclose(log_determinant, np.linalg.slogdet(covariance)[1], rtol=1e-10)
    assert (maximise(found)[0] > found.without_signal()).all()


def test_redundant_and_float32_features() -> None:
    """Rank 3 in 8 columns; and what storing in single precision rounds is no direction."""
    X, T = problem(40, 3)
    wide = X @ np.random.default_rng(1).normal(size=(3, 8))
    found = evidence_of(wide, T)
    assert found.sigma.shape == (3, 1)
    inverse = np.linalg.inv(np.eye(40) + wide @ wide.T / math.e)
    np.testing.assert_allclose(found.terms(both(1.0))[0], np.diag(T.T @ inverse @ T), rtol=1e-9)
    single = evidence_of((wide + 1e4).astype(np.float32), T)
    assert single.sigma.shape == (3, 1)
    np.testing.assert_allclose(maximise(single)[0], maximise(evidence_of(wide + 1e4, T))[0], rtol=1e-5)


def test_classes_are_columns() -> None:
    X, _ = problem(30, 4)
    y = np.arange(30) % 3
    found = Evidence.of(Moments.from_features(X, y))
    wanted = evidence_of(X, np.eye(3)[y])
    np.testing.assert_allclose(found.at(np.zeros(3)), wanted.at(np.zeros(3)), rtol=1e-12)


def test_the_highest_of_two_hills_is_found_whichever_the_grid_is_higher_on() -> None:
    """A strong and a weak direction each carry a part of the labels."""
    rng = np.random.default_rng(0)
    for weak in np.geomspace(1e-6, 1e-2, 40):
        X = rng.normal(size=(30, 2)) * [1.0, weak]
        y = X[:, :1] + X[:, 1:] / weak + 0.5 * rng.normal(size=(30, 1))
        evidence = Evidence.of(Moments.from_features(X, y))
        fine = np.linspace(*evidence.bounds(), 40_000)
        assert maximise(evidence)[0][0] >= evidence.on_grid(fine).max() - 1e-12
