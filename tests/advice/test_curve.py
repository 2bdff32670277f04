"""Learning curves in closed form, against refitting by hand, and their extrapolation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from transferscope.advice import curve as room
from transferscope.advice.curve import Curve, extrapolate, learning_curves, linear_kernel

Array = NDArray[np.float64]


def data(seed: int, n: int = 90, classes: int = 3, strength: float = 1.5) -> tuple[Array, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return rng.standard_normal((n, 6)) + strength * np.eye(6)[labels], labels


def by_hand(features: Array, goals: Array, penalty: float, others: Array) -> Array:
    """Ridge regression with an intercept that is not penalised, through features."""
    mean, middle = features.mean(axis=0), goals.mean(axis=0)
    centred = features - mean
    weights = np.linalg.solve(centred.T @ centred + penalty * np.eye(features.shape[1]), centred.T @ (goals - middle))
    return (others - mean) @ weights + middle


@pytest.mark.parametrize("seed", range(3))
def test_predictions_are_those_of_ridge_regression_with_the_best_left_out_penalty(seed: int) -> None:
    features, labels = data(seed)
    rows, others = np.arange(40), np.arange(40, 90)
    goals = np.eye(3)[labels[rows]]
    kernel = features @ features.T
    block = kernel[:40, :40]
    centred = block - block.mean(0) - block.mean(1)[:, None] + block.mean()
    penalties = room.PENALTIES * np.linalg.eigvalsh(centred).clip(0).mean()
    errors = []
    for penalty in penalties:
        left = [by_hand(np.delete(features[rows], i, 0), np.delete(goals, i, 0), penalty, features[[i]])[0]
                for i in range(40)]  # fmt: skip
        errors.append(np.square(goals - np.array(left)).sum())
    told = by_hand(features[rows], goals, penalties[int(np.argmin(errors))], features[others])
    np.testing.assert_array_equal(room._predict(kernel, labels, rows, others), told.argmax(axis=1))


def test_every_sample_is_tested_once_at_every_size_and_more_samples_help() -> None:
    features, labels = data(0, n=300)
    found = learning_curves({"a": linear_kernel(features)}, labels, seed=0)["a"]
    assert found.hits.shape == (5, 300)
    assert set(np.unique(found.hits)) <= {0.0, 1.0}
    assert list(found.sizes) == sorted(found.sizes)
    assert found.sizes[-1] == 240
    assert found.accuracy[-1] > found.accuracy[0]
    again = learning_curves({"a": linear_kernel(features)}, labels, seed=0)["a"]
    np.testing.assert_array_equal(again.hits, found.hits)


def test_no_signal_is_chance_at_every_size() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 3
    found = learning_curves({"a": linear_kernel(rng.standard_normal((600, 10)))}, labels, seed=0)["a"]
    assert np.abs(found.accuracy - 1 / 3).max() < 4 * found.standard_error.max()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 100), scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_units_of_the_features_do_not_matter(seed: int, scale: float, shift: float) -> None:
    features, _ = data(seed, n=45)
    one, other = linear_kernel(features), linear_kernel(scale * features + shift)
    np.testing.assert_allclose(one, other, atol=1e-8)


def test_a_class_of_one_sample_is_no_obstacle() -> None:
    features, labels = data(0, n=31)
    labels[-1] = 3
    found = learning_curves({"a": linear_kernel(features)}, labels, seed=0)["a"]
    assert found.hits[:, -1].max() == 0


def curve_of(errors: Array, sizes: NDArray[np.int64], n: int = 100_000) -> Curve:
    hits = np.ones((len(sizes), n))
    for row, error in enumerate(errors):
        hits[row, : round(error * n)] = 0
    return Curve(sizes, hits)


@pytest.mark.parametrize(("level", "slope", "rate"), [(0.05, 0.8, 0.5), (0.0, 0.9, 0.3), (0.2, 0.0, 0.5)])
def test_a_power_law_is_found_again(level: float, slope: float, rate: float) -> None:
    sizes = np.array([20, 40, 80, 160, 320])
    found = extrapolate(curve_of(level + slope * sizes**-rate, sizes), [640, 1280], seed=0)
    expected = 1 - level - slope * np.array([640, 1280]) ** -rate
    np.testing.assert_allclose(found[0], expected, atol=0.004)
    assert (np.quantile(found[1:], 0.05, axis=0) <= expected + 0.004).all()


def test_fewer_tested_samples_leave_more_open() -> None:
    sizes = np.array([20, 40, 80, 160])
    few, many = (extrapolate(curve_of(0.6 * sizes**-0.3, sizes, n), [1000], seed=0).std() for n in (100, 10_000))
    assert few > 3 * many
    wild = extrapolate(curve_of(np.array([0.9, 0.1, 0.5, 0.2]), sizes, 50), [1000], seed=0)
    assert ((wild >= 0) & (wild <= 1)).all()
