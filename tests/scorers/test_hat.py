"""The ridge fit that leave-one-out scorers share, against its hat matrix written out."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge, RidgeCV

from transferscope.features.moments import Moments
from transferscope.scorers.hat import PENALTIES, Hat, best_penalty


def problem(n: int, d: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) * np.geomspace(0.5, 2.0, d) + 2.0, y


def literal(X: np.ndarray, Y: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    centred = X - X.mean(axis=0)
    hat = centred @ np.linalg.inv(centred.T @ centred + penalty * np.eye(X.shape[1])) @ centred.T
    return hat @ Y, np.diag(hat)


def check(hat: Hat, wanted: tuple[np.ndarray, np.ndarray], slack: float = 1e-10) -> None:
    np.testing.assert_allclose(hat.fitted, wanted[0], rtol=slack, atol=slack)
    np.testing.assert_allclose(hat.leverages, wanted[1], rtol=slack, atol=slack)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(4, 25), d=st.integers(1, 30), k=st.integers(2, 4), seed=st.integers(0, 10**6),
    penalty=st.sampled_from([1e-3, 1.0, 100.0, 1e6]),
)  # fmt: skip
def test_is_its_hat_matrix(n: int, d: int, k: int, seed: int, penalty: float) -> None:
    X, y = problem(n, d, k, seed)
    check(Hat.of(X, Moments.from_features(X, y), penalty), literal(X, np.eye(k)[y], penalty), 1e-9)
    T = np.random.default_rng(seed).normal(size=(n, 2)) + 5
    check(Hat.of(X, Moments.from_features(X, T), penalty), literal(X, T, penalty), 1e-9)


def test_library_fits_the_same() -> None:
    X, y = problem(40, 6, 3)
    hat = Hat.of(X, Moments.from_features(X, y), 2.0)
    wanted = Ridge(alpha=2.0).fit(X, np.eye(3)[y]).predict(X) - np.eye(3)[y].mean(axis=0)
    np.testing.assert_allclose(hat.fitted, wanted, atol=1e-12)


@pytest.mark.parametrize(("n", "d"), [(60, 8), (20, 19), (20, 20), (15, 40)])
def test_both_ways_are_one(n: int, d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Cholesky factor of the scatter, and singular vectors, which small penalties and kept rows call for."""
    X, y = problem(n, d, 3)
    factors = []
    real = np.linalg.cholesky
    monkeypatch.setattr(np.linalg, "cholesky", lambda matrix: factors.append(1) or real(matrix))
    first = Hat.of(X, Moments.from_features(X, y), 0.3)
    assert len(factors) == (n > d)
    monkeypatch.setattr(sys.modules["transferscope.scorers.hat"], "STEEP", np.inf)
    second = Hat.of(X, Moments.from_features(X, y), 0.3)
    assert len(factors) == (n > d)
    check(first, (second.fitted, second.leverages), 1e-11)


def test_blocks_of_rows_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = problem(53, 6, 3)
    whole = Hat.of(X, Moments.from_features(X, y), 0.3)
    monkeypatch.setattr(sys.modules["transferscope.scorers.hat"], "BLOCK", 7)
    check(Hat.of(X, Moments.from_features(X, y), 0.3), (whole.fitted, whole.leverages), 1e-13)


@pytest.mark.parametrize("shape", [(300, 5), (20, 30)])
@pytest.mark.parametrize("power", [-5, 0, 8])
@pytest.mark.parametrize("offset", [1e4, 1e6])
def test_large_means_and_small_scales_cost_no_digits(shape: tuple[int, int], power: int, offset: float) -> None:
    X, y = problem(*shape, 3)
    X = np.round(64 * X) / 64
    wanted = literal(X, np.eye(3)[y], 0.5)
    moved = (X + offset) * 10.0**power
    check(Hat.of(moved, Moments.from_features(moved, y), 0.5 * 10.0 ** (2 * power)), wanted, 1e-7)
    moved = (X + offset) * 2.0 ** (3 * power)
    check(Hat.of(moved, Moments.from_features(moved, y), 0.5 * 2.0 ** (6 * power)), wanted, 1e-9)
    single = (X + 1e4).astype(np.float32)
    check(Hat.of(single.astype(np.float64), Moments.from_features(single, y), 0.5), wanted, 1e-3)


@pytest.mark.parametrize("penalty", [1e-16, 1e-12, 1e-8])
def test_small_penalties_of_redundant_features(penalty: float) -> None:
    """Rank 3 in 6 columns: the shifted scatter is singular to all its digits, and has no Cholesky factor."""
    X, y = problem(60, 3, 3)
    twice = np.hstack([X, X])
    hat = Hat.of(twice, Moments.from_features(twice, y), penalty)
    check(hat, literal(X, np.eye(3)[y], penalty / 2), 1e-8)
    assert hat.leverages.sum() == pytest.approx(3.0, rel=1e-8)


def test_degenerate_features() -> None:
    X, y = problem(60, 4, 3)
    dead = np.hstack([X, np.zeros((60, 3)), np.full((60, 1), 0.1)])
    check(Hat.of(dead, Moments.from_features(dead, y), 0.5), literal(X, np.eye(3)[y], 0.5))
    twice = np.hstack([X, X])
    check(Hat.of(twice, Moments.from_features(twice, y), 0.5), literal(twice, np.eye(3)[y], 0.5))
    for shape in ((20, 4), (4, 20)):
        flat, labels = np.full(shape, 0.1), np.arange(shape[0]) % 2
        moments = Moments.from_features(flat, labels)
        assert best_penalty(moments) == 1.0
        hat = Hat.of(flat, moments)
        assert not hat.fitted.any()
        assert not hat.leverages.any()
        assert hat.fitted.shape == (shape[0], 2)


def test_moments_keep_the_last_fit() -> None:
    """For the next scorer of the same penalty; another penalty is another fit, and other moments know of neither."""
    X, y = problem(60, 4, 3)
    moments = Moments.from_features(X, y)
    first = Hat.of(X, moments)
    assert first.penalty == best_penalty(moments)
    assert Hat.of(X, moments) is first
    assert Hat.of(X, moments, first.penalty) is first
    other = Hat.of(X, moments, 0.5)
    check(other, literal(X, np.eye(3)[y], 0.5))
    assert Hat.of(X, moments, 0.5) is other
    again = Hat.of(X, moments)
    assert again is not first
    check(again, (first.fitted, first.leverages), 1e-14)
    assert "hat" not in Moments.from_features(X, y).memory


@pytest.mark.parametrize(("n", "d"), [(60, 8), (20, 20), (15, 40)])
def test_best_penalty_is_scale_free_and_of_all_columns(n: int, d: int) -> None:
    X, y = problem(n, d, 3)
    mean = np.square(X - X.mean(axis=0)).sum() / d
    penalty = best_penalty(Moments.from_features(X, y))
    assert np.isclose(PENALTIES * mean, penalty, rtol=1e-12).sum() == 1
    for factor, offset in ((1e-8, 0.0), (1e8, 0.0), (1.0, 1e6)):
        moved = best_penalty(Moments.from_features(factor * X + offset, y))
        assert moved / factor**2 == pytest.approx(penalty, rel=1e-8)
    assert best_penalty(Moments.from_features(X, np.eye(3)[y])) == pytest.approx(penalty, rel=1e-12)


def test_best_penalty_is_near_that_of_leaving_out() -> None:
    """Generalised cross-validation is a rotation of it: of noise the largest penalty, of clear signal a small one."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 20))
    noise, signal = rng.normal(size=200), X @ rng.normal(size=20) + 0.01 * rng.normal(size=200)
    mean = np.square(X - X.mean(axis=0)).sum() / 20
    for target in (noise, signal, signal + 5 * noise):
        library = RidgeCV(PENALTIES * mean).fit(X, target).alpha_
        step = np.log10(best_penalty(Moments.from_features(X, target)) / library) / 0.5
        assert abs(step) < 1.01
    assert PENALTIES.tolist() == pytest.approx([10.0 ** (power / 2) for power in range(-8, 9)])
    assert best_penalty(Moments.from_features(X, signal)) < 1e-3 * mean
    assert best_penalty(Moments.from_features(X, noise)) > 10 * mean
