"""Frechet distance against matrix square roots, POT, and cases whose value is known."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard, sqrtm

from transferscope.errors import ScoreError
from transferscope.similarity import frechet


def samples(n: int, m: int, d: int, seed: int = 0, shift: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) @ rng.normal(size=(d, d)) / np.sqrt(d) + shift


def literal(s: np.ndarray, t: np.ndarray) -> float:
    """Heusel et al.: the roots of the covariances taken one after the other."""
    first, second = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (s, t))
    root = np.real(sqrtm(first))
    together = np.real(sqrtm(root @ second @ root))
    gap = s.mean(axis=0) - t.mean(axis=0)
    return float(gap @ gap + np.trace(first) + np.trace(second) - 2 * np.trace(together))


@settings(max_examples=30, deadline=None)
@given(d=st.integers(1, 8), more=st.integers(2, 30), fewer=st.integers(2, 30), seed=st.integers(0, 10**6))
def test_is_its_definition(d: int, more: int, fewer: int, seed: int) -> None:
    s, t = samples(d + more, d + fewer, d, seed)
    assert frechet(s, t) == pytest.approx(literal(s, t), rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(2, 9),
    m=st.integers(2, 9),
    small=st.integers(1, 4),
    d=st.integers(10, 30),
    seed=st.integers(0, 10**6),
)
def test_rows_of_a_small_space_lie_as_far_apart_in_a_wide_one(n: int, m: int, small: int, d: int, seed: int) -> None:
    """Fewer rows than features, rank-deficient; in the small space the same rows are often more than its features."""
    s, t = samples(n, m, small, seed)
    into = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, small)))[0].T
    assert frechet(s @ into, t @ into) == pytest.approx(frechet(s, t), rel=1e-9)


def test_library_agrees() -> None:
    s, t = samples(60, 45, 7)
    apart = ot.gaussian.bures_wasserstein_distance(
        s.mean(axis=0), t.mean(axis=0), np.cov(s, rowvar=False), np.cov(t, rowvar=False)
    )
    assert frechet(s, t) == pytest.approx(float(apart) ** 2, rel=1e-8)


def test_known_values() -> None:
    """One feature; and covariances that are diagonal, in which a weak direction keeps its own digits."""
    s, t = samples(9, 6, 1)
    gaps = float(s.mean() - t.mean()), float(s.std(ddof=1) - t.std(ddof=1))
    assert frechet(s, t) == pytest.approx(gaps[0] ** 2 + gaps[1] ** 2, rel=1e-10)
    columns = hadamard(8)[:, 1:4]  # orthogonal, of mean 0
    a, b = np.array([1.0, 1e-5, 0.0]), np.array([1.0, 3e-5, 0.0])
    assert frechet(columns * a, columns * b) == pytest.approx(8 / 7 * 4e-10, abs=1e-14)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(2, 40), d=st.integers(1, 30), seed=st.integers(0, 10**6), power=st.sampled_from([-8, 0, 8]),
    offset=st.sampled_from([0.0, 1e6]),
)  # fmt: skip
def test_invariances(n: int, d: int, seed: int, power: int, offset: float) -> None:
    """To rotation and shift; to which side comes first and the order of rows; and the square of the scale."""
    s, t = samples(n, n + 3, d, seed)
    value, rng = frechet(s, t), np.random.default_rng(seed)
    assert value >= 0
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0] * 10.0**power
    assert frechet((s + offset) @ turn, (t + offset) @ turn) == pytest.approx(100.0**power * value, rel=1e-6)
    assert frechet(t, s) == pytest.approx(value, rel=1e-9)
    assert frechet(rng.permutation(s), rng.permutation(t)) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("shape", [(50, 6), (6, 50), (20, 20)])
def test_equal_samples_and_a_pure_shift(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    s = rng.normal(size=shape)
    assert 0 <= frechet(s, s) < 1e-12
    assert 0 <= frechet(s, rng.permutation(s)) < 1e-12
    values = [frechet(s, s + shift) for shift in (0.1, 0.5, 2.0)]
    assert values == pytest.approx([shift**2 * shape[1] for shift in (0.1, 0.5, 2.0)], rel=1e-9)


def test_large_mean_costs_no_digits() -> None:
    """Binary fractions, which are stored exactly at a mean of 1e8."""
    s, t = (np.round(x * 1024) / 1024 for x in samples(13, 11, 3))
    assert frechet(s + 1e8, t + 1e8) == pytest.approx(frechet(s, t), rel=1e-12)


def test_few_rows_make_it_too_large() -> None:
    """Two samples of one distribution in 40 dimensions."""
    rng = np.random.default_rng(0)
    values = [frechet(*rng.normal(size=(2, n, 40))) for n in (20, 80, 320, 1280)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 20
    assert values[-1] < 3


def test_degenerate_samples() -> None:
    """Constant features, repeated rows, and no spread at all."""
    s, t = samples(12, 10, 3)
    padded = [np.hstack([x, np.full((len(x), 2), 7.0)]) for x in (s, t)]
    assert frechet(*padded) == pytest.approx(frechet(s, t), rel=1e-10)
    assert frechet(np.full((4, 3), 1.0), np.full((5, 3), 3.0)) == pytest.approx(12.0, rel=1e-12)
    spread = np.square(s - s.mean(axis=0)).sum() / 11
    assert frechet(s, np.tile(s.mean(axis=0), (5, 1))) == pytest.approx(spread, rel=1e-10)


def test_float32_is_computed_in_float64() -> None:
    s, t = (x.astype(np.float32) for x in samples(12, 10, 3))
    assert frechet(s, t) == frechet(s.astype(float), t.astype(float)) == frechet(torch.tensor(s), torch.tensor(t))


def test_refusals() -> None:
    s, t = samples(10, 8, 3)
    with pytest.raises(ScoreError, match="frechet: 1 and 8 rows; expected at least 2 on each side"):
        frechet(s[:1], t)
