"""Sliced Wasserstein distance against quantile functions written out and against POT."""

from __future__ import annotations

import itertools
import sys
from fractions import Fraction

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transferscope.errors import ScoreError
from transferscope.similarity import sliced_wasserstein


def samples(n: int, m: int, d: int, seed: int = 0, shift: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) * 1.2 + shift


def directions(d: int, n_projections: int, seed: int = 0) -> np.ndarray:
    drawn = sys.modules["transferscope.similarity.sliced_wasserstein"]._directions(d, n_projections, seed)
    assert np.linalg.norm(drawn, axis=0) == pytest.approx(1.0)
    return drawn


def literal(s: np.ndarray, t: np.ndarray, along: np.ndarray) -> float:
    """The integral of the squared gap of quantile functions, from one step of either to the next."""
    n, m, total = len(s), len(t), 0.0
    steps = sorted({Fraction(i, n) for i in range(n + 1)} | {Fraction(j, m) for j in range(m + 1)})
    for u in along.T:
        x, z = sorted(s @ u), sorted(t @ u)
        for low, high in itertools.pairwise(steps):
            middle = (low + high) / 2
            total += float(high - low) * (x[int(middle * n)] - z[int(middle * m)]) ** 2
    return float(np.sqrt(total / along.shape[1]))


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 12), m=st.integers(1, 12), d=st.integers(1, 15), seed=st.integers(0, 10**6))
def test_is_its_definition(n: int, m: int, d: int, seed: int) -> None:
    """Equal and unequal numbers of rows."""
    s, t = samples(n, m, d, seed)
    value = sliced_wasserstein(s, t, n_projections=7, seed=seed)
    assert value == pytest.approx(literal(s, t, directions(d, 7, seed)), rel=1e-9)


@pytest.mark.parametrize("sizes", [(30, 30), (30, 20), (17, 40)])
def test_library_agrees(sizes: tuple[int, int]) -> None:
    """On the same directions to the last digits, and on its own ones within their noise."""
    s, t = samples(*sizes, 6)
    same = ot.sliced_wasserstein_distance(s, t, projections=directions(6, 50))
    assert sliced_wasserstein(s, t, n_projections=50) == pytest.approx(float(same), rel=1e-9)
    other = ot.sliced_wasserstein_distance(s, t, n_projections=2000, seed=1)
    assert sliced_wasserstein(s, t, n_projections=2000) == pytest.approx(float(other), rel=0.05)
    s, t = samples(*sizes, 1)
    assert sliced_wasserstein(s, t) ** 2 == pytest.approx(ot.emd2_1d(s[:, 0], t[:, 0]), rel=1e-9)  # one line only


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(2, 20), d=st.integers(1, 30), seed=st.integers(0, 10**6), power=st.sampled_from([-8, 0, 8]),
    offset=st.sampled_from([0.0, 1e6]),
)  # fmt: skip
def test_invariances(n: int, d: int, seed: int, power: int, offset: float) -> None:
    """To shift, to which side comes first and the order of rows; in proportion to the scale."""
    s, t = samples(n, n + 3, d, seed)
    rng = np.random.default_rng(seed)
    value = sliced_wasserstein(s, t, n_projections=20)
    moved = [(x + offset) * 10.0**power for x in (s, t)]
    assert sliced_wasserstein(*moved, n_projections=20) == pytest.approx(10.0**power * value, rel=1e-6)
    assert sliced_wasserstein(t, s, n_projections=20) == pytest.approx(value, rel=1e-9)
    mixed = sliced_wasserstein(rng.permutation(s), rng.permutation(t), n_projections=20)
    assert mixed == pytest.approx(value, rel=1e-9)


def test_large_mean_costs_no_digits() -> None:
    """Binary fractions, which are stored exactly at a mean of 1e8."""
    s, t = (np.round(x * 1024) / 1024 for x in samples(13, 11, 3))
    assert sliced_wasserstein(s + 1e8, t + 1e8) == pytest.approx(sliced_wasserstein(s, t), rel=1e-12)


def test_rotation_matters_no_more_than_the_directions_do() -> None:
    s, t = samples(60, 50, 8)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    assert sliced_wasserstein(s @ turn, t @ turn) == pytest.approx(sliced_wasserstein(s, t), rel=0.05)
    assert sliced_wasserstein(s @ turn, t @ turn) != sliced_wasserstein(s, t)


def test_equal_samples_and_a_pure_shift() -> None:
    """A shift v is seen as (u'v)^2, whose mean over directions is |v|^2 / D."""
    s, _ = samples(40, 2, 9)
    assert sliced_wasserstein(s, s) == 0.0
    assert sliced_wasserstein(s, s[::-1]) == pytest.approx(0.0, abs=1e-12)
    assert sliced_wasserstein(s, np.concatenate([s, s])) == pytest.approx(0.0, abs=1e-12)
    values = [sliced_wasserstein(s, s + shift, n_projections=4000) for shift in (0.5, 1.0, 4.0)]
    assert values == pytest.approx([0.5, 1.0, 4.0], rel=0.05)


def test_noise_falls_with_the_number_of_directions() -> None:
    s, t = samples(30, 25, 20)
    spread = [np.std([sliced_wasserstein(s, t, n_projections=n, seed=i) for i in range(40)]) for n in (10, 160)]
    assert spread[0] / spread[1] == pytest.approx(4, rel=0.5)
    assert sliced_wasserstein(s, t, seed=3) == sliced_wasserstein(s, t, seed=3) != sliced_wasserstein(s, t, seed=4)


def test_degenerate_samples() -> None:
    flat = np.full((5, 3), 0.1)
    assert sliced_wasserstein(flat, flat[:2]) == pytest.approx(0.0, abs=1e-15)
    s, t = samples(8, 6, 3)
    padded = [np.hstack([x, np.full((len(x), 1), 7.0)]) for x in (s, t)]
    reached = directions(4, 500)[:3]
    assert sliced_wasserstein(*padded) == pytest.approx(literal(s, t, reached), rel=1e-9)
    assert sliced_wasserstein(s[:1], t[:1]) > 0


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    s, t = samples(23, 17, 4)
    value = sliced_wasserstein(s, t, n_projections=31)
    monkeypatch.setattr(sys.modules["transferscope.similarity.sliced_wasserstein"], "BLOCK", 40 * 3)
    assert sliced_wasserstein(s, t, n_projections=31) == pytest.approx(value, rel=1e-12)


def test_float32_is_computed_in_float64() -> None:
    s, t = (x.astype(np.float32) for x in samples(12, 10, 3))
    value = sliced_wasserstein(s.astype(float), t.astype(float))
    assert sliced_wasserstein(s, t) == sliced_wasserstein(torch.tensor(s), torch.tensor(t)) == value


def test_refusals() -> None:
    s, t = samples(10, 8, 3)
    with pytest.raises(ScoreError, match="sliced_wasserstein: n_projections=0; expected at least 1, better 500"):
        sliced_wasserstein(s, t, n_projections=0)
