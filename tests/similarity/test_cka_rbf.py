"""CKA with Gaussian kernels against HSIC of the N x N kernels, written out, and what it is invariant to."""

from __future__ import annotations

import itertools
import math
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import KernelCenterer

from transferscope.errors import ScoreError
from transferscope.similarity import cka_linear, cka_rbf

both = pytest.mark.parametrize("debiased", [False, True])


def pair(n: int, d: int, d2: int, seed: int = 0, alike: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, d)) + 1.0
    return a, alike * a @ rng.normal(size=(d, d2)) + rng.normal(size=(n, d2)) - 2.0


def kernel(x: np.ndarray, bandwidth: float) -> np.ndarray:
    n = len(x)
    squared = np.array([[float(((x[i] - x[j]) ** 2).sum()) for j in range(n)] for i in range(n)])
    median = float(np.median(squared))
    return np.array([[math.exp(-squared[i, j] / (2 * bandwidth**2 * median)) for j in range(n)] for i in range(n)])


def biased_hsic(K: np.ndarray, L: np.ndarray) -> float:
    H = np.eye(len(K)) - 1 / len(K)
    return float(np.trace(K @ H @ L @ H))


def unbiased_hsic(K: np.ndarray, L: np.ndarray) -> float:
    """The U-statistic itself: the mean over ordered quadruples of distinct rows (Song et al., JMLR 2012, eq. 4)."""
    quadruples = list(itertools.permutations(range(len(K)), 4))
    return sum(K[i, j] * (L[i, j] + L[q, r] - 2 * L[i, q]) for i, j, q, r in quadruples) / len(quadruples)


def literal(a: np.ndarray, b: np.ndarray, debiased: bool, bandwidth: float = 1.0) -> float:
    K, L = kernel(a, bandwidth), kernel(b, bandwidth)
    hsic = unbiased_hsic if debiased else biased_hsic
    return float(hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L)))


@both
@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(5, 7), d=st.integers(1, 12), d2=st.integers(1, 12), seed=st.integers(0, 10**6),
    bandwidth=st.sampled_from([0.5, 0.99, 1.0, 3.0]),
)  # fmt: skip
def test_is_a_ratio_of_hsic(debiased: bool, n: int, d: int, d2: int, seed: int, bandwidth: float) -> None:
    """Odd and even numbers of rows, whose medians differ in kind; narrow kernels and wide ones."""
    a, b = pair(n, d, d2, seed)
    value = cka_rbf(a, b, debiased=debiased, bandwidth=bandwidth)
    assert value == pytest.approx(literal(a, b, debiased, bandwidth), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("n", [2, 3])
def test_fewest_rows(n: int) -> None:
    a, b = pair(n, 4, 3)
    assert cka_rbf(a, b) == pytest.approx(literal(a, b, False), rel=1e-9)
    assert np.isnan(cka_rbf(a[:1], b[:1]))


def test_kernels_of_scikit_learn() -> None:
    a, b = pair(120, 8, 5)
    centred = []
    for x in (a, b):
        median = np.median([float(((p - q) ** 2).sum()) for p in x for q in x])
        centred.append(KernelCenterer().fit_transform(rbf_kernel(x, gamma=1 / (2 * median))))
    K, L = centred
    assert cka_rbf(a, b) == pytest.approx((K * L).sum() / np.linalg.norm(K) / np.linalg.norm(L), rel=1e-9)


@both
@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(6, 40), d=st.integers(1, 50), d2=st.integers(1, 50), seed=st.integers(0, 10**6),
    power=st.sampled_from([-8, 0, 8]), offset=st.sampled_from([0.0, 10.0, 1e6]),
    bandwidth=st.sampled_from([0.7, 1.0, 4.0]),
)  # fmt: skip
def test_invariances(
    debiased: bool, n: int, d: int, d2: int, seed: int, power: int, offset: float, bandwidth: float
) -> None:
    """To rotation, shift and scale of either, to the order of rows, and to which comes first."""

    def call(x: np.ndarray, z: np.ndarray) -> float:
        return cka_rbf(x, z, debiased=debiased, bandwidth=bandwidth)

    a, b = pair(n, d, d2, seed)
    value = call(a, b)
    assume(not np.isnan(value))
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    slack = {"rel": 1e-6, "abs": 1e-6}
    assert call((a @ turn + offset) * 10.0**power, b) == pytest.approx(value, **slack)
    assert call(a, 3 - 10.0**power * b) == pytest.approx(value, **slack)
    order = rng.permutation(n)
    assert call(a[order], b[order]) == pytest.approx(value, **slack)
    assert call(b, a) == pytest.approx(value, **slack)
    assert call(a, a) == pytest.approx(1.0, rel=1e-9)
    if not debiased:
        assert 0 <= value <= 1 + 1e-12


@both
def test_a_wide_kernel_says_what_a_linear_one_does(debiased: bool) -> None:
    """Eight digits of a kernel that is 1 to within 1e-6 everywhere; at the usual width the two differ."""
    a, b = pair(60, 7, 5)
    a[0] *= 10
    linear = cka_linear(a, b, debiased=debiased)
    assert cka_rbf(a, b, debiased=debiased, bandwidth=1e5) == pytest.approx(linear, rel=1e-7)
    assert abs(cka_rbf(a, b, debiased=debiased) - linear) > 0.05


def test_a_narrow_kernel_tells_nothing_biased_and_counts_neighbours_debiased() -> None:
    a, b = pair(40, 5, 5)
    assert cka_rbf(a, b, bandwidth=0.05) == pytest.approx(1.0, abs=1e-6)
    near = a + 1e-9 * np.random.default_rng(1).normal(size=a.shape)
    assert cka_rbf(a, near, bandwidth=0.05, debiased=True) == pytest.approx(1.0, abs=1e-5)
    assert abs(cka_rbf(a, b, bandwidth=0.05, debiased=True)) < 0.5


@both
def test_grows_with_likeness(debiased: bool) -> None:
    values = [cka_rbf(*pair(200, 6, 6, alike=alike), debiased=debiased) for alike in (0.0, 0.2, 0.5, 2.0)]
    assert values == sorted(values)
    assert values[0] < 0.1 < 0.5 < values[-1]


def test_sees_what_a_linear_kernel_cannot() -> None:
    x = np.random.default_rng(0).normal(size=(300, 1))
    assert cka_linear(x, x**2, debiased=True) < 0.1
    assert cka_rbf(x, x**2, debiased=True) > 0.2


def test_bias_of_wide_representations() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20, 2000)), rng.normal(size=(20, 2000))
    assert cka_rbf(a, b) > 0.95
    assert abs(cka_rbf(a, b, debiased=True)) < 0.2


@both
def test_blocks_do_not_matter(debiased: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair(90, 5, 7)
    values = [cka_rbf(a, b, debiased=debiased, bandwidth=f) for f in (0.8, 1.0)]
    for block in (1, 90 * 7):
        monkeypatch.setattr(sys.modules["transferscope.similarity.samples"], "BLOCK", block)
        found = [cka_rbf(a, b, debiased=debiased, bandwidth=f) for f in (0.8, 1.0)]
        assert found == pytest.approx(values, rel=1e-12)


def test_no_kernel_matrix_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 1200
    a, b = pair(n, 3, 4)
    monkeypatch.setattr(sys.modules["transferscope.similarity.samples"], "BLOCK", 10 * n)
    monkeypatch.setattr(sys.modules["transferscope.similarity.cka_rbf"], "MEDIAN_ROWS", 200)
    cka_rbf(a[:10], b[:10])  # what loads at the first call
    tracemalloc.start()
    cka_rbf(a, b)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n * n * 8 / 5


def test_median_of_evenly_spread_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair(150, 5, 4)
    exact = cka_rbf(a, b)
    monkeypatch.setattr(sys.modules["transferscope.similarity.cka_rbf"], "MEDIAN_ROWS", 75)
    assert cka_rbf(a, b) == pytest.approx(exact, rel=0.02)
    assert cka_rbf(a, b) != exact


@both
@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
def test_undefined_for_a_constant(debiased: bool, constant: float) -> None:
    a, _ = pair(10, 3, 2)
    assert np.isnan(cka_rbf(a, np.full((10, 4), constant), debiased=debiased))
    assert np.isnan(cka_rbf(np.full((10, 1), constant), a, debiased=debiased))


@pytest.mark.parametrize("bandwidth", [0.5, 1.0])
def test_equidistant_rows_have_no_unbiased_norm(bandwidth: float) -> None:
    a, _ = pair(30, 3, 2)
    rng = np.random.default_rng(0)
    corners = np.eye(30) @ np.linalg.qr(rng.normal(size=(30, 30)))[0] + 5
    assert np.isnan(cka_rbf(corners, a, debiased=True, bandwidth=bandwidth))
    assert cka_rbf(corners, corners, bandwidth=bandwidth) == pytest.approx(1.0)


@both
def test_repeated_rows_and_idle_features(debiased: bool) -> None:
    a, b = pair(8, 3, 2)
    a[4:6], b[4:6] = a[:2], b[:2]
    value = cka_rbf(a, b, debiased=debiased)
    assert value == pytest.approx(literal(a, b, debiased), rel=1e-8)
    idle = np.hstack([a, np.full((8, 2), 1e3), np.zeros((8, 1))])
    assert cka_rbf(idle, b, debiased=debiased) == pytest.approx(value, rel=1e-9)
    far = np.hstack([a, a, -a]) * 1e-5 + 1e4  # of rank 3 in 9 features
    assert cka_rbf(far, b, debiased=debiased) == pytest.approx(value, rel=1e-4)


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_count_as_arrays(debiased: bool, dtype: torch.dtype) -> None:
    a, b = (torch.tensor(x, dtype=dtype, requires_grad=True) for x in pair(30, 5, 7))
    arrays = a.detach().numpy(), b.detach().numpy()
    kept = [x.copy() for x in arrays]
    for array in arrays:
        array.flags.writeable = False
    assert cka_rbf(a, b, debiased=debiased) == cka_rbf(*arrays, debiased=debiased)
    assert cka_rbf(*arrays, debiased=debiased) == pytest.approx(cka_rbf(*pair(30, 5, 7), debiased=debiased), rel=1e-5)
    np.testing.assert_array_equal(arrays[0], kept[0])
    np.testing.assert_array_equal(arrays[1], kept[1])


def test_refusals() -> None:
    a, b = pair(10, 3, 2)
    with pytest.raises(ScoreError, match="cka_rbf: a has 10 rows and b 9; give the same samples to both"):
        cka_rbf(a, b[:9])
    with pytest.raises(ScoreError, match="cka_rbf: 3 rows; the debiased form is defined from 4 on"):
        cka_rbf(a[:3], b[:3], debiased=True)
    for bandwidth in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ScoreError, match=f"cka_rbf: bandwidth={bandwidth}; expected a positive factor on the med"):
            cka_rbf(a, b, bandwidth=bandwidth)
    b[:8] = b[0]
    with pytest.raises(ScoreError, match="at least half of all pairs of rows of b are equal, so there is no median"):
        cka_rbf(a, b)
    a[2, 1] = np.nan
    with pytest.raises(ScoreError, match="cka_rbf: b hold 1 NaN and 0 infinite values in 1 rows, the first at row 2"):
        cka_rbf(b, a)
