"""PACTran-Gaussian against a plain minimiser of the formula as it stands, and against scikit-learn's fit."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize
from scipy.special import logsumexp, softmax
from sklearn.linear_model import LogisticRegression

from transferscope.errors import ScoreError, UnknownNameError
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, pactran_gauss

MODULE = "transferscope.scorers.pactran_gauss"


def problem(n: int, d: int, k: int, seed: int = 0, separation: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return separation * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) + 2.0, y


def entropy(y: np.ndarray) -> float:
    shares = np.unique(y, return_counts=True)[1] / len(y)
    return -float((shares * np.log(shares)).sum())


def value_at(X: np.ndarray, y: np.ndarray, W: np.ndarray, b: np.ndarray, factor: float, f: float) -> float:
    """Ding et al., section 4, at these weights, with all features, and their Hessian entry by entry."""
    n, d = X.shape
    k = len(b)
    X = X - X.mean(axis=0)
    logits = X @ W + b
    loss = np.mean(logsumexp(logits, axis=1) - logits[np.arange(n), y]) + (W**2).sum() / (2 * factor * n)
    p = softmax(logits, axis=1)
    hessian = 0.0
    for c in range(k):
        for j in range(d):
            hessian += sum(X[:, j] ** 2 * p[:, c] * (1 - p[:, c])) + 1 / (factor * n)
        hessian += sum(p[:, c] * (1 - p[:, c]))
    precision = hessian * factor * n / (d * k)
    return float(loss + 0.5 * d * k / (factor * n) * (f / d) * math.log(precision))


def literal(X: np.ndarray, y: np.ndarray, factor: float, f: float) -> float:
    n, d = X.shape
    k = y.max() + 1
    Z = X - X.mean(axis=0)

    def loss_and_slope(theta: np.ndarray) -> tuple[float, np.ndarray]:
        W, b = theta[: d * k].reshape(d, k), theta[d * k :]
        logits = Z @ W + b
        loss = (logsumexp(logits, axis=1) - logits[np.arange(n), y]).sum() + (W**2).sum() / (2 * factor)
        miss = softmax(logits, axis=1) - np.eye(k)[y]
        return loss, np.concatenate([(Z.T @ miss + W / factor).ravel(), miss.sum(axis=0)])

    start = np.random.default_rng(0).normal(size=(d + 1) * k) * 0.03
    theta = minimize(loss_and_slope, start, jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 3000}).x
    return value_at(X, y, theta[: d * k].reshape(d, k), theta[d * k :], factor, f)


@settings(max_examples=12, deadline=None)
@given(
    n=st.integers(6, 24), d=st.integers(1, 12), k=st.integers(2, 4), seed=st.integers(0, 10**6),
    factor=st.sampled_from([0.1, 1.0, 10.0]), variance=st.sampled_from(["large", "small"]),
)  # fmt: skip
def test_is_its_definition(n: int, d: int, k: int, seed: int, factor: float, variance: str) -> None:
    X, y = problem(n, d, k, seed)
    wanted = literal(X, y, factor, factor * {"large": 100, "small": 10}[variance])
    value = pactran_gauss(X, 7 * y - 3, lda_factor=factor, variance=variance)  # type: ignore[arg-type]
    assert value == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("shape", [(120, 6), (25, 40)])
@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_library_agrees(shape: tuple[int, int], factor: float) -> None:
    X, y = problem(*shape, 3)
    fit = LogisticRegression(C=factor, solver="newton-cg", tol=1e-9, max_iter=1000).fit(X - X.mean(axis=0), y)
    wanted = value_at(X, y, fit.coef_.T, fit.intercept_, factor, 100 * factor)
    assert pactran_gauss(X, y, lda_factor=factor) == pytest.approx(wanted, rel=1e-6)


def fit_of_two(x: float, factor: float) -> tuple[float, float]:
    """Two samples at x and -x, a class each: loss and probability of the wrong class, in one unknown.

    By symmetry the weights are w and -w, so that m = 2 w x is the margin: minimise ln(1 + exp(-m)) + m^2 / (8 x^2
    factor), of which the first term's slope is minus the wrong class's probability.
    """
    margin = brentq(lambda m: m / (4 * x**2 * factor) - 1 / (1 + math.exp(m)), 0, 700, xtol=1e-300, rtol=1e-14)
    return math.log1p(math.exp(-margin)) + margin**2 / (8 * x**2 * factor), 1 / (1 + math.exp(margin))


@pytest.mark.parametrize("factor", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("x", [1e-8, 1e-3, 1.0, 1e3, 1e8])
def test_no_digits_are_lost_where_rows_are_fitted_well(x: float, factor: float) -> None:
    """At 1e8 the wrong class has a probability of 1e-15, which 1 minus the right one would not know."""
    loss, wrong = fit_of_two(x, factor)
    curvature = 2 * (1 + x**2) * 2 * wrong * (1 - wrong)
    price = 2 * 100 / 4 * math.log1p(2 * factor / 2 * curvature)
    X, y = np.array([[x], [-x]]) + 3.0 * (x == 1), np.array([0, 1])
    assert pactran_gauss(X, y, lda_factor=factor) == pytest.approx(loss + price, rel=1e-9)


@pytest.mark.parametrize("power", [-8, -3, 3, 8])
@pytest.mark.parametrize("shape", [(60, 6), (20, 40)])
def test_numerical_extremes(shape: tuple[int, int], power: int) -> None:
    """Separable and not, at any scale: a fit that converged, and that a large mean does not move."""
    X, y = problem(*shape, 3)
    X = (X - X.mean(axis=0)) * 10.0**power
    value = pactran_gauss(X, y)
    assert np.isfinite(value)
    assert pactran_gauss(X + 1e6 * 10.0**power, y) == pytest.approx(value, rel=1e-6)
    assert pactran_gauss(X.astype(np.float32), y) == pytest.approx(value, rel=1e-4)


def test_directions_of_all_sizes() -> None:
    X, y = problem(80, 10, 3, separation=2.0)
    uneven = (X - X.mean(axis=0)) * np.geomspace(1e-3, 1e3, 10)
    assert pactran_gauss(uneven, y) == pytest.approx(literal_in_newton(uneven, y), rel=1e-8)


def literal_in_newton(X: np.ndarray, y: np.ndarray) -> float:
    """Full Newton steps on all weights at once, the flat bias pinned by a pseudo-inverse."""
    n, d = X.shape
    k = y.max() + 1
    Z = np.hstack([X - X.mean(axis=0), np.ones((n, 1))])
    theta = np.zeros((d + 1) * k)
    penalty = np.repeat(np.append(np.ones(d), 0.0), k)

    def loss(theta: np.ndarray) -> float:
        logits = Z @ theta.reshape(d + 1, k)
        return (logsumexp(logits, axis=1) - logits[np.arange(n), y]).sum() + (penalty * theta**2).sum() / 2

    for _ in range(60):
        p = softmax(Z @ theta.reshape(d + 1, k), axis=1)
        slope = (Z.T @ (p - np.eye(k)[y])).ravel() + penalty * theta
        inner = np.einsum("na,nb,nij->aibj", Z, Z, [np.diag(row) - np.outer(row, row) for row in p])
        hessian = inner.reshape((d + 1) * k, -1) + np.diag(penalty)
        size = 1 / np.sqrt(np.diag(hessian))
        step = size * (np.linalg.pinv(hessian * np.outer(size, size), rcond=1e-13) @ (size * slope))
        length = 1.0
        while loss(theta - length * step) > loss(theta) + 1e-9 and length > 1e-6:
            length /= 2
        theta = theta - length * step
    return value_at(X, y, theta[: d * k].reshape(d, k), theta[d * k :], 1.0, 100.0)


def test_dead_and_repeated_features_only_change_the_count() -> None:
    """D stands in the formula; beyond that, columns without variance and the rank do not matter."""
    X, y = problem(60, 5, 3)
    dead = np.hstack([X, np.zeros((60, 2)), np.full((60, 1), 7.0)])
    assert pactran_gauss(dead, y) == pytest.approx(literal(dead, y, 1.0, 100.0), rel=1e-7)
    twice = np.hstack([X, X])
    assert pactran_gauss(twice, y) == pytest.approx(literal(twice, y, 1.0, 100.0), rel=1e-7)
    alone = np.arange(8)
    assert np.isfinite(pactran_gauss(X[:8], alone))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_features_leave_the_entropy(dtype: type) -> None:
    y = np.array([0] * 6 + [1] * 3 + [2])
    shares = np.array([6, 3, 1]) / 10
    curvature = 10 * (shares * (1 - shares)).sum()
    wanted = entropy(y) + 3 * 100 / 20 * math.log1p(10 / (4 * 3) * curvature)
    assert pactran_gauss(np.full((10, 4), 0.1, dtype=dtype), y) == pytest.approx(wanted, rel=1e-12)


def test_variances_weigh_the_curvature() -> None:
    """One loss, and ten times the price: the two values give both."""
    X, y = problem(80, 6, 3)
    large, small = pactran_gauss(X, y), pactran_gauss(X, y, variance="small")
    loss, price = (10 * small - large) / 9, (large - small) / 90
    assert 0 < loss < entropy(y)
    assert large == pytest.approx(loss + 100 * price)
    assert price > 0
    shuffled = np.random.default_rng(0).permutation(y)
    blind = (10 * pactran_gauss(X, shuffled, variance="small") - pactran_gauss(X, shuffled)) / 9
    assert loss < blind - 0.3


@pytest.mark.parametrize("seed", range(4))
def test_features_too_small_to_fit_are_told(seed: int) -> None:
    """The bound behind the warning: at scale s the loss is below the entropy by no more than it says."""
    X, y = problem(60, 6, 3, seed)
    saturated = SCORERS["pactran_gauss"].saturated
    says = saturated(Moments.from_features(X * 1e-4, y), 1.0) or ""
    assert says.startswith("Saturated: features of so small a scale need larger weights than the penalty allows, so")
    assert saturated(Moments.from_features(X, y), 1.0) is None
    assert saturated(Moments.from_features(np.full((60, 6), 0.1), y), 1.0) is not None
    largest = np.linalg.eigvalsh(np.cov(X.T) * 59)[-1]
    for scale in (1e-4, 1e-3, 1e-2, 0.05):
        small = X * scale
        loss = (10 * pactran_gauss(small, y, variance="small") - pactran_gauss(small, y)) / 9
        most = scale**2 * largest * (1 - np.square(np.bincount(y) / 60).sum()) / 2
        assert -1e-9 <= entropy(y) - loss <= most
        told = saturated(Moments.from_features(small, y), 1.0) is not None
        assert told == (most <= 0.01 * entropy(y))


def test_more_directions_than_labels_need_are_told() -> None:
    X, y = problem(20, 30, 3)
    says = SCORERS["pactran_gauss"].caveats(Moments.from_features(X, y))
    assert len(says) == 1
    assert says[0].startswith("20 samples span 19 directions, in which any labels can be fitted: what ranks is how")
    assert SCORERS["pactran_gauss"].caveats(Moments.from_features(*problem(60, 30, 3))) == ()


def test_lower_is_better() -> None:
    assert not SCORERS["pactran_gauss"].higher_is_better
    X, y = problem(300, 5, 3, separation=3.0)
    assert pactran_gauss(X, y) < pactran_gauss(X, np.random.default_rng(0).permutation(y)) - 0.5


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = problem(20, 4, 2)
    for factor in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ScoreError, match=f"pactran_gauss: lda_factor={factor}; expected a positive number, such"):
            pactran_gauss(X, y, lda_factor=factor)
    with pytest.raises(UnknownNameError, match="no variance of pactran_gauss named 'larger'. Did you mean 'large'"):
        pactran_gauss(X, y, variance="larger")  # type: ignore[arg-type]
    with pytest.raises(ScoreError, match="pactran_gauss is not defined for multilabel; it is for classification"):
        pactran_gauss(X, np.eye(20, dtype=int))
    monkeypatch.setattr(sys.modules[MODULE], "ROUNDS", 2)
    with pytest.raises(ScoreError, match="pactran_gauss: the fit did not converge in 2 Newton steps; scale the feat"):
        pactran_gauss(X, y)
