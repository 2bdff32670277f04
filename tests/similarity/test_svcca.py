"""SVCCA against canonical correlations of principal components, written out, and what it is invariant to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA

from transferscope.errors import ScoreError
from transferscope.similarity import svcca


def pair(n: int, d: int, d2: int, seed: int = 0, alike: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Columns of very unequal spread, so that few components hold most of the variance."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, d)) * np.logspace(0, -2, d) + 1.0
    return a, alike * a @ rng.normal(size=(d, d2)) + rng.normal(size=(n, d2)) * np.logspace(0, -2, d2) - 2.0


def components(x: np.ndarray, variance: float) -> np.ndarray:
    """Scores of the fewest principal components that hold this share, from the covariance matrix."""
    x = x - x.mean(axis=0)
    values, vectors = np.linalg.eigh(x.T @ x)
    order = np.argsort(values)[::-1]
    kept, held = [], 0.0
    for i in order:
        kept.append(vectors[:, i])
        held += values[i]
        if held >= variance * values.sum():
            break
    return x @ np.stack(kept, axis=1)


def literal(a: np.ndarray, b: np.ndarray, variance: float) -> float:
    """Canonical correlations are the roots of the eigenvalues of Cxx^-1 Cxz Czz^-1 Czx."""
    x, z = components(a, variance), components(b, variance)
    if x.shape[1] > z.shape[1]:
        x, z = z, x
    both = np.linalg.solve(x.T @ x, x.T @ z) @ np.linalg.solve(z.T @ z, z.T @ x)
    return float(np.mean(np.sqrt(np.maximum(np.linalg.eigvals(both).real, 0.0))))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(15, 60), d=st.integers(1, 12), d2=st.integers(1, 12), seed=st.integers(0, 10**6),
    variance=st.sampled_from([0.5, 0.9, 0.99]),
)  # fmt: skip
def test_is_a_mean_of_canonical_correlations(n: int, d: int, d2: int, seed: int, variance: float) -> None:
    a, b = pair(n, d, d2, seed)
    assert svcca(a, b, variance=variance) == pytest.approx(literal(a, b, variance), rel=1e-6)


def test_principal_components_and_cca_of_scikit_learn() -> None:
    a, b = pair(300, 8, 6)
    x, z = (PCA(0.9, svd_solver="full").fit_transform(side) for side in (a, b))
    k = min(x.shape[1], z.shape[1])
    assert 1 < k < 6
    p, q = CCA(k, max_iter=5000, tol=1e-12).fit_transform(x, z)
    together = [np.corrcoef(p[:, i], q[:, i])[0, 1] for i in range(k)]
    assert svcca(a, b, variance=0.9) == pytest.approx(np.mean(together), rel=1e-6)
    assert svcca(a, b, variance=0.9) == pytest.approx(np.cos(subspace_angles(x, z)).mean(), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(6, 40), d=st.integers(1, 50), d2=st.integers(1, 50), seed=st.integers(0, 10**6),
    power=st.sampled_from([-8, 0, 8]), offset=st.sampled_from([0.0, 10.0, 1e6]),
)  # fmt: skip
def test_invariances(n: int, d: int, d2: int, seed: int, power: int, offset: float) -> None:
    """To rotation, shift and scale of either, to the order of rows, and to which comes first."""
    a, b = pair(n, d, d2, seed)
    value = svcca(a, b)
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    assert svcca((a @ turn + offset) * 10.0**power, b) == pytest.approx(value, abs=1e-6)
    assert svcca(a, 3 - 10.0**power * b) == pytest.approx(value, abs=1e-6)
    order = rng.permutation(n)
    assert svcca(a[order], b[order]) == pytest.approx(value, abs=1e-9)
    assert svcca(b, a) == pytest.approx(value, abs=1e-12)
    assert svcca(a, a) == pytest.approx(1.0, abs=1e-12)
    assert 0 <= value <= 1


def test_one_whatever_the_features_where_either_keeps_all_directions() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20, 30)), rng.normal(size=(20, 3))
    assert svcca(a, b, variance=1.0) == pytest.approx(1.0, abs=1e-12)
    assert svcca(b, a, variance=1.0) == pytest.approx(1.0, abs=1e-12)
    assert svcca(a, rng.normal(size=(20, 400)), variance=1.0) == pytest.approx(1.0, abs=1e-12)
    assert svcca(a[:, :6], b) < 0.9


def test_a_share_that_is_reached_exactly_needs_no_further_component() -> None:
    """Two of four directions hold 80 percent; the third, had it been kept too, would be found in both."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        x = np.linalg.qr(np.hstack([np.ones((40, 1)), rng.normal(size=(40, 4))]))[0][:, 1:] * np.sqrt([4, 4, 1.5, 0.5])
        turned = x @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
        assert svcca(turned, x[:, 2:3], variance=0.8) == pytest.approx(0.0, abs=1e-9)
        assert svcca(turned, x[:, 2:3], variance=0.81) == pytest.approx(1.0, abs=1e-9)


def test_grows_with_likeness() -> None:
    values = [svcca(*pair(300, 6, 6, alike=alike)) for alike in (0.0, 0.2, 0.5, 2.0)]
    assert values == sorted(values)
    assert values[0] < 0.2 < 0.6 < values[-1]


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
def test_undefined_for_a_constant(constant: float) -> None:
    a, _ = pair(10, 3, 2)
    assert np.isnan(svcca(a, np.full((10, 4), constant)))
    assert np.isnan(svcca(np.full((10, 1), constant), a))
    assert np.isnan(svcca(a[:1], a[:1]))


def test_redundant_features_and_rounding_of_the_stored_type_are_no_components() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(60, 4)), rng.normal(size=(60, 5))
    value = svcca(a, b, variance=1.0)
    wide = a @ np.linalg.qr(rng.normal(size=(12, 12)))[0][:4]
    assert svcca(wide, b, variance=1.0) == pytest.approx(value, abs=1e-9)
    assert svcca(wide.astype(np.float32), b, variance=1.0) == pytest.approx(value, abs=1e-5)
    assert svcca(np.hstack([a, np.full((60, 2), 1e3)]), b, variance=1.0) == pytest.approx(value, abs=1e-9)
    far = (1e4 + 1e-2 * wide).astype(np.float32)
    assert svcca(far, b, variance=1.0) == pytest.approx(svcca(far, b), abs=1e-9)
    twice = np.vstack([a, a]), np.vstack([b, b])
    assert svcca(*twice, variance=1.0) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_count_as_arrays(dtype: torch.dtype) -> None:
    a, b = (torch.tensor(x, dtype=dtype, requires_grad=True) for x in pair(30, 5, 7))
    arrays = a.detach().numpy(), b.detach().numpy()
    kept = [x.copy() for x in arrays]
    for array in arrays:
        array.flags.writeable = False
    assert svcca(a, b) == svcca(*arrays)
    assert svcca(*arrays) == pytest.approx(svcca(*pair(30, 5, 7)), rel=1e-5)
    np.testing.assert_array_equal(arrays[0], kept[0])
    np.testing.assert_array_equal(arrays[1], kept[1])


def test_refusals() -> None:
    a, b = pair(10, 3, 2)
    with pytest.raises(ScoreError, match="svcca: a has 10 rows and b 9; give the same samples to both"):
        svcca(a, b[:9])
    for variance in (0.0, 1.1, np.nan):
        with pytest.raises(
            ScoreError, match=rf"svcca: variance={variance}; expected a share in \(0, 1\], such as 0.9"
        ):
            svcca(a, b, variance=variance)
    a[2, 1] = np.nan
    with pytest.raises(ScoreError, match="svcca: b hold 1 NaN and 0 infinite values in 1 rows, the first at row 2"):
        svcca(b, a)
