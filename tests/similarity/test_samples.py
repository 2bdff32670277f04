"""Squared distances in blocks, against differences of whole numbers and of rows as they are."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from transferscope.similarity.samples import squared_distances


def together(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.concatenate([squared for _, squared in squared_distances(a, b)])


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 15), m=st.integers(1, 15), d=st.integers(1, 20), seed=st.integers(0, 10**6),
    power=st.sampled_from([-8, 0, 8]), offset=st.sampled_from([0.0, 1e6]),
)  # fmt: skip
def test_are_those_of_the_differences(n: int, m: int, d: int, seed: int, power: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = ((rng.normal(size=(k, d)) + offset) * 10.0**power for k in (n, m))
    np.testing.assert_allclose(together(a, b), cdist(a, b, "sqeuclidean"), rtol=1e-9)


@pytest.mark.parametrize("tightness", [1e-3, 1e-6, 1e-9])
def test_near_pairs_keep_their_digits(tightness: float) -> None:
    """Two tight clusters, and one outlier whose norm would drown all distances."""
    rng = np.random.default_rng(0)
    a = np.repeat([[0.0, 0.0], [3.0, 1.0]], 5, axis=0) + tightness * rng.normal(size=(10, 2))
    a[0] = 1e6
    np.testing.assert_allclose(together(a, a[3:]), cdist(a, a[3:], "sqeuclidean"), rtol=1e-9, atol=0)


def test_equal_rows_lie_nowhere_apart() -> None:
    a = np.random.default_rng(0).normal(size=(8, 3)) + 0.1
    assert (np.diag(together(a, a)) == 0).all()
    assert (together(np.full((4, 3), 0.1), np.full((2, 3), 0.1)) == 0).all()


def test_blocks_cover_all_rows_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(17, 3)), rng.normal(size=(5, 3))
    whole = together(a, b)
    monkeypatch.setattr(sys.modules["transferscope.similarity.samples"], "BLOCK", 21)
    blocks = list(squared_distances(a, b))
    assert [block for block, _ in blocks] == [slice(i, min(i + 4, 17)) for i in range(0, 17, 4)]
    np.testing.assert_allclose(together(a, b), whole, rtol=1e-12)
