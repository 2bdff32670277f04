"""Cross-fitted LogME against fits to the other folds, one fold, one column and one ratio of precisions at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

import transferscope as ts
from transferscope.errors import ScoreError
from transferscope.features.arrays import check_inputs
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, logme_cv
from transferscope.scorers.jackknife import assign_blocks
from transferscope.scorers.logme_cv import SMALLEST, _leverages


def problem(n: int, d: int, k: int, seed: int = 0, separation: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return separation * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) + 0.5, y


def log_density(X: np.ndarray, y: np.ndarray, rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Of `targets`, given y, of covariance c (I + XX'/t) with the c and t under which y is most likely.

    By least squares on X above sqrt(t) I, without any spectrum: exact for the smallest t as well.
    """
    n, d = X.shape
    whole = np.append(y, np.zeros(d))

    def fit(u: float) -> tuple[np.ndarray, np.ndarray, float, float]:
        stacked = np.vstack([X, math.exp(u / 2) * np.eye(d)])
        Q, R = np.linalg.qr(stacked)
        weights = np.linalg.solve(R, Q.T @ whole)
        noise = float(np.square(whole - stacked @ weights).sum()) / n
        log_determinant = 2 * float(np.log(np.abs(np.diag(R))).sum()) - d * u
        return weights, R, noise, -0.5 * (math.log(noise) + log_determinant / n)

    size = math.log(np.square(X).sum())
    smallest = np.linalg.svd(X - X.mean(axis=0), compute_uv=False)[min(n - 1, d) - 1]
    grid = np.arange(min(size - 28, 2 * math.log(smallest) - 14), size + 25, 0.5)
    values = np.array([fit(u)[-1] for u in grid])
    rises = np.diff(values)
    tops = [values.argmax(), *(np.flatnonzero((rises[:-1] > 1e-9) & (rises[1:] < -1e-9)) + 1)]  # there may be several
    found = [
        minimize_scalar(lambda u: -fit(u)[-1], bounds=(u - 0.5, u + 0.5), method="bounded", options={"xatol": 1e-9})
        for u in grid[tops]
    ]
    u = min(found, key=lambda one: one.fun).x
    weights, R, noise, _ = fit(u)
    variance = noise * (1 + np.square(np.linalg.solve(R.T, rows.T)).sum(axis=0))
    variance = np.maximum(variance, 1e-6 * np.mean(y**2))
    return -0.5 * (np.log(2 * np.pi * variance) + (targets - rows @ weights) ** 2 / variance)


def literal(X: np.ndarray, labels: np.ndarray, n_folds: int, seed: int = 0) -> np.ndarray:
    """Each sample's mean over columns, of those that the others of every fold hold."""
    _, targets = check_inputs(X, labels, caller="test")
    columns, folds = targets.columns(), assign_blocks(targets, seed, n_folds)
    others = [np.setdiff1d(np.arange(len(X)), fold) for fold in folds]
    kept = [c for c in range(columns.shape[1]) if all(columns[rest, c].any() for rest in others)]
    found = np.empty((len(X), len(kept)))
    for rest, fold in zip(others, folds, strict=True):
        for place, c in enumerate(kept):
            found[fold, place] = log_density(X[rest], columns[rest, c], X[fold], columns[fold, c])
    return found.mean(axis=1)


def per_sample(X: np.ndarray, labels: np.ndarray, **options: int) -> np.ndarray:
    return SCORERS["logme_cv"].per_sample(X, labels, **options)  # type: ignore[misc,return-value]


@pytest.mark.parametrize(("n", "d", "k"), [(40, 4, 3), (30, 1, 2), (20, 20, 2), (15, 30, 3), (18, 12, 2)])
@pytest.mark.parametrize("separation", [0.3, 2.0])
def test_is_the_density_of_what_was_held_out(n: int, d: int, k: int, separation: float) -> None:
    X, y = problem(n, d, k, seed=n, separation=separation)
    np.testing.assert_allclose(per_sample(X, y), literal(X, y, 5), atol=1e-5)
    assert logme_cv(X, y) == per_sample(X, y).mean()
    assert logme_cv(X, 7 * y - 3) == logme_cv(X, y)  # numbers that no class has are no classes


@settings(max_examples=10, deadline=None)
@given(
    n=st.integers(8, 18), d=st.integers(1, 20), k=st.integers(2, 4), n_folds=st.integers(2, 6),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_any_folds(n: int, d: int, k: int, n_folds: int, seed: int) -> None:
    """Classes of one sample included, whose columns do not count.

    Not as many fitted samples as features: then the evidence levels off to a fit without any error or doubt, and how
    near to it the search ends matters to what was held out.
    """
    assume(d not in (n - n // n_folds, n - n // n_folds - 1))
    X, y = problem(n, d, k, seed)
    found = per_sample(X, y, n_folds=n_folds, seed=seed)
    np.testing.assert_allclose(found, literal(X, y, n_folds, seed), rtol=1e-4, atol=1e-4)


def test_other_targets() -> None:
    X, _ = problem(24, 5, 2, seed=1)
    rng = np.random.default_rng(2)
    T = X @ rng.normal(size=(5, 2)) + 2 * rng.normal(size=(24, 2)) + 3
    np.testing.assert_allclose(per_sample(X, T), literal(X, T, 5), atol=1e-5)
    np.testing.assert_allclose(per_sample(X, T[:, 0]), literal(X, T[:, :1], 5), atol=1e-5)
    Y = (T > 3).astype(int)
    np.testing.assert_allclose(per_sample(X, Y), literal(X, Y, 5), atol=1e-5)
    assert logme_cv(X, Y.astype(float), task="multilabel") == logme_cv(X, Y)


def test_every_sample_by_itself() -> None:
    X, y = problem(12, 3, 2)
    np.testing.assert_allclose(per_sample(X, y, n_folds=12), literal(X, y, 12), atol=1e-5)


def test_folds_follow_the_seed() -> None:
    X, y = problem(60, 5, 3)
    assert logme_cv(X, y) == logme_cv(X, y, n_folds=5, seed=0) != logme_cv(X, y, seed=1)
    assert logme_cv(X, y, seed=1) == pytest.approx(logme_cv(X, y), abs=0.05)
    assert logme_cv(X, y, n_folds=3) != logme_cv(X, y)


@pytest.mark.parametrize("shape", [(60, 90), (60, 59)])
def test_perfect_fits_do_not_drive_it_up(shape: tuple[int, int]) -> None:
    """Labels of noise are worth no more than their shares."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=shape), np.arange(60) % 3
    blind = np.mean([-0.5 * (math.log(2 * math.pi / 3) + 3 * value**2) for value in (0, 0, 1)])
    assert blind - 0.3 < logme_cv(X, y) < blind + 0.02
    assert logme_cv(X + 2 * rng.normal(size=(3, shape[1]))[y], y) > blind + 0.5


@pytest.mark.parametrize(("n", "d"), [(12, 3), (9, 8), (8, 8), (5, 9)])
@pytest.mark.parametrize("offset", [0.0, 1e4, 1e6])
@pytest.mark.parametrize("t", [1e-6, 0.25, 64.0])
def test_large_means_cost_leverages_no_digits(n: int, d: int, offset: float, t: float) -> None:
    """x'(X'X + t I)^-1 x by orthogonal triangles, of rows that were in the fit and of rows beyond their span."""
    rng = np.random.default_rng(1)
    X, rows = rng.normal(size=(n, d)) + offset, rng.normal(size=(4, d)) + offset
    triangle = np.linalg.qr(np.vstack([X, math.sqrt(t) * np.eye(d)]), mode="r")
    wanted = np.square(np.linalg.solve(triangle.T, np.vstack([rows, X[:2]]).T)).sum(axis=0)
    moments = Moments.from_features(X, rng.normal(size=n), task="regression")
    found = _leverages(moments, np.vstack([rows, X[:2]]), np.array([t, np.inf]))
    np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-6)
    assert not found[:, 1].any()  # weights of zero are certain


@pytest.mark.parametrize("shape", [(60, 5), (14, 30)])
@pytest.mark.parametrize("offset", [0.0, 1e4, 1e6])
def test_numerical_extremes(shape: tuple[int, int], offset: float) -> None:
    """Scales of 1e-8 and 1e8, a mean of a million, and what single precision leaves of one of 1e4."""
    X, y = problem(*shape, 3)
    X = np.round(64 * X) / 64 + offset
    wanted = literal(X, y, 5)
    for factor in (1.0, 1e-8, 1e-5, 1e8):
        np.testing.assert_allclose(per_sample(factor * X, y), wanted, atol=1e-4)
    if offset < 1e6:
        np.testing.assert_allclose(per_sample(X.astype(np.float32), y), wanted, atol=1e-3)


def test_features_that_do_not_vary() -> None:
    """Zeros: the density of noise about zero, of the other folds' mean square."""
    X, y = problem(20, 3, 2)
    _, targets = check_inputs(X, y, caller="test")
    for shape in ((20, 3), (20, 40)):
        found = per_sample(np.zeros(shape), y)
        for fold in assign_blocks(targets, 0, 5):
            rest = np.setdiff1d(np.arange(20), fold)
            squares = np.square(np.eye(2)[y[rest]]).mean(axis=0)
            wanted = -0.5 * (np.log(2 * np.pi * squares) + np.eye(2)[y[fold]] / squares).mean(axis=1)
            np.testing.assert_allclose(found[fold], wanted, rtol=1e-12)
        assert logme_cv(np.full(shape, 0.1), y) > logme_cv(np.zeros(shape), y) + 0.1  # an intercept


def test_copies_of_rows_are_certain_but_for_a_floor() -> None:
    """A held-out copy of fitted rows has no variance at all; a predictive one of 1e-6 mean squares is left."""
    X, _ = problem(10, 30, 2)
    y = np.tile(np.arange(10) % 2, 8)
    value = logme_cv(np.tile(X, (8, 1)), y)
    highest = -0.5 * np.log(2 * np.pi * SMALLEST * 0.5)
    assert value == pytest.approx(highest, abs=1e-3)
    exact = X @ np.random.default_rng(0).normal(size=30)
    each = per_sample(np.tile(X, (8, 1)), np.tile(exact, 8))
    assert each.mean() == pytest.approx(-0.5 * np.log(2 * np.pi * SMALLEST * np.mean(exact**2)), abs=1e-2)


def test_classes_that_a_fold_takes_away_do_not_count() -> None:
    X, y = problem(41, 4, 2)
    X, y = X[:40], y[:40]
    alone = np.where(np.arange(40) == 7, 2, y)
    values = per_sample(X, alone)
    np.testing.assert_allclose(values, literal(X, alone, 5), atol=1e-5)
    assert np.isfinite(values).all()
    found = ts.score(X, alone, ["logme_cv"])["logme_cv"]
    assert found.value == values.mean()
    assert found.standard_error is not None


def test_arrays_stay_as_they_are() -> None:
    X, y = problem(20, 30, 2)
    kept = X.copy()
    X.flags.writeable = y.flags.writeable = False
    logme_cv(X, y, n_folds=3)
    np.testing.assert_array_equal(X, kept)


def test_refusals() -> None:
    X, y = problem(20, 4, 2)
    for n_folds in (-1, 0, 1, 21):
        with pytest.raises(ScoreError, match=f"logme_cv: n_folds={n_folds} with 20 samples; expected 2 to as many as"):
            logme_cv(X, y, n_folds=n_folds)
    with pytest.raises(ScoreError, match="logme_cv: every target column is all zeros without one of the folds; noth"):
        logme_cv(X[:2], [0, 1], n_folds=2)
    with pytest.raises(ScoreError, match="logme_cv: every target column is all zeros without one of the folds; noth"):
        logme_cv(X, np.zeros(20))
    with pytest.raises(ScoreError, match="logme_cv: 20 rows of features but 19 rows of targets; give one per sample"):
        logme_cv(X, X[1:, :2])
