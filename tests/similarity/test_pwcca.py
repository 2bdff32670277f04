"""PWCCA against canonical vectors and weights, written out, and what it is invariant to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh, subspace_angles

from transferscope.errors import ScoreError
from transferscope.similarity import pwcca


def pair(n: int, d: int, d2: int, seed: int = 0, alike: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, d)) + 1.0
    return a, alike * a @ rng.normal(size=(d, d2)) + 2 * rng.normal(size=(n, d2)) - 2.0


def literal(a: np.ndarray, b: np.ndarray) -> float:
    """Canonical vectors from the generalised eigenproblem Cxz Czz^-1 Czx w = rho^2 Cxx w."""
    x, z = (a, b) if a.shape[1] <= b.shape[1] else (b, a)
    x, z = x - x.mean(axis=0), z - z.mean(axis=0)
    explained = x.T @ z @ np.linalg.solve(z.T @ z, z.T @ x)
    squares, w = eigh(explained, x.T @ x)
    total = weight_sum = 0.0
    for square, direction in zip(squares, w.T, strict=True):
        h = x @ direction
        h = h / np.sqrt(sum(v * v for v in h))
        weight = sum(abs(float(h @ column)) for column in x.T)
        total += weight * np.sqrt(max(square, 0.0))
        weight_sum += weight
    return float(total / weight_sum)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(26, 60), d=st.integers(1, 12), d2=st.integers(1, 12), seed=st.integers(0, 10**6))
def test_is_a_weighted_mean_of_canonical_correlations(n: int, d: int, d2: int, seed: int) -> None:
    """Either side may be the narrower; of equally wide ones, the first is."""
    a, b = pair(n, d, d2, seed)
    assert pwcca(a, b) == pytest.approx(literal(a, b), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(8, 60), d=st.integers(2, 10), more=st.integers(1, 10), seed=st.integers(0, 10**6),
    power=st.sampled_from([-8, 0, 8]), offset=st.sampled_from([0.0, 10.0, 1e6]),
)  # fmt: skip
def test_invariances(n: int, d: int, more: int, seed: int, power: int, offset: float) -> None:
    """To shift and scale of either, to any map of the wider, to the order of rows, and to which comes first."""
    a, b = pair(n, d, d + more, seed)
    value = pwcca(a, b)
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(d + more, d + more)))[0]
    mixed = b @ (turn * rng.uniform(0.5, 2.0, size=(d + more, 1)))
    assert pwcca(a, (mixed + offset) * 10.0**power) == pytest.approx(value, abs=1e-5)
    assert pwcca((a + offset) * -(10.0**power), b) == pytest.approx(value, abs=1e-5)
    order = rng.permutation(n)
    assert pwcca(a[order], b[order]) == pytest.approx(value, abs=1e-9)
    assert pwcca(b, a) == pytest.approx(value, abs=1e-9)
    assert pwcca(a, a) == pytest.approx(1.0, abs=1e-12)
    assert 0 <= value <= 1 + 1e-12


def test_directions_that_both_span() -> None:
    """Exactly shared ones count along the principal axes of the narrower, and not as rounding would have it."""
    rng = np.random.default_rng(0)
    x = np.linalg.qr(np.hstack([np.ones((50, 1)), rng.normal(size=(50, 5))]))[0][:, 1:]
    a = np.hstack([x[:, :2] * [3.0, 2.0], x[:, 2:3]])  # two shared directions, then one at an angle of 60 degrees
    b = np.hstack([x[:, :2], 0.5 * x[:, 2:3] + np.sqrt(0.75) * x[:, 3:4], x[:, 4:5]])
    assert pwcca(a, b) == pytest.approx((3 + 2 + 0.5) / 6, rel=1e-9)
    turned = b @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    assert pwcca(a, turned) == pytest.approx((3 + 2 + 0.5) / 6, rel=1e-9)


def test_what_it_is_not_invariant_to() -> None:
    """Rotation of the narrower, by its weights; and, of equally wide ones, their order."""
    a, b = pair(60, 4, 7)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    assert abs(pwcca(a @ turn, b) - pwcca(a, b)) > 1e-5
    a, b = pair(60, 5, 5)
    assert abs(pwcca(a, b) - pwcca(b, a)) > 1e-4


def test_weights_are_of_the_narrower() -> None:
    """A direction both share, and one that is noise, of which the narrower representation holds little or much."""
    rng = np.random.default_rng(0)
    shared, noise = rng.normal(size=(500, 1)), rng.normal(size=(500, 4))
    wide = np.hstack([shared, noise[:, 2:]])
    values = [pwcca(np.hstack([shared, share * noise[:, :1]]), wide) for share in (0.01, 1.0, 100.0)]
    assert values[0] > 0.98
    assert values[0] > values[1] > values[2]
    assert values[2] < 0.2
    assert pwcca(np.hstack([shared, 0.01 * noise[:, :1]]), wide * [1, 100, 100]) == pytest.approx(values[0], rel=1e-9)


@pytest.mark.parametrize(("d", "d2"), [(30, 40), (3, 19), (400, 2)])
def test_one_whatever_the_features_where_either_spans_all_samples(d: int, d2: int) -> None:
    rng = np.random.default_rng(0)
    assert pwcca(rng.normal(size=(20, d)), rng.normal(size=(20, d2))) == pytest.approx(1.0, abs=1e-12)
    assert pwcca(rng.normal(size=(20, 3)), rng.normal(size=(20, 4))) < 0.9


def test_grows_with_likeness() -> None:
    values = [pwcca(*pair(300, 6, 6, alike=alike)) for alike in (0.0, 0.3, 1.0, 3.0)]
    assert values == sorted(values)
    assert values[0] < 0.2 < 0.7 < values[-1]


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
def test_undefined_for_a_constant(constant: float) -> None:
    a, _ = pair(10, 3, 2)
    assert np.isnan(pwcca(a, np.full((10, 4), constant)))
    assert np.isnan(pwcca(np.full((10, 1), constant), a))
    assert np.isnan(pwcca(a[:1], a[:1]))


def test_redundant_features_and_rounding_of_the_stored_type_are_no_directions() -> None:
    rng = np.random.default_rng(0)
    a, b = pair(60, 4, 5)
    value = pwcca(a, b)
    wide = b @ rng.normal(size=(5, 12))
    assert pwcca(a, wide) == pytest.approx(value, abs=1e-9)
    assert pwcca(a, wide.astype(np.float32)) == pytest.approx(value, abs=1e-4)
    assert pwcca(a, np.hstack([b, np.full((60, 2), 1e3)])) == pytest.approx(value, abs=1e-9)
    assert pwcca(np.vstack([a, a]), np.vstack([b, b])) == pytest.approx(value, abs=1e-9)
    low = np.hstack([b[:, :2], b[:, :2] @ rng.normal(size=(2, 6))])  # of rank 2, in more features than a
    h = np.cos(subspace_angles(a - a.mean(axis=0), low[:, :2] - low[:, :2].mean(axis=0)))
    assert h.min() <= pwcca(a, low) <= h.max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_count_as_arrays(dtype: torch.dtype) -> None:
    a, b = (torch.tensor(x, dtype=dtype, requires_grad=True) for x in pair(30, 5, 7))
    arrays = a.detach().numpy(), b.detach().numpy()
    kept = [x.copy() for x in arrays]
    for array in arrays:
        array.flags.writeable = False
    assert pwcca(a, b) == pwcca(*arrays)
    assert pwcca(*arrays) == pytest.approx(pwcca(*pair(30, 5, 7)), rel=1e-5)
    np.testing.assert_array_equal(arrays[0], kept[0])
    np.testing.assert_array_equal(arrays[1], kept[1])


def test_refusals() -> None:
    a, b = pair(10, 3, 2)
    with pytest.raises(ScoreError, match="pwcca: a has 10 rows and b 9; give the same samples to both"):
        pwcca(a, b[:9])
    a[2, 1] = np.nan
    with pytest.raises(ScoreError, match="pwcca: b hold 1 NaN and 0 infinite values in 1 rows, the first at row 2"):
        pwcca(b, a)
