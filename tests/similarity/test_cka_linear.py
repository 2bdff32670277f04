"""Linear CKA against HSIC of the N x N kernels, written out, and what it is invariant to."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from transferscope.errors import ScoreError
from transferscope.similarity import cka_linear

both = pytest.mark.parametrize("debiased", [False, True])


def pair(n: int, d: int, d2: int, seed: int = 0, alike: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, d)) + 1.0
    return a, alike * a @ rng.normal(size=(d, d2)) + rng.normal(size=(n, d2)) - 2.0


def biased_hsic(K: np.ndarray, L: np.ndarray) -> float:
    n = len(K)
    H = np.eye(n) - 1 / n
    return float(np.trace(K @ H @ L @ H) / (n - 1) ** 2)


def unbiased_hsic(K: np.ndarray, L: np.ndarray) -> float:
    """The U-statistic itself: the mean over ordered quadruples of distinct rows (Song et al., JMLR 2012, eq. 4)."""
    total, count = 0.0, 0
    for i, j, q, r in itertools.permutations(range(len(K)), 4):
        total += K[i, j] * (L[i, j] + L[q, r] - 2 * L[i, q])
        count += 1
    return total / count


def literal(a: np.ndarray, b: np.ndarray, debiased: bool) -> float:
    K, L = a @ a.T, b @ b.T
    hsic = unbiased_hsic if debiased else biased_hsic
    return float(hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L)))


@both
@settings(max_examples=25, deadline=None)
@given(n=st.integers(5, 9), d=st.integers(1, 12), d2=st.integers(1, 12), seed=st.integers(0, 10**6))
def test_is_a_ratio_of_hsic(debiased: bool, n: int, d: int, d2: int, seed: int) -> None:
    """Both ways of multiplying are met: X'Z itself and the N x N products."""
    a, b = pair(n, d, d2, seed)
    K, L = a @ a.T, b @ b.T
    if debiased and min(unbiased_hsic(K, K), unbiased_hsic(L, L)) <= 0:
        assert np.isnan(cka_linear(a, b, debiased=True))
    else:
        assert cka_linear(a, b, debiased=debiased) == pytest.approx(literal(a, b, debiased), rel=1e-7, abs=1e-9)


@both
@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(6, 40), d=st.integers(1, 50), d2=st.integers(1, 50), seed=st.integers(0, 10**6),
    power=st.sampled_from([-8, 0, 8]), offset=st.sampled_from([0.0, 10.0, 1e6]),
)  # fmt: skip
def test_invariances(debiased: bool, n: int, d: int, d2: int, seed: int, power: int, offset: float) -> None:
    """To rotation, shift and scale of either, to the order of rows, and to which comes first."""
    a, b = pair(n, d, d2, seed)
    value = cka_linear(a, b, debiased=debiased)
    assume(not np.isnan(value))
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    slack = {"rel": 1e-6, "abs": 1e-6}
    assert cka_linear((a @ turn + offset) * 10.0**power, b, debiased=debiased) == pytest.approx(value, **slack)
    assert cka_linear(a, 3 - 10.0**power * b, debiased=debiased) == pytest.approx(value, **slack)
    order = rng.permutation(n)
    assert cka_linear(a[order], b[order], debiased=debiased) == pytest.approx(value, **slack)
    assert cka_linear(b, a, debiased=debiased) == pytest.approx(value, **slack)
    assert cka_linear(a, a, debiased=debiased) == pytest.approx(1.0, rel=1e-9)
    if not debiased:
        assert 0 <= value <= 1 + 1e-12


def test_other_linear_maps_do_matter() -> None:
    a, b = pair(50, 4, 4)
    assert abs(cka_linear(a * np.array([1, 1, 1, 100]), b) - cka_linear(a, b)) > 1e-3


@both
def test_grows_with_likeness(debiased: bool) -> None:
    values = [cka_linear(*pair(200, 6, 6, alike=alike), debiased=debiased) for alike in (0.0, 0.2, 0.5, 2.0)]
    assert values == sorted(values)
    assert values[0] < 0.1 < 0.5 < values[-1]


def test_bias_of_wide_representations() -> None:
    """Independent noise with far more features than samples: near 1 biased, near 0 debiased."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20, 2000)), rng.normal(size=(20, 2000))
    assert cka_linear(a, b) > 0.95
    assert abs(cka_linear(a, b, debiased=True)) < 0.2
    unrelated = [cka_linear(*rng.normal(size=(2, 30, 40)), debiased=True) for _ in range(60)]
    assert min(unrelated) < 0 < max(unrelated)
    assert abs(np.mean(unrelated)) < 0.03


@both
@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
def test_undefined_for_a_constant(debiased: bool, constant: float) -> None:
    a, _ = pair(10, 3, 2)
    assert np.isnan(cka_linear(a, np.full((10, 4), constant), debiased=debiased))
    assert np.isnan(cka_linear(np.full((10, 1), constant), a, debiased=debiased))


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_count_as_arrays(debiased: bool, dtype: torch.dtype) -> None:
    a, b = (torch.tensor(x, dtype=dtype, requires_grad=True) for x in pair(30, 5, 7))
    arrays = a.detach().numpy(), b.detach().numpy()
    kept = [x.copy() for x in arrays]
    for array in arrays:
        array.flags.writeable = False
    assert cka_linear(a, b, debiased=debiased) == cka_linear(*arrays, debiased=debiased)
    np.testing.assert_array_equal(arrays[0], kept[0])
    np.testing.assert_array_equal(arrays[1], kept[1])


def test_refusals() -> None:
    a, b = pair(10, 3, 2)
    with pytest.raises(ScoreError, match="cka_linear: a has 10 rows and b 9; give the same samples to both"):
        cka_linear(a, b[:9])
    with pytest.raises(ScoreError, match="cka_linear: 3 rows; the debiased form is defined from 4 on"):
        cka_linear(a[:3], b[:3], debiased=True)
    assert 0 < cka_linear(a[:3], b[:3]) <= 1
    a[2, 1] = np.nan
    with pytest.raises(ScoreError, match="cka_linear: b hold 1 NaN and 0 infinite values in 1 rows, the first"):
        cka_linear(b, a)
    with pytest.raises(ScoreError, match=r"cka_linear: a are of shape \(10,\); expected \(n_samples, n_columns\)"):
        cka_linear(b[:, 0], b)
