"""Procrustes distance against a search over rotations and two libraries, and what it is invariant to."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transferscope.errors import ScoreError
from transferscope.similarity import procrustes


def pair(n: int, d: int, d2: int, seed: int = 0, alike: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, d)) + 1.0
    return a, alike * a @ rng.normal(size=(d, d2)) + rng.normal(size=(n, d2)) - 2.0


def normalised(x: np.ndarray, width: int) -> np.ndarray:
    x = x - x.mean(axis=0)
    return np.hstack([x / np.sqrt((x**2).sum()), np.zeros((len(x), width - x.shape[1]))])


@settings(max_examples=60, deadline=None)
@given(n=st.integers(3, 40), d=st.integers(1, 40), d2=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_is_what_the_best_rotation_leaves(n: int, d: int, d2: int, seed: int) -> None:
    """The rotation of SciPy, between representations filled up to equal width; and the closed form."""
    a, b = pair(n, d, d2, seed)
    x, z = (normalised(side, max(d, d2)) for side in (a, b))
    turn, nuclear = scipy.linalg.orthogonal_procrustes(x, z)
    assert procrustes(a, b) == pytest.approx(float(np.linalg.norm(x @ turn - z)), rel=1e-8, abs=1e-10)
    assert procrustes(a, b) == pytest.approx(np.sqrt(max(0.0, 2 - 2 * nuclear)), abs=1e-7)


def test_no_rotation_of_a_plane_does_better() -> None:
    a, b = pair(30, 2, 2, alike=0.5)
    x, z = normalised(a, 2), normalised(b, 2)
    found = []
    for angle in np.linspace(0, 2 * np.pi, 4000):
        c, s = np.cos(angle), np.sin(angle)
        found += [np.linalg.norm(x @ q - z) for q in (np.array([[c, s], [-s, c]]), np.array([[c, s], [s, -c]]))]
    assert procrustes(a, b) <= min(found) + 1e-12
    assert procrustes(a, b) == pytest.approx(min(found), rel=1e-5)


def test_disparity_of_scipy() -> None:
    """It lets one side shrink besides, which leaves 1 - nuclear norm squared."""
    a, b = pair(50, 4, 4)
    disparity = scipy.spatial.procrustes(a, b)[2]
    assert procrustes(a, b) == pytest.approx(np.sqrt(2 - 2 * np.sqrt(1 - disparity)), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(3, 40), d=st.integers(1, 50), d2=st.integers(1, 50), seed=st.integers(0, 10**6),
    power=st.sampled_from([-8, 0, 8]), offset=st.sampled_from([0.0, 10.0, 1e6]),
)  # fmt: skip
def test_invariances(n: int, d: int, d2: int, seed: int, power: int, offset: float) -> None:
    """To rotation, shift and scale of either, to the order of rows, and to which comes first."""
    a, b = pair(n, d, d2, seed)
    value = procrustes(a, b)
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    moved = (a @ turn + offset) * 10.0**power
    assert procrustes(moved, b) == pytest.approx(value, abs=1e-7)
    assert procrustes(a, 3 - 10.0**power * b) == pytest.approx(value, abs=1e-7)
    order = rng.permutation(n)
    assert procrustes(a[order], b[order]) == pytest.approx(value, abs=1e-9)
    assert procrustes(b, a) == pytest.approx(value, abs=1e-9)
    assert procrustes(a, a) == pytest.approx(0.0, abs=1e-13)
    assert procrustes(moved, a) == pytest.approx(0.0, abs=1e-13 + 1e-14 * offset)
    assert 0 <= value <= np.sqrt(2) + 1e-12


def test_small_distances_keep_their_digits() -> None:
    """The root of 2 minus nearly 2 would be noise below 1e-8."""
    x = np.linalg.qr(np.hstack([np.ones((30, 1)), np.random.default_rng(0).normal(size=(30, 3))]))[0][:, 1:]
    for tilt in (1e-4, 1e-7, 1e-10):
        a = x[:, :2] * [1.0, 0.5]
        b = a + tilt * x[:, 2:] * [1.0, 0.0]  # away from a, by tilt over its norm
        assert procrustes(a, b) == pytest.approx(tilt / np.sqrt(1.25), rel=1e-4)


def test_is_a_metric() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        a, b, c = (rng.normal(size=(12, rng.integers(1, 9))) for _ in range(3))
        assert procrustes(a, c) <= procrustes(a, b) + procrustes(b, c) + 1e-12


def test_farthest_is_the_root_of_2() -> None:
    x = np.linalg.qr(np.hstack([np.ones((30, 1)), np.random.default_rng(0).normal(size=(30, 7))]))[0][:, 1:]
    assert procrustes(x[:, :3], x[:, 3:]) == pytest.approx(np.sqrt(2), rel=1e-12)


def test_falls_with_likeness_and_with_features_beyond_samples() -> None:
    values = [procrustes(*pair(300, 6, 6, alike=alike)) for alike in (0.0, 0.2, 0.5, 2.0)]
    assert values == sorted(values, reverse=True)
    rng = np.random.default_rng(0)
    unrelated = [procrustes(*rng.normal(size=(2, 20, d))) for d in (2, 20, 200, 5000)]
    assert unrelated == sorted(unrelated, reverse=True)
    assert unrelated[-1] < 0.1


def test_wide_representations_cost_no_square_of_features() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 10, 1500))
    procrustes(a[:, :3], b[:, :3])  # what loads at the first call
    tracemalloc.start()
    procrustes(a, b)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1500 * 1500 * 8 / 5


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
def test_undefined_for_a_constant(constant: float) -> None:
    a, _ = pair(10, 3, 2)
    assert np.isnan(procrustes(a, np.full((10, 4), constant)))
    assert np.isnan(procrustes(np.full((10, 1), constant), a))
    assert np.isnan(procrustes(a[:1], a[:1]))


def test_redundant_features() -> None:
    rng = np.random.default_rng(0)
    a, b = pair(60, 4, 5)
    value = procrustes(a, b)
    wide = a @ np.linalg.qr(rng.normal(size=(90, 90)))[0][:4]
    assert procrustes(wide, b) == pytest.approx(value, abs=1e-9)
    assert procrustes(wide.astype(np.float32), b) == pytest.approx(value, abs=1e-5)
    assert procrustes(1e4 + 1e-5 * wide, b) == pytest.approx(value, abs=1e-5)
    assert procrustes(np.hstack([a, np.full((60, 2), 1e3)]), b) == pytest.approx(value, abs=1e-9)
    assert procrustes(np.vstack([a, a]), np.vstack([b, b])) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_count_as_arrays(dtype: torch.dtype) -> None:
    a, b = (torch.tensor(x, dtype=dtype, requires_grad=True) for x in pair(30, 5, 7))
    arrays = a.detach().numpy(), b.detach().numpy()
    kept = [x.copy() for x in arrays]
    for array in arrays:
        array.flags.writeable = False
    assert procrustes(a, b) == procrustes(*arrays)
    assert procrustes(*arrays) == pytest.approx(procrustes(*pair(30, 5, 7)), rel=1e-5)
    np.testing.assert_array_equal(arrays[0], kept[0])
    np.testing.assert_array_equal(arrays[1], kept[1])


def test_refusals() -> None:
    a, b = pair(10, 3, 2)
    with pytest.raises(ScoreError, match="procrustes: a has 10 rows and b 9; give the same samples to both"):
        procrustes(a, b[:9])
    a[2, 1] = np.nan
    with pytest.raises(ScoreError, match="procrustes: b hold 1 NaN and 0 infinite values in 1 rows, the first at row"):
        procrustes(b, a)
