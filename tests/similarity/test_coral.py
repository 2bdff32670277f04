"""CORAL against sums over pairs of features."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transferscope.errors import ScoreError
from transferscope.similarity import coral


def samples(n: int, m: int, d: int, seed: int = 0, stretch: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) * stretch + 0.5


def literal(s: np.ndarray, t: np.ndarray) -> float:
    """Sun and Saenko, equations 1 to 3, entry by entry."""
    d, total = s.shape[1], 0.0
    for i in range(d):
        for j in range(d):
            gap = 0.0
            for side, sign in ((s, 1), (t, -1)):
                x, z = side[:, i] - side[:, i].mean(), side[:, j] - side[:, j].mean()
                gap += sign * float(sum(x * z)) / (len(side) - 1)
            total += gap**2
    return total / (4 * d * d)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 14), m=st.integers(2, 14), d=st.integers(1, 30), seed=st.integers(0, 10**6))
def test_is_its_definition(n: int, m: int, d: int, seed: int) -> None:
    """Both ways are met: the covariances themselves, and the space that few rows span."""
    s, t = samples(n, m, d, seed)
    assert coral(s, t) == pytest.approx(literal(s, t), rel=1e-10)


def test_library_covariances_agree() -> None:
    s, t = samples(30, 20, 6)
    gap = np.cov(s, rowvar=False) - np.cov(t, rowvar=False)
    assert coral(s, t) == pytest.approx(np.square(gap).sum() / 144, rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(2, 20), d=st.integers(1, 50), seed=st.integers(0, 10**6), power=st.sampled_from([-8, 0, 8]),
    offset=st.sampled_from([0.0, 1e6]),
)  # fmt: skip
def test_invariances(n: int, d: int, seed: int, power: int, offset: float) -> None:
    """To rotation, to a shift of either, to which side comes first, to the order of rows; the scale's fourth power."""
    s, t = samples(n, n + 3, d, seed)
    value, rng = coral(s, t), np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0] * 10.0**power
    assert coral((s + offset) @ turn, t @ turn) == pytest.approx(1e4**power * value, rel=1e-6)
    assert coral(t, s) == pytest.approx(value, rel=1e-10)
    assert coral(rng.permutation(s), rng.permutation(t)) == pytest.approx(value, rel=1e-10)


@pytest.mark.parametrize("shape", [(50, 6), (6, 50), (20, 20)])
def test_equal_samples_and_means_that_it_does_not_see(shape: tuple[int, int]) -> None:
    s = np.random.default_rng(0).normal(size=shape)
    assert 0 <= coral(s, s) < 1e-28
    assert 0 <= coral(s, s[::-1]) < 1e-28
    assert coral(s, s + 100) < 1e-26


def test_few_wide_rows_need_no_covariance() -> None:
    s, t = samples(4, 3, 1500)
    tracemalloc.start()
    value = coral(s, t)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1500**2 * 8 / 10
    gap = np.cov(s, rowvar=False) - np.cov(t, rowvar=False)
    assert value == pytest.approx(np.square(gap).sum() / (4 * 1500**2), rel=1e-10)


def test_grows_with_the_spread_and_is_biased_with_few_rows() -> None:
    values = [coral(*samples(200, 150, 4, stretch=stretch)) for stretch in (1, 1.5, 2, 4)]
    assert values == sorted(values)
    rng = np.random.default_rng(0)
    null = [coral(*rng.normal(size=(2, n, 10))) for n in (10, 100, 1000)]
    assert null[0] > 5 * null[1] > 25 * null[2] > 0


def test_degenerate_samples() -> None:
    s, t = samples(12, 10, 3)
    padded = [np.hstack([x, np.full((len(x), 2), 7.0)]) for x in (s, t)]
    assert coral(*padded) == pytest.approx(coral(s, t) * 9 / 25, rel=1e-10)
    spread = np.square(np.cov(s, rowvar=False)).sum() / 36
    assert coral(s, np.full((5, 3), 0.1)) == pytest.approx(spread, rel=1e-10)
    assert coral(np.zeros((3, 2)), np.ones((4, 2))) == 0.0


def test_float32_is_computed_in_float64() -> None:
    s, t = (x.astype(np.float32) for x in samples(12, 10, 3))
    assert coral(s, t) == coral(s.astype(float), t.astype(float)) == coral(torch.tensor(s), torch.tensor(t))


def test_refusals() -> None:
    s, t = samples(10, 8, 3)
    with pytest.raises(ScoreError, match="coral: 10 and 1 rows; expected at least 2 on each side"):
        coral(s, t[:1])
