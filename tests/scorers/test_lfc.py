"""LFC against whole kernel matrices, entry by entry."""

from __future__ import annotations

import math
import sys
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics.pairwise import cosine_similarity

from transferscope.errors import ScoreError, UnknownNameError
from transferscope.features.arrays import check_inputs, storage_eps
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, lfc
from transferscope.scorers.jackknife import Blocks
from transferscope.similarity import cka_linear

KERNELS = ("dot", "cosine", "correlation", "l2")
Kernel = Literal["dot", "cosine", "correlation", "l2"]
kernels = pytest.mark.parametrize("kernel", KERNELS)


def problem(n: int, d: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) + 2.0, y


def entry(a: np.ndarray, b: np.ndarray, kernel: str) -> float:
    if kernel == "l2":
        return -math.sqrt(sum((p - q) ** 2 for p, q in zip(a, b, strict=True)))
    if kernel == "correlation":
        a, b = a - np.mean(a), b - np.mean(b)
    product = sum(p * q for p, q in zip(a, b, strict=True))
    return product if kernel == "dot" else product / math.sqrt(sum(a**2) * sum(b**2))


def literal(X: np.ndarray, y: np.ndarray, kernel: str, center: bool) -> float:
    """Deshpande et al.: two matrices, each less its grand mean, and the cosine of what is left."""
    X = X - X.mean(axis=0) if center else X
    theta = np.array([[entry(a, b, kernel) for b in X] for a in X])
    agree = np.array([[1.0 if a == b else -1.0 for b in y] for a in y])
    theta, agree = theta - theta.mean(), agree - agree.mean()
    return float((theta * agree).sum() / np.sqrt((theta**2).sum() * (agree**2).sum()))


@kernels
@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(4, 20), d=st.integers(3, 25), k=st.integers(2, 4), seed=st.integers(0, 10**6), center=st.booleans()
)
def test_is_its_definition(kernel: Kernel, n: int, d: int, k: int, seed: int, center: bool) -> None:
    X, y = problem(n, d, k, seed)
    assert lfc(X, y, kernel=kernel, center=center) == pytest.approx(literal(X, y, kernel, center), rel=1e-9, abs=1e-10)


def test_libraries_agree() -> None:
    """Kernels of scikit-learn, SciPy and NumPy, and the square roots of two centred alignments at K = 2."""
    X, y = problem(60, 7, 3, seed=1)
    agree = np.where(y[:, None] == y, 1.0, -1.0)
    for kernel, theta in {
        "cosine": cosine_similarity(X), "correlation": np.corrcoef(X), "l2": -squareform(pdist(X)), "dot": X @ X.T
    }.items():  # fmt: skip
        wanted = np.corrcoef(theta.ravel(), agree.ravel())[0, 1]
        assert lfc(X, y, kernel=kernel, center=False) == pytest.approx(wanted, rel=1e-10)  # type: ignore[arg-type]
    two = np.arange(60) % 2  # balanced, so that rows and columns of L sum to 0
    assert lfc(X, two) == pytest.approx(cka_linear(X, two[:, None]), rel=1e-10)


def test_best_and_worst() -> None:
    """Two balanced classes that are two points; and a kernel that is highest between classes."""
    y = np.arange(10) % 2
    points = np.where(y, 1.0, -1.0)[:, None]
    for kernel in ("dot", "cosine", "l2"):
        assert lfc(points, y, kernel=kernel) == pytest.approx(1.0, rel=1e-12)  # type: ignore[arg-type]
    X = np.array([[-2.0, 1.0], [-1.0, 1.0], [-2.0, 1.0], [-1.0, 0.0]])  # the first lies amidst the others
    assert lfc(X, [0, 1, 1, 1], kernel="cosine", center=False) < -0.19


def test_the_centred_dot_product_is_never_negative() -> None:
    for seed in range(20):
        X, y = problem(15, 4, 3, seed)
        assert lfc(X, np.random.default_rng(seed).permutation(y)) >= 0.0


@kernels
@pytest.mark.parametrize("power", [-8, 0, 8])
@pytest.mark.parametrize("shape", [(40, 6), (20, 30)])
def test_numerical_extremes(kernel: Kernel, shape: tuple[int, int], power: int) -> None:
    X, y = problem(*shape, 3)
    wanted = literal(X, y, kernel, True)
    assert lfc((X + 1e6) * 10.0**power, y, kernel=kernel) == pytest.approx(wanted, rel=1e-7)
    assert lfc(X.astype(np.float32), y, kernel=kernel) == pytest.approx(wanted, rel=1e-4)
    assert lfc(X * 10.0**power, y, kernel=kernel, center=False) == pytest.approx(
        literal(X, y, kernel, False), rel=1e-8
    )


def test_a_large_mean_that_is_kept_costs_no_digits() -> None:
    """What the grand mean takes off is 1e8 times the rest; whole matrices hold that in 80-bit numbers only."""
    X, y = problem(30, 5, 3)
    far = X + 1e4 * np.arange(1, 6)
    theta = far.astype(np.longdouble) @ far.astype(np.longdouble).T
    agree = np.where(y[:, None] == y, 1.0, -1.0).astype(np.longdouble)
    theta, agree = theta - theta.mean(), agree - agree.mean()
    wanted = float((theta * agree).sum() / np.sqrt((theta**2).sum() * (agree**2).sum()))
    assert lfc(far, y, center=False) == pytest.approx(wanted, rel=1e-9)


@kernels
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e8])
def test_features_that_do_not_vary(kernel: Kernel, center: bool, value: float) -> None:
    for n, d in ((12, 3), (12, 30), (999, 2)):
        assert lfc(np.full((n, d), value), np.arange(n) % 3, kernel=kernel, center=center) == 0.0


@pytest.mark.parametrize("kernel", ["cosine", "correlation"])
@pytest.mark.parametrize("center", [True, False])
def test_rows_without_direction_have_kernel_0(kernel: Kernel, center: bool) -> None:
    """A zero row, and a constant one: published codes divide 0 by 0 there."""
    X, y = problem(24, 5, 3)
    rows = X - X.mean(axis=0) if center else X
    X = np.vstack([rows, np.zeros(5)]) if kernel == "cosine" else np.vstack([rows, np.full(5, 0.3) * (not center)])
    y = np.append(y, 0)
    theta = np.zeros((25, 25))
    theta[:24, :24] = np.corrcoef(rows) if kernel == "correlation" else cosine_similarity(rows)
    wanted = np.corrcoef(theta.ravel(), np.where(y[:, None] == y, 1.0, -1.0).ravel())[0, 1]
    assert lfc(X, y, kernel=kernel, center=center) == pytest.approx(wanted, rel=1e-10)


def test_small_rows_have_a_direction() -> None:
    """Only what centring may have left of a row counts as nothing."""
    X, y = problem(24, 5, 3)
    small = X * np.geomspace(1e-30, 1e8, 24)[:, None]
    assert lfc(small, y, kernel="cosine", center=False) == pytest.approx(literal(X, y, "cosine", False), rel=1e-10)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = problem(53, 4, 3)
    whole = lfc(X, y, kernel="l2")
    monkeypatch.setattr(sys.modules["transferscope.scorers.lfc"], "BLOCK", 5.5 * 53 * 8 / 2**20)  # 5 rows
    assert lfc(X, y, kernel="l2") == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("center", [True, False])
def test_moments_are_enough_for_the_dot_product(center: bool) -> None:
    for shape in ((40, 6), (12, 30)):
        X, y = problem(*shape, 3)
        cut = shape[0] // 3
        streamed = Moments.from_features(X[:cut], y[:cut]) + Moments.from_features(X[cut:], y[cut:])
        assert lfc(None, None, moments=streamed, center=center) == pytest.approx(lfc(X, y, center=center), rel=1e-9)


@pytest.mark.parametrize("shape", [(60, 6), (20, 40)])
def test_left_out_values_are_those_of_the_rows_that_are_left(shape: tuple[int, int]) -> None:
    X, y = problem(*shape, 3)
    values, targets = check_inputs(X, y, caller="test")
    blocks = Blocks.of(values, targets, storage_eps(X), seed=0)
    found = SCORERS["lfc"].left_out(blocks)  # type: ignore[misc]
    wanted = [lfc(X[blocks.without(b)], y[blocks.without(b)]) for b in range(len(blocks))]
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_arrays_stay_as_they_are() -> None:
    X, y = problem(20, 4, 2)
    kept = X.copy()
    X.flags.writeable = y.flags.writeable = False
    for kernel in KERNELS:
        lfc(X, y, kernel=kernel, center=False)  # type: ignore[arg-type]
    np.testing.assert_array_equal(X, kept)


def test_refusals() -> None:
    X, y = problem(20, 4, 2)
    with pytest.raises(UnknownNameError, match="no kernel of lfc named 'cos'. Did you mean 'cosine'"):
        lfc(X, y, kernel="cos")  # type: ignore[arg-type]
    with pytest.raises(ScoreError, match="lfc: these moments are not of 2 classes or more"):
        lfc(X, y, moments=Moments.from_features(X, X[:, 0]))
    with pytest.raises(ScoreError, match="lfc: labels hold fractions such as 0.5; expected classes"):
        lfc(X, y + 0.5, kernel="l2")
