"""PED against its steps taken sample by sample."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import transferscope as ts
from transferscope.errors import ScoreError
from transferscope.scorers import ped, sfda


def problem(
    n: int, d: int, k: int, seed: int = 0, separation: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    X = separation * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) + 2.0
    return X, y, rng.normal(size=(20, d)) * rng.uniform(0.5, 2.0, d) + 1.0


def literal(X: np.ndarray, y: np.ndarray, G: np.ndarray, reach: float, step: float, floor: float = 1e-3) -> float:
    """Every sample moves by the sum of what the other classes do to its own; centres and radii measured anew."""
    mean, spread = G.mean(axis=0), np.maximum(G.std(axis=0), floor)
    Z, first, classes = (X - mean) / spread, None, range(y.max() + 1)
    for _ in range(6):
        moves = []
        for i in classes:
            move = np.zeros(X.shape[1])
            for j in classes:
                if i == j:
                    continue
                a, b = Z[y == i], Z[y == j]
                gap = a.mean(axis=0) - b.mean(axis=0)
                distance = float(np.linalg.norm(gap))
                radii = np.sqrt(a.var(axis=0).sum()) + np.sqrt(b.var(axis=0).sum())
                force = max(reach * radii - distance, 0.0)
                move += min(0.5 * step**2 * force, force) * gap / distance
            moves.append(move)
        length = sum(float(np.linalg.norm(move)) for move in moves)
        first = length if first is None else first
        if first == 0 or length / first <= 0.5:
            break
        Z = np.stack([row + moves[c] for row, c in zip(Z, y, strict=True)])
    return sfda(Z * spread + mean, y)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(8, 25), d=st.integers(2, 12), k=st.integers(2, 4), seed=st.integers(0, 10**6),
    reach=st.sampled_from([0.1, 0.3, 0.6, 1.5]), step=st.sampled_from([0.1, 0.7, 3.0]),
)  # fmt: skip
def test_is_its_definition(n: int, d: int, k: int, seed: int, reach: float, step: float) -> None:
    """Small steps, of which six are taken, and large ones after which classes are soon out of reach."""
    X, y, G = problem(n, d, k, seed)
    wanted = literal(X, y, G, reach, step)
    assert ped(X, y, G, reach=reach, step=step) == pytest.approx(wanted, rel=1e-5, abs=1e-7)


def test_steps_stop_where_moves_are_half_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of t = 1 halve the gap at once; the second is not taken, whatever the limit."""
    X, y, G = problem(40, 6, 2, separation=0.1)
    once, twice = ped(X, y, G, step=0.1), ped(X, y, G, step=1.0)
    monkeypatch.setattr(sys.modules["transferscope.scorers.ped"], "STEPS", 1)
    assert ped(X, y, G, step=1.0) == twice
    assert ped(X, y, G, step=0.1) < once
    monkeypatch.setattr(sys.modules["transferscope.scorers.ped"], "STEPS", 0)
    assert ped(X, y, G) == sfda(X - X.mean(axis=0), y)


def test_classes_apart_stay() -> None:
    X, y, G = problem(60, 5, 3, separation=30.0)
    assert ped(X, y, G) == sfda(X - X.mean(axis=0), y)
    X, y, G = problem(60, 5, 3)
    assert ped(X, y, G, reach=0.0) == sfda(X - X.mean(axis=0), y)


def test_pushing_raises_the_score_of_overlapping_classes() -> None:
    X, y, G = problem(300, 5, 3, separation=0.5)
    values = [ped(X, y, G, reach=reach) for reach in (0.0, 0.6, 1.2)]
    assert values[0] + 0.003 < values[1] < values[2] - 0.01


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_centres_that_coincide_do_not_push_each_other(offset: float) -> None:
    """Published code divides 0 by 0 there."""
    rows = np.random.default_rng(0).normal(size=(10, 4))
    X = np.vstack([rows, rows]) + offset
    y = np.arange(20) // 10
    G = np.random.default_rng(1).normal(size=(20, 4))
    assert ped(X, y, G) == pytest.approx(0.5, abs=1e-6)
    X = np.vstack([X, rows + offset + 0.5])  # a third class moves the two alike
    found = ped(X, np.repeat([0, 1, 2], 10), G)
    assert 1 / 3 < found < 1


def test_constant_features_and_classes_of_one_row() -> None:
    y = np.arange(12) % 3
    for value in (0.1, -1e8):
        X = np.full((12, 4), value)
        assert ped(X, y, X) == pytest.approx(sfda(X, y), rel=1e-12)
    X, _, G = problem(8, 3, 2)
    assert 0 < ped(X, np.arange(8), G) <= 1
    assert 0 < ped(X, [0] * 7 + [1], np.zeros((5, 3))) <= 1


def test_the_scale_of_the_reference_counts_and_its_mean_does_not() -> None:
    X, y, G = problem(60, 5, 3)
    assert ped(X, y, G + 1e3) == pytest.approx(ped(X, y, G), rel=1e-9)
    assert ped(X, y, 7 * G) == pytest.approx(ped(X, y, G), rel=1e-9)  # alike for all features: all units alike
    assert abs(ped(X, y, G * np.array([1, 5, 1, 1, 9])) - ped(X, y, G)) > 1e-4
    assert ped(X, y, G * 1e-9) == pytest.approx(ped(X, y, np.zeros((2, 5))), rel=1e-9)  # both at the floor
    assert ped(X, y, G * 1e-9, floor=1e-15) == pytest.approx(ped(X, y, G), rel=1e-7)


def test_what_does_not_matter() -> None:
    X, y, G = problem(60, 5, 3)
    value = ped(X, y, G)
    order = np.random.default_rng(0).permutation(60)
    assert ped(X[order], y[order], G[::-1]) == pytest.approx(value, rel=1e-9)
    assert ped(X, np.array(["b", "a", "c"])[y], G) == pytest.approx(value, rel=1e-9)
    assert ped(X + 1e6, y, G) == pytest.approx(value, rel=1e-6)
    assert ped(torch.tensor(X), torch.tensor(y), torch.tensor(G)) == value
    assert ped(X.astype(np.float32), y, G.astype(np.float32)) == pytest.approx(value, rel=1e-4)


def test_is_called_with_the_references_of_the_source() -> None:
    X, y, G = problem(60, 5, 3)
    found = ts.score(X, y, ["ped"], reference_features=G)["ped"]
    assert found.value == ped(X, y, G)
    with pytest.raises(ScoreError, match="ped needs reference_features, the source's features of reference data"):
        ts.score(X, y, ["ped"])


def test_saturates_as_sfda_does() -> None:
    X, y, G = problem(20, 30, 3)
    found = ts.score(X, y, ["ped"], reference_features=G)["ped"]
    assert found.saturated
    assert found.warnings[0].startswith("Saturated: in 19 dimensions 20 samples of 3 classes are separated perfectly")


def test_arrays_stay_as_they_are() -> None:
    X, y, G = problem(30, 4, 2)
    kept = X.copy(), G.copy()
    X.flags.writeable = y.flags.writeable = G.flags.writeable = False
    ped(X, y, G)
    np.testing.assert_array_equal(X, kept[0])
    np.testing.assert_array_equal(G, kept[1])


def test_refusals() -> None:
    X, y, G = problem(30, 4, 2)
    for options in ({"reach": -0.1}, {"step": 0.0}, {"floor": 0.0}, {"step": float("nan")}):
        with pytest.raises(
            ScoreError, match="ped: reach=.*, step=.*, floor=.*; expected a reach from 0 on, the others"
        ):
            ped(X, y, G, **options)
    with pytest.raises(
        ScoreError, match=r"ped: reference_features are of shape \(20, 3\) beside 4 features; expected"
    ):
        ped(X, y, G[:, :3])
    with pytest.raises(
        ScoreError, match=r"ped: reference_features are of shape \(1, 4\) beside 4 features; expected at"
    ):
        ped(X, y, G[:1])
    with pytest.raises(ScoreError, match="ped: 30 rows of features but 20 labels"):
        ped(X, y[:20], G)
    G[2, 1] = np.inf
    with pytest.raises(ScoreError, match="ped: reference_features hold 0 NaN and 1 infinite values"):
        ped(X, y, G)
