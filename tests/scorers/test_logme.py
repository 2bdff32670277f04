"""LogME against the marginal likelihood of its model, written out with the N x N covariance."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar

from transferscope.errors import ScoreError, UnknownNameError
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, logme


def density(X: np.ndarray, y: np.ndarray, log_alpha: float, log_beta: float) -> float:
    """Log of N(y; 0, I / beta + X X' / alpha) per sample."""
    covariance = np.eye(len(X)) * np.exp(-log_beta) + X @ X.T * np.exp(-log_alpha)
    sign, log_determinant = np.linalg.slogdet(covariance)
    assert sign > 0
    quadratic = y @ np.linalg.solve(covariance, y)
    return float(-0.5 * (log_determinant + quadratic + len(y) * np.log(2 * np.pi)) / len(y))


def largest_density(X: np.ndarray, y: np.ndarray) -> float:
    """Over both precisions, without any of the algebra: a coarse grid, then a simplex search from its best points."""
    size = np.log(np.square(X).sum())
    spread = -np.log(np.square(y).mean())
    starts = [(size + a + spread, spread + b) for a in range(-12, 9, 3) for b in (-1.0, 1.0, 3.0)]
    starts.sort(key=lambda start: -density(X, y, *start))
    found = [
        minimize(
            lambda p: -density(X, y, *p), start, method="Nelder-Mead",
            options={"xatol": 1e-7, "fatol": 1e-13, "maxiter": 2000},
        )
        for start in starts[:3]
    ]  # fmt: skip
    return max(-one.fun for one in found)


def problem(n: int, d: int, k: int, seed: int, separation: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return separation * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) + 0.5, y


@pytest.mark.parametrize(("n", "d", "k"), [(40, 5, 3), (30, 1, 2), (25, 20, 2), (20, 19, 2)])
@pytest.mark.parametrize("separation", [0.3, 1.0, 3.0])
def test_is_the_largest_marginal_likelihood(n: int, d: int, k: int, separation: float) -> None:
    X, y = problem(n, d, k, seed=n, separation=separation)
    want = np.mean([largest_density(X, column) for column in np.eye(k)[y].T])
    assert logme(X, y) == pytest.approx(want, abs=1e-7)


def test_other_targets() -> None:
    X, _ = problem(40, 6, 2, seed=1)
    rng = np.random.default_rng(2)
    T = X @ rng.normal(size=(6, 2)) + 2 * rng.normal(size=(40, 2)) + 3
    want = np.mean([largest_density(X, column) for column in T.T])
    assert logme(X, T) == pytest.approx(want, abs=1e-7)
    assert logme(X, T[:, 0]) == pytest.approx(largest_density(X, T[:, 0]), abs=1e-7)
    Y = (T > 3).astype(int)
    want = np.mean([largest_density(X, column.astype(float)) for column in Y.T])
    assert logme(X, Y) == pytest.approx(want, abs=1e-7)
    assert logme(X, Y.astype(float), task="multilabel") == logme(X, Y)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(4, 25), d=st.integers(1, 40), seed=st.integers(0, 10**6), power=st.integers(-8, 8),
    log_ratio=st.floats(-12, 12), log_beta=st.floats(-3, 4),
)  # fmt: skip
def test_no_precisions_are_more_likely(
    n: int, d: int, seed: int, power: int, log_ratio: float, log_beta: float
) -> None:
    """Whatever the shape and scale, no other pair of precisions gives a larger density."""
    X, y = problem(n, d, 2, seed, separation=0.5)
    X = X * 10.0**power
    log_alpha = log_ratio + log_beta + np.log(np.square(X).sum())
    elsewhere = np.mean([density(X, column, log_alpha, log_beta) for column in np.eye(2)[y].T])
    assert logme(X, y) >= elsewhere - 1e-9


def profile(X: np.ndarray, y: np.ndarray, t: float) -> float:
    """The density at alpha / beta = t, at the best beta, from a singular value decomposition of X as it is."""
    U, s, _ = np.linalg.svd(X, full_matrices=False)
    x2 = np.square(U.T @ y)
    q = (x2 * t / (t + s**2)).sum() + (np.square(y).sum() - x2.sum() if len(X) > X.shape[1] else 0.0)
    penalty = np.log1p(s**2 / t).sum() / (2 * len(X))
    return float(0.5 * np.log(len(X) / q) - penalty - 0.5 * (1 + np.log(2 * np.pi)))


@pytest.mark.parametrize(("n", "d"), [(20, 40), (20, 20)])
def test_perfect_fit_is_bounded_and_told(n: int, d: int) -> None:
    """As many features as samples and targets that follow the features exactly: the less noise, the more likely."""
    X, _ = problem(n, d, 2, seed=5)
    y = X @ np.random.default_rng(5).normal(size=d)
    sigma = np.linalg.svd(X, compute_uv=False) ** 2
    t = min(1e-12 * sigma[0], 1e-6 * sigma[-1])
    assert profile(X, y, t) > profile(X, y, 10 * t) > profile(X, y, 1e6 * t)
    assert logme(X, y) == pytest.approx(profile(X, y, t), abs=1e-6)
    says = ("A column is fitted perfectly: its evidence has no maximum and was bounded; logme_cv holds samples out.",)
    assert SCORERS["logme"].caveats(Moments.from_features(X, y)) == says
    assert SCORERS["logme"].caveats(Moments.from_features(*problem(60, 5, 2, seed=5))) == ()


def test_exact_linear_targets_are_bounded() -> None:
    X, _ = problem(30, 4, 2, seed=0)
    y = X @ np.array([1.0, -2.0, 0.5, 3.0])
    value = logme(X, y)
    assert np.isfinite(value)
    assert value > logme(X, y + 1e-4 * np.random.default_rng(0).normal(size=30)) > 5
    assert "fitted perfectly" in SCORERS["logme"].caveats(Moments.from_features(X, y))[0]


def test_without_any_signal() -> None:
    """Targets orthogonal to the features: weights of zero, and the density of noise alone."""
    X, y = problem(30, 4, 2, seed=0)
    target = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    noise_only = -0.5 * np.log(2 * np.pi * np.square(target).mean()) - 0.5
    assert logme(X, target) == pytest.approx(noise_only, abs=1e-9)
    assert logme(np.zeros((30, 4)), target) == pytest.approx(noise_only, abs=1e-12)


def published(X: np.ndarray, y: np.ndarray) -> float:
    """The fixed point of You et al., JMLR 2022, as their code runs it, but for the log-determinant: over all D."""
    n, d = X.shape
    U, s, _ = np.linalg.svd(X, full_matrices=False)
    sigma, x2 = s**2, np.square(U.T @ y)
    delta = np.square(y).sum() - x2.sum()
    alpha = beta = 1.0
    for _ in range(11):
        t = alpha / beta
        gamma = (sigma / (sigma + t)).sum()
        m2 = (sigma * x2 / (t + sigma) ** 2).sum()
        residual2 = (x2 / (1 + sigma / t) ** 2).sum() + delta
        alpha, beta = gamma / (m2 + 1e-5), (n - gamma) / (residual2 + 1e-5)
        determinant = np.linalg.slogdet(alpha * np.eye(d) + beta * X.T @ X)[1]
        evidence = 0.5 * (d * np.log(alpha) + n * np.log(beta) - determinant)
        evidence -= 0.5 * (beta * residual2 + alpha * m2 + n * np.log(2 * np.pi))
        if abs(alpha / beta - t) / t <= 1e-3:
            break
    return float(evidence / n)


@pytest.mark.parametrize(("n", "d", "k"), [(60, 8, 3), (24, 40, 2), (30, 30, 4)])
def test_published_iteration(n: int, d: int, k: int) -> None:
    X, y = problem(n, d, k, seed=3)
    want = np.mean([published(X, column) for column in np.eye(k)[y].T])
    value = logme(X, y, method="fixed_point")
    assert value == pytest.approx(want, rel=1e-8)
    assert value <= logme(X, y) + 1e-3  # its epsilons let it pass the true maximum by a little


def test_classes_do_not_lean_on_one_another() -> None:
    """Iterations that start where the last class ended depend on the order of classes; ours do not."""
    X, y = problem(60, 90, 5, seed=3)
    each = [logme(X, (y == k).astype(float), method="fixed_point") for k in range(5)]
    assert logme(X, y, method="fixed_point") == pytest.approx(np.mean(each), rel=1e-12)
    assert logme(X, 4 - y, method="fixed_point") == pytest.approx(np.mean(each), rel=1e-12)


@pytest.mark.parametrize("power", [-8, -4, 4, 8])
@pytest.mark.parametrize("n", [300, 40])
def test_scale_of_features(n: int, power: int) -> None:
    """1e-8 and 1e8; published codes drop directions below an absolute 1e-10."""
    X, y = problem(n, 20, 3, seed=7)
    for dtype in (np.float64, np.float32):
        scaled = (X * 10.0**power).astype(dtype)
        assert logme(scaled, y) == pytest.approx(logme(X.astype(dtype), y), rel=2e-6)


def largest_profile(X: np.ndarray, y: np.ndarray) -> float:
    """Over t, of which L may have several maxima: on a grid of e-folds, then about its best point."""
    log_size = 2 * np.log(np.linalg.norm(X, 2))
    best = max(np.arange(-50.0, 15.0), key=lambda u: profile(X, y, np.exp(log_size + u)))
    found = minimize_scalar(
        lambda u: -profile(X, y, np.exp(log_size + u)), bounds=(best - 1, best + 1), method="bounded"
    )
    return float(-found.fun)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_large_mean_and_many_rows(offset: float) -> None:
    """N >> D, and a mean whose square is 1e12 times the variance."""
    X, y = problem(5000, 5, 3, seed=8)
    X = X - X.mean(axis=0) + offset
    want = np.mean([largest_profile(X, column) for column in np.eye(3)[y].T])
    assert logme(X, y) == pytest.approx(want, abs=1e-8)


def test_blocks_of_rows_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = problem(500, 6, 3, seed=9)
    value = logme(X, y)
    monkeypatch.setattr(sys.modules["transferscope.features.moments"], "BLOCK", 7)
    assert logme(X, y) == pytest.approx(value, rel=1e-12)


def test_refusals() -> None:
    X, y = problem(20, 3, 2, seed=0)
    with pytest.raises(UnknownNameError, match="no method of logme named 'fixedpoint'. Did you mean 'fixed_point'"):
        logme(X, y, method="fixedpoint")  # type: ignore[arg-type]
    Y = np.stack([y, 0 * y], axis=1)
    with pytest.raises(ScoreError, match="logme: target column 1 is all zeros; there is nothing to explain. Drop it."):
        logme(X, Y)
    with pytest.raises(ScoreError, match="logme: these moments are of one class only; expected at least 2 classes."):
        logme(None, None, moments=Moments.from_features(X[y == 0], y[y == 0]))
