"""Proxy A-distance against a classifier trained by hand and against the error that theory gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from transferscope.errors import ScoreError
from transferscope.similarity import proxy_a_distance


def samples(n: int, m: int, d: int, seed: int = 0, shift: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) * 1.2 + shift


def literal(s: np.ndarray, t: np.ndarray, n_folds: int, seed: int) -> float:
    folds = [np.random.default_rng(seed).permutation(len(x)) % n_folds for x in (s, t)]
    wrong = [0, 0]
    for fold in range(n_folds):
        train = [x[f != fold] for x, f in zip((s, t), folds, strict=True)]
        rows, side = np.concatenate(train), np.repeat([0, 1], [len(x) for x in train])
        weights = np.repeat([len(rows) / (2 * len(x)) for x in train], [len(x) for x in train])
        mean, spread = rows.mean(axis=0), rows.std(axis=0)
        found = LogisticRegression(max_iter=1000).fit((rows - mean) / spread, side, sample_weight=weights)
        for k, x in enumerate((s, t)):
            wrong[k] += int((found.predict((x[folds[k] == fold] - mean) / spread) != k).sum())
    error = (wrong[0] / len(s) + wrong[1] / len(t)) / 2
    return 2 * (1 - 2 * min(error, 0.5))


@settings(max_examples=6, deadline=None)
@given(n=st.integers(5, 30), m=st.integers(5, 30), d=st.integers(1, 30), seed=st.integers(0, 10**6))
def test_is_its_definition(n: int, m: int, d: int, seed: int) -> None:
    s, t = samples(n, m, d, seed)
    value = proxy_a_distance(s, t, n_folds=3, seed=seed)
    assert value == pytest.approx(literal(s, t, 3, seed), abs=1e-12)
    assert 0 <= value <= 2


@pytest.mark.parametrize("gap", [0.5, 1.5, 3.0])
def test_large_samples_reach_the_best_linear_error(gap: float) -> None:
    """Two unit Gaussians at a distance: the share of each beyond the middle."""
    rng = np.random.default_rng(0)
    s, t = rng.normal(size=(2, 1500, 3))
    t[:, 1] += gap
    error = math.erfc(gap / 2 / math.sqrt(2)) / 2
    assert proxy_a_distance(s, t) == pytest.approx(2 * (1 - 2 * error), abs=0.1)


def test_range_and_growth() -> None:
    values = [proxy_a_distance(*samples(150, 120, 3, shift=shift)) for shift in (0, 0.5, 1, 2, 9)]
    assert values == sorted(values)
    assert values[0] < 0.3
    assert values[-1] == 2.0


@pytest.mark.parametrize("shape", [(40, 3), (10, 30)])
def test_equal_samples_cannot_be_told_apart(shape: tuple[int, int]) -> None:
    s = np.random.default_rng(0).normal(size=shape)
    assert proxy_a_distance(s, s) == 0.0
    assert proxy_a_distance(s, s[::-1]) == 0.0


def test_sides_weigh_the_same() -> None:
    """Always answering the larger side would be right for nine rows in ten."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(660, 2))
    assert proxy_a_distance(rows[:600], rows[600:]) < 0.35
    assert proxy_a_distance(rows[:600], rows[600:] + 2) == pytest.approx(
        proxy_a_distance(rows[:600], rows[:600] + 2), abs=0.2
    )


@pytest.mark.parametrize("power", [-8, 0, 8])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_invariances(power: int, offset: float) -> None:
    """To shift and scale of each feature, and to which side comes first."""
    s, t = samples(40, 30, 4)
    value = proxy_a_distance(s, t)
    assert 0.2 < value < 1.8
    scales = 10.0**power * np.array([1, 5, 0.1, 30])
    assert proxy_a_distance((s + offset) * scales, (t + offset) * scales) == pytest.approx(value, abs=0.01)
    assert proxy_a_distance(t, s) == pytest.approx(value, abs=0.01)


def test_seeds_draw_the_folds() -> None:
    s, t = samples(40, 30, 4)
    assert proxy_a_distance(s, t, seed=1) == proxy_a_distance(s, t, seed=1)
    assert len({proxy_a_distance(s, t, seed=seed) for seed in range(5)}) > 1


def test_degenerate_samples() -> None:
    flat = np.full((10, 3), 0.1)
    assert proxy_a_distance(flat, flat) == 0.0
    assert proxy_a_distance(flat, flat + 1) == 2.0
    s, t = samples(40, 30, 3)
    padded = [np.hstack([x, np.full((len(x), 2), 7.0)]) for x in (s, t)]
    assert proxy_a_distance(*padded) == proxy_a_distance(s, t)


def test_float32_is_computed_in_float64() -> None:
    s, t = (x.astype(np.float32) for x in samples(12, 10, 3))
    value = proxy_a_distance(s.astype(float), t.astype(float))
    assert proxy_a_distance(s, t) == proxy_a_distance(torch.tensor(s), torch.tensor(t)) == value


def test_refusals() -> None:
    s, t = samples(10, 4, 3)
    with pytest.raises(ScoreError, match="proxy_a_distance: 10 and 4 rows; expected at least 5 on each side"):
        proxy_a_distance(s, t)
    assert 0 <= proxy_a_distance(s, t, n_folds=4) <= 2
    with pytest.raises(ScoreError, match="proxy_a_distance: n_folds=1; expected at least 2"):
        proxy_a_distance(s, t, n_folds=1)
