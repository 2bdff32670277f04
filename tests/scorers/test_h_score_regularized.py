"""Regularised H-score against its formula with a dense inverse and against scikit-learn's shrinkage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf, ledoit_wolf_shrinkage

from transferscope.errors import ScoreError
from transferscope.features.arrays import check_inputs, storage_eps
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, h_score, h_score_regularized
from transferscope.scorers.h_score_regularized import shrinkage
from transferscope.scorers.jackknife import Blocks, standard_error


def problem(n: int, d: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) * np.geomspace(0.3, 3.0, d) + 2.0, y


def literal_shrinkage(X: np.ndarray) -> float:
    """How far the samples' outer products lie from their mean, over n, beside how far that lies from the sphere."""
    n, d = X.shape
    rows = X - X.mean(axis=0)
    covariance = sum(np.outer(row, row) for row in rows) / n
    apart = np.square(covariance - np.trace(covariance) / d * np.eye(d)).sum()
    noise = sum(np.square(np.outer(row, row) - covariance).sum() for row in rows) / n**2
    return float(min(noise / apart, 1.0)) if d > 1 else 0.0


def literal(X: np.ndarray, y: np.ndarray) -> float:
    n, d = X.shape
    mean, weight = X.mean(axis=0), literal_shrinkage(X)
    covariance = np.cov(X.T, bias=True).reshape(d, d)
    shrunk = (1 - weight) * covariance + weight * np.trace(covariance) / d * np.eye(d)
    between = np.zeros((d, d))
    for c in set(y.tolist()):
        gap = X[y == c].mean(axis=0) - mean
        between += (y == c).sum() * np.outer(gap, gap) / (n - 1)
    return float((1 - weight) * np.trace(np.linalg.inv(shrunk) @ between))


@settings(max_examples=60, deadline=None)
@given(n=st.integers(5, 25), d=st.integers(1, 40), k=st.integers(2, 5), seed=st.integers(0, 10**6))
def test_is_its_definition(n: int, d: int, k: int, seed: int) -> None:
    """More rows than features and fewer, classes of one row, and a class for every row."""
    X, y = problem(n, d, k, seed)
    assert h_score_regularized(X, y) == pytest.approx(literal(X, y), rel=1e-9, abs=1e-12)
    assert h_score_regularized(X, 7 * y - 3) == h_score_regularized(X, y)  # numbers that no class has are no classes


@pytest.mark.parametrize("shape", [(200, 5), (40, 30), (30, 30), (12, 60), (30, 1)])
def test_library_shrinks_the_same(shape: tuple[int, int]) -> None:
    X, y = problem(*shape, 3)
    moments = Moments.from_features(X, y)
    assert shrinkage(moments) == pytest.approx(ledoit_wolf_shrinkage(X), rel=1e-10)
    streamed = Moments.from_features(X[:7], y[:7]) + Moments.from_features(X[7:], y[7:])
    assert shrinkage(streamed) == pytest.approx(shrinkage(moments), rel=1e-9)
    covariance, weight = ledoit_wolf(X)
    gaps = np.stack([X[y == c].mean(axis=0) for c in range(3)])[y] - X.mean(axis=0)
    wanted = (1 - weight) * np.trace(np.linalg.solve(covariance, gaps.T @ gaps)) / (len(X) - 1)
    assert h_score_regularized(X, y) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("shape", [(300, 6), (20, 30)])
@pytest.mark.parametrize("power", [-5, 0, 5])
@pytest.mark.parametrize("offset", [0.0, 1e4, 1e6])
def test_large_means_and_small_scales_cost_no_digits(shape: tuple[int, int], power: int, offset: float) -> None:
    X, y = problem(*shape, 3)
    X = np.round(1024 * X) / 1024  # to which the offset adds without rounding
    assert h_score_regularized((X + offset) * 2.0 ** (3 * power), y) == pytest.approx(literal(X, y), rel=1e-9)
    single = (X + min(offset, 1e4)).astype(np.float32)
    stored = single.astype(np.float64) - min(offset, 1e4)
    assert h_score_regularized(single, y) == pytest.approx(literal(stored, y), rel=1e-6)


def test_spheres_are_not_shrunk() -> None:
    """Their distance from the sphere is rounding noise, and the quotient is anything."""
    X = np.concatenate([np.eye(6), -np.eye(6)]) * 0.1
    y = np.arange(12) % 3
    assert shrinkage(Moments.from_features(X, y)) == 0.0
    assert h_score_regularized(X, y) == pytest.approx(h_score(X, y) * 12 / 11, rel=1e-12)


def test_shrinkage_at_its_ends() -> None:
    """Two rows are one direction, whose covariance is certain; of a few rows of noise the shape is worth nothing."""
    assert shrinkage(Moments.from_features(np.array([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]]), [0, 1])) == 0.0
    y = np.arange(30) % 2
    X = np.random.default_rng(1).normal(size=(30, 3))
    assert literal_shrinkage(X) == 1.0 == shrinkage(Moments.from_features(X, y))
    assert h_score_regularized(X, y) == 0.0 < h_score(X, y)


def test_degenerate_features() -> None:
    X, y = problem(60, 4, 3)
    dead = np.hstack([X, np.zeros((60, 3)), np.full((60, 1), 7.0)])
    assert h_score_regularized(dead, y) == pytest.approx(literal(dead, y), rel=1e-10)
    wide = X @ np.random.default_rng(1).normal(size=(4, 12))  # rank 4 in 12 columns
    assert h_score_regularized(wide, y) == pytest.approx(literal(wide, y), rel=1e-10)
    twice = np.tile(X, (2, 1)), np.tile(y, 2)
    assert h_score_regularized(*twice) == pytest.approx(literal(*twice), rel=1e-10)
    assert h_score_regularized(*twice) > h_score_regularized(X, y)  # copies pass for evidence and halve the shrinkage
    assert h_score_regularized(np.full((60, 4), 0.1), y) == 0.0
    assert h_score_regularized(np.full((4, 60), 0.1), y[:4]) == 0.0


def test_one_sample_per_class_reaches_the_bound_but_for_shrinkage() -> None:
    X, _ = problem(8, 3, 2)
    weight = literal_shrinkage(X)
    variances = np.linalg.eigvalsh(np.cov(X.T, bias=True))
    wanted = 8 / 7 * ((1 - weight) * variances / ((1 - weight) * variances + weight * variances.mean())).sum()
    assert h_score_regularized(X, np.arange(8)) == pytest.approx(wanted, rel=1e-10)


def test_fewer_samples_than_features_still_tell_labels_from_noise() -> None:
    """Where the H-score is K - 1 for any labels."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    X = rng.normal(size=(2, 90))[y] + rng.normal(size=(40, 90))
    for _ in range(10):
        shuffled = rng.permutation(y)
        assert h_score(X, y) == pytest.approx(1.0) == h_score(X, shuffled)
        assert h_score_regularized(X, y) > h_score_regularized(X, shuffled) + 0.1


def blocks_of(X: np.ndarray, y: np.ndarray) -> Blocks:
    values, targets = check_inputs(X, y, caller="test")
    return Blocks.of(values, targets, storage_eps(X), seed=0)


@pytest.mark.parametrize(("n", "d", "least", "most"), [(200, 10, 0.9, 1.1), (100, 40, 0.9, 1.1), (60, 60, 0.9, 2.0)])
def test_standard_error_is_near_that_of_refits(n: int, d: int, least: float, most: float) -> None:
    """Left-out values are of first order: close with more samples than features, rather too far apart with fewer."""
    X, y = problem(n, d, 3)
    blocks = blocks_of(X, y)
    found = SCORERS["h_score_regularized"].left_out(blocks)  # type: ignore[misc]
    rest = [blocks.without(b) for b in range(len(blocks))]
    wanted = [h_score_regularized(X[rows], y[rows]) for rows in rest]
    assert least < standard_error(found) / standard_error(wanted) < most
    assert np.corrcoef(found, wanted)[0, 1] > 0.95


def test_left_out_values_where_a_block_holds_a_whole_class() -> None:
    X, y = problem(60, 4, 3)
    X[0], y[0] = X[0] + 3.0, 3  # a class of one row
    blocks = blocks_of(X, y)
    found = SCORERS["h_score_regularized"].left_out(blocks)  # type: ignore[misc]
    rest = [blocks.without(b) for b in range(len(blocks))]
    np.testing.assert_allclose(found, [h_score_regularized(X[rows], y[rows]) for rows in rest], rtol=0.1)
    constant = blocks_of(np.full((60, 4), 0.1), y)
    assert SCORERS["h_score_regularized"].left_out(constant).tolist() == [0.0] * 10  # type: ignore[misc]


def test_moments_are_enough_and_must_be_of_classes() -> None:
    X, y = problem(30, 4, 2)
    assert h_score_regularized(None, None, moments=Moments.from_features(X, y)) == h_score_regularized(X, y)
    for moments in (Moments.from_features(X, X[:, 0]), Moments.from_features(X[y == 0], y[y == 0])):
        with pytest.raises(ScoreError, match="h_score_regularized: these moments are not of 2 classes or more; take"):
            h_score_regularized(X, y, moments=moments)
    with pytest.raises(ScoreError, match="h_score_regularized: labels hold fractions such as 0.5; expected classes"):
        h_score_regularized(X, y + 0.5)
