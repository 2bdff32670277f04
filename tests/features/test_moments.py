from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transferscope.errors import ScoreError
from transferscope.features.moments import Moments, Spectrum
from transferscope.scorers import h_score, logme

FIELDS = ("mean", "target_sum", "target_square", "cross", "scatter")


def some(n: int, d: int, k: int = 3, *, seed: int = 0, mean: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return mean + rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)), y


def assert_same(a: Moments, b: Moments, rel: float = 1e-12) -> None:
    assert (a.n_samples, a.classes, a.eps) == (b.n_samples, b.classes, b.eps)
    for name in FIELDS:
        got, want = getattr(a, name), getattr(b, name)
        assert np.abs(got - want).max() <= rel * max(1.0, np.abs(want).max()), name


def as_given(X: np.ndarray, Y: np.ndarray, *, centre: bool) -> Spectrum:
    """The definition: a singular value decomposition of X itself."""
    X = X - X.mean(axis=0) if centre else X
    U, s, _ = np.linalg.svd(X, full_matrices=False)
    keep = s > 1e-10 * s[0]
    return Spectrum(s[keep] ** 2, U[:, keep].T @ Y)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(4, 60), d=st.integers(1, 40), seed=st.integers(0, 10**6), cuts=st.lists(st.integers(1, 59)),
    mean=st.sampled_from([0.0, 3.0, -1e4]), order=st.randoms(use_true_random=False),
)  # fmt: skip
def test_sums_are_the_whole(n: int, d: int, seed: int, cuts: list[int], mean: float, order) -> None:
    """Any split, in any order of adding: the same moments, though parts may lack classes or hold a single row."""
    X, y = some(n, d, seed=seed, mean=mean)
    edges = [0, *sorted({cut for cut in cuts if cut < n}), n]
    parts = [Moments.from_features(X[a:b], y[a:b]) for a, b in itertools.pairwise(edges)]
    order.shuffle(parts)
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    whole = Moments.from_features(X, y)
    scale = max(1.0, abs(mean))
    assert_same(total, whole, rel=1e-12 * scale)
    assert (total.rows is None) == (whole.rows is None)


def test_a_large_mean_costs_no_digits() -> None:
    X, y = some(500, 8, mean=1e4)
    single = X.astype(np.float32)
    whole = Moments.from_features(single, y)
    exact = np.array(single, dtype=np.longdouble)
    exact = exact - exact.mean(axis=0)
    scatter = np.array([[float((a * b).sum()) for b in exact.T] for a in exact.T])
    np.testing.assert_allclose(whole.scatter, scatter, rtol=1e-10, atol=1e-8)
    naive = single.T @ single - len(single) * np.outer(single.mean(axis=0), single.mean(axis=0))
    assert np.abs(naive - scatter).max() > 1  # what float32 sums of squares give
    batches = sum_of(Moments.from_features(single[i : i + 50], y[i : i + 50]) for i in range(0, 500, 50))
    np.testing.assert_allclose(batches.scatter, scatter, rtol=1e-10, atol=1e-8)


def sum_of(parts) -> Moments:
    total = None
    for part in parts:
        total = part if total is None else total + part
    return total


@pytest.mark.parametrize("mean", [0.0, 2.0, 1e4])
@pytest.mark.parametrize(("n", "d"), [(80, 20), (20, 80), (40, 40), (41, 40)])
def test_spectra_are_those_of_the_features(n: int, d: int, mean: float) -> None:
    X, y = some(n, d, mean=mean)
    Y = np.eye(3)[y]
    moments = Moments.from_features(X, y)
    for got, centre in ((moments.centred, True), (moments.uncentred, False)):
        want = as_given(X, Y, centre=centre)
        assert len(got.values) == len(want.values)
        np.testing.assert_allclose(got.values, want.values, rtol=1e-6)
        np.testing.assert_allclose(np.abs(got.projections), np.abs(want.projections), atol=2e-6)


def test_both_sides_agree() -> None:
    """Rows are kept while they are the smaller side; adding two halves up drops them, and nothing else changes."""
    X, y = some(30, 30)
    kept = Moments.from_features(X, y)
    assert kept.rows is not None
    longer = kept + Moments.from_features(X, y)  # 60 x 30: the sums take over
    assert longer.rows is None
    repeated = Moments.from_features(np.tile(X, (2, 1)), np.tile(y, 2))
    assert_same(longer, repeated, rel=1e-11)
    np.testing.assert_allclose(longer.centred.values, 2 * kept.centred.values, rtol=1e-9)
    squares = np.square(longer.centred.projections).sum(axis=0), np.square(kept.centred.projections).sum(axis=0)
    np.testing.assert_allclose(squares[0], 2 * squares[1], rtol=1e-9)


def test_small_directions_of_wide_features_keep_their_digits() -> None:
    """Label projections come from the rows, not from X'Y, which would lose the square of the condition number."""
    X, y = some(30, 60)
    X[:, :40] *= 1e-5
    moments = Moments.from_features(X, y)
    want = as_given(X, np.eye(3)[y], centre=True)
    np.testing.assert_allclose(np.abs(moments.centred.projections), np.abs(want.projections), atol=1e-8)
    want = as_given(X, np.eye(3)[y], centre=False)
    np.testing.assert_allclose(moments.uncentred.values, want.values, rtol=2e-6)
    np.testing.assert_allclose(np.abs(moments.uncentred.projections), np.abs(want.projections), atol=2e-6)


def test_a_stream_needs_no_rows() -> None:
    """Memory of a running sum is that of D x D and D x K, whatever the number of batches."""
    X, y = some(4000, 6)
    running = sum_of(Moments.from_features(X[i : i + 4], y[i : i + 4]) for i in range(0, 4000, 4))
    assert running.rows is None
    assert running.row_targets is None
    assert sum(np.size(getattr(running, name)) for name in FIELDS) == 6 + 3 + 3 + 18 + 36
    assert h_score(None, None, moments=running) == pytest.approx(h_score(X, y), rel=1e-11)
    assert logme(None, None, moments=running) == pytest.approx(logme(X, y), rel=1e-11)


def test_batches_may_hold_different_classes() -> None:
    X, y = some(60, 5)
    names = np.array(["cat", "ant", "bee"])[y]
    parts = [Moments.from_features(X[names == name], names[names == name]) for name in ("cat", "ant", "bee")]
    assert_same(parts[0] + parts[1] + parts[2], Moments.from_features(X, names))
    assert (parts[2] + parts[0]).classes == ("bee", "cat")
    with pytest.raises(ScoreError, match="not of 2 classes or more"):
        h_score(None, None, moments=parts[0])
    with pytest.raises(ScoreError, match="one class only"):
        logme(None, None, moments=parts[0])


@pytest.mark.parametrize("n", [200, 2000, 20000])
def test_rank_does_not_depend_on_the_number_of_samples(n: int) -> None:
    """Rank 6 in float32, one of the directions 1000 times weaker than the first."""
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(6, 24)) * np.array([1, 1, 1, 1, 1, 1e-3])[:, None]
    X = (rng.normal(size=(n, 6)).astype(np.float32) @ weights.astype(np.float32)) + np.float32(2)
    assert X.dtype == np.float32
    moments = Moments.from_features(X, rng.integers(0, 3, n))
    assert moments.rank == 6


def test_constant_features_have_rank_zero() -> None:
    y = np.arange(12) % 3
    for value in (0.0, 0.1, 1e4):
        moments = Moments.from_features(np.full((12, 4), value), y)
        assert moments.rank == 0
        assert len(moments.uncentred.values) == (value != 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(50, 10), (10, 50)])
def test_tensors_give_the_same_as_arrays(dtype: torch.dtype, shape: tuple[int, int]) -> None:
    X, y = some(*shape)
    tensor = torch.tensor(X, dtype=dtype, requires_grad=True)
    array = tensor.detach().to(torch.float64).numpy().astype("f8" if dtype == torch.float64 else "f4")
    a, b = Moments.from_features(tensor, torch.tensor(y)), Moments.from_features(array, y)
    assert_same(a, b, rel=0.0)
    np.testing.assert_array_equal(a.uncentred.projections, b.uncentred.projections)


def test_refusals() -> None:
    X, y = some(20, 5)
    moments = Moments.from_features(X, y)
    with pytest.raises(ScoreError, match=r"moments of 5 and 4 features, of 3 classes and 3 classes, do not add up"):
        moments + Moments.from_features(X[:, :4], y)
    with pytest.raises(ScoreError, match="of 3 classes and numeric targets, do not add up"):
        moments + Moments.from_features(X, X[:, 0])
    with pytest.raises(ScoreError, match="moments of 1 and 2 target columns do not add up"):
        Moments.from_features(X, X[:, :1]) + Moments.from_features(X, X[:, :2])
