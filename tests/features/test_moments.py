from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import transferscope.features.moments as module
from transferscope.errors import ScoreError
from transferscope.features.moments import Moments, Spectrum
from transferscope.scorers import h_score, logme

FIELDS = ("mean", "target_sum", "target_square", "cross", "squares", "third", "fourth", "scatter")
TASKS = ("classification", "regression", "multilabel")
shapes = pytest.mark.parametrize("shape", [(40, 7), (7, 40), (20, 20), (21, 20)])


def some(n: int, d: int, k: int = 3, *, seed: int = 0, mean: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return mean + rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)), y


def targets_of(task: str, y: np.ndarray, seed: int = 0) -> np.ndarray:
    """The classes themselves, or columns that have to do with them."""
    rng = np.random.default_rng(seed)
    if task == "regression":
        return rng.normal(size=(len(y), 2)) + y[:, None]
    return y if task == "classification" else (rng.normal(size=(len(y), 3)) + y[:, None] > 1).astype(int)


def columns_of(targets: np.ndarray) -> np.ndarray:
    return targets if targets.ndim == 2 else (targets[:, None] == np.unique(targets)).astype(float)


def literal(X: np.ndarray, targets: np.ndarray) -> dict[str, np.ndarray]:
    """Every sum as its description says it, a row at a time."""
    Y, mean, d = columns_of(targets), X.mean(axis=0), X.shape[1]
    found = {
        "mean": mean, "target_sum": Y.sum(axis=0), "target_square": (Y**2).sum(axis=0),
        "cross": np.zeros((d, Y.shape[1])), "squares": np.zeros((d, Y.shape[1])), "third": np.zeros(d),
        "fourth": np.zeros(()), "scatter": np.zeros((d, d)),
    }  # fmt: skip
    for x, y in zip(X - mean, Y, strict=True):
        found["cross"] += np.outer(x, y)
        found["squares"] += np.outer(x**2, y)
        found["third"] += (x @ x) * x
        found["fourth"] += (x @ x) ** 2
        found["scatter"] += np.outer(x, x)
    return found


def size_of(name: str, value: np.ndarray | float, moments: Moments) -> float:
    """What an error is measured by: thirds cancel, so they are by what they would be if they did not."""
    largest = float(np.abs(value).max())
    return max(1.0, largest if name != "third" else moments.fourth**0.75 * moments.n_samples**0.25)


def assert_same(a: Moments, b: Moments, rel: float = 1e-12) -> None:
    assert (a.n_samples, a.classes, a.eps) == (b.n_samples, b.classes, b.eps)
    for name in FIELDS:
        got, want = getattr(a, name), getattr(b, name)
        assert np.shape(got) == np.shape(want)
        assert np.abs(got - want).max() <= rel * size_of(name, want, b), name


def as_given(X: np.ndarray, Y: np.ndarray, *, centre: bool) -> Spectrum:
    """The definition: a singular value decomposition of X itself."""
    X = X - X.mean(axis=0) if centre else X
    U, s, _ = np.linalg.svd(X, full_matrices=False)
    keep = s > 1e-10 * s[0]
    return Spectrum(s[keep] ** 2, U[:, keep].T @ Y)


@pytest.mark.parametrize("task", TASKS)
@shapes
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_fields_are_what_they_are_said_to_be(shape: tuple[int, int], task: str, mean: float) -> None:
    X, y = some(*shape, mean=mean)
    targets = targets_of(task, y)
    moments = Moments.from_features(X, targets)
    for name, want in literal(X, targets).items():
        got = getattr(moments, name)
        assert np.shape(got) == want.shape
        assert np.abs(got - want).max() <= 1e-12 * max(1.0, mean) * size_of(name, want, moments), name


@settings(max_examples=80, deadline=None)
@given(
    n=st.integers(4, 60), d=st.integers(1, 40), seed=st.integers(0, 10**6), cuts=st.lists(st.integers(1, 59)),
    mean=st.sampled_from([0.0, 3.0, -1e4]), order=st.randoms(use_true_random=False), task=st.sampled_from(TASKS),
)  # fmt: skip
def test_sums_are_the_whole(n: int, d: int, seed: int, cuts: list[int], mean: float, order, task: str) -> None:
    """Any split, merged in any order and one by one too: the same moments, though parts may lack classes or be a row.

    Relative to the size of the data, mean included.
    """
    X, y = some(n, d, seed=seed, mean=mean)
    targets = targets_of(task, y, seed)
    edges = [0, *sorted({cut for cut in cuts if cut < n}), n]
    parts = [Moments.from_features(X[a:b], targets[a:b], task=task) for a, b in itertools.pairwise(edges)]
    order.shuffle(parts)
    whole = Moments.from_features(X, targets, task=task)
    for total in (Moments.merge(parts), sum_of(parts)):
        assert_same(total, whole, rel=1e-12 * max(1.0, abs(mean)))
        assert (total.rows is None) == (whole.rows is None)
        assert (total.row_targets is None) == (whole.row_targets is None)


def test_rows_are_kept_beside_their_own_targets() -> None:
    X, y = some(12, 30)
    parts = [Moments.from_features(X[rows], y[rows]) for rows in (slice(8, 12), slice(0, 8))]
    total = Moments.merge(parts)
    np.testing.assert_allclose(total.rows, np.roll(X, 4, axis=0) - X.mean(axis=0), atol=1e-13)
    np.testing.assert_array_equal(total.row_targets, np.eye(3)[np.roll(y, 4)])


def test_merging_one_part_changes_nothing_and_none_is_changed() -> None:
    X, y = some(30, 5)
    part = Moments.from_features(X, y)
    before = {name: np.copy(getattr(part, name)) for name in FIELDS}
    assert_same(Moments.merge([part]), part, rel=1e-14)
    Moments.merge([part, Moments.from_features(X + 1.0, y)])
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(part, name), before[name])


@pytest.mark.parametrize("shape", [(50, 6), (30, 40)])
def test_blocks_do_not_matter(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = some(*shape, mean=1e4)
    whole = Moments.from_features(X, y)
    monkeypatch.setattr(module, "BLOCK", 7)
    assert_same(Moments.from_features(X, y), whole, rel=1e-10)


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
    norms = (exact**2).sum(axis=1)
    for moments in (whole, batches):
        assert moments.fourth == pytest.approx(float((norms**2).sum()), rel=1e-10)
        np.testing.assert_allclose(moments.third, (norms @ exact).astype(float), atol=1e-10 * moments.fourth)
        squares = np.stack([(exact[y == k] ** 2).sum(axis=0) for k in range(3)], axis=1)
        np.testing.assert_allclose(moments.squares, squares.astype(float), rtol=1e-10)


@pytest.mark.parametrize("shape", [(500, 8), (20, 30)])
def test_sums_are_about_the_mean_before_it_is_rounded(shape: tuple[int, int]) -> None:
    """A mean of 1e8 is stored to 1e-8, which every row would add to the sums."""
    X, y = some(*shape, mean=1e8)
    moments = Moments.from_features(X, y)
    exact = np.array(X, dtype=np.longdouble)
    exact = exact - exact.mean(axis=0)
    want = np.stack([exact[y == k].sum(axis=0) for k in range(3)], axis=1).astype(float)
    np.testing.assert_allclose(moments.cross, want, atol=1e-11 * shape[0])
    np.testing.assert_allclose(moments.cross.sum(axis=1), 0.0, atol=1e-11 * shape[0])
    if moments.rows is not None:
        np.testing.assert_allclose(moments.rows, exact.astype(float), atol=1e-13)


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("shape", [(30, 60), (60, 60), (30, 400)])
def test_a_mean_among_the_directions_of_kept_rows_adds_none(
    shape: tuple[int, int], offset: float, dtype: type[np.floating]
) -> None:
    """Five directions, mean included: what rounding, or storing, puts outside of them is no sixth."""
    rng = np.random.default_rng(3)
    X = ((rng.normal(size=(shape[0], 5)) + offset) @ rng.normal(size=(5, shape[1]))).astype(dtype)
    moments = Moments.from_features(X, np.arange(shape[0]) % 3)
    assert moments.rank == len(moments.uncentred.values) == 5
    want = np.linalg.svd(X.astype(float), compute_uv=False)[:5] ** 2
    np.testing.assert_allclose(moments.uncentred.values, want, rtol=1e-9)


def test_a_stream_needs_no_rows() -> None:
    """Memory of a running sum is that of D x D and D x K, whatever the number of batches."""
    X, y = some(4000, 6)
    running = sum_of(Moments.from_features(X[i : i + 4], y[i : i + 4]) for i in range(0, 4000, 4))
    assert running.rows is None
    assert running.row_targets is None
    assert sum(np.size(getattr(running, name)) for name in FIELDS) == 6 + 3 + 3 + 18 + 18 + 6 + 1 + 36
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
    with pytest.raises(ScoreError, match="moments of 5 and 4 features, of 3 classes and 3 classes, do not add up"):
        Moments.merge([moments, moments, Moments.from_features(X[:, :4], y)])


# What is told from them


@shapes
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_sums_of_squares(shape: tuple[int, int], mean: float) -> None:
    X, y = some(*shape, mean=mean)
    moments = Moments.from_features(X, y)
    centred, slack = X - X.mean(axis=0), 1e-12 * max(1.0, mean)
    directions = np.random.default_rng(1).normal(size=(shape[1], 4))
    scatter = centred.T @ centred
    assert moments.trace == pytest.approx(sum(float(x @ x) for x in centred), rel=slack)
    assert moments.square_norm == pytest.approx(sum(float(v) ** 2 for v in scatter.ravel()), rel=slack)
    along = [sum(float(x @ v) ** 2 for x in centred) for v in directions.T]
    np.testing.assert_allclose(moments.spread_along(directions), along, rtol=slack)
    np.testing.assert_allclose(moments.scatter, scatter, atol=slack * np.abs(scatter).max())


@shapes
def test_class_means_are_about_the_mean_of_all(shape: tuple[int, int]) -> None:
    X, y = some(*shape, mean=5.0)
    names = np.array(["cat", "ant", "bee"])[y]
    moments = Moments.from_features(X, names)
    want = np.stack([X[names == name].mean(axis=0) - X.mean(axis=0) for name in ("ant", "bee", "cat")], axis=1)
    np.testing.assert_allclose(moments.class_means, want, atol=1e-13)


@shapes
@pytest.mark.parametrize("task", TASKS)
def test_residual_squares(shape: tuple[int, int], task: str) -> None:
    """Of weights and intercepts that were fitted to nothing, for every column its own."""
    X, y = some(*shape, mean=2.0)
    targets = targets_of(task, y)
    Y, rng = columns_of(targets), np.random.default_rng(2)
    weights, intercept = rng.normal(size=(shape[1], Y.shape[1])), rng.normal(size=Y.shape[1])
    got = Moments.from_features(X, targets).residual_squares(weights, intercept)
    want = [
        sum((y - b - float(x @ w)) ** 2 for x, y in zip(X, column, strict=True))
        for column, w, b in zip(Y.T, weights.T, intercept, strict=True)
    ]
    np.testing.assert_allclose(got, want, rtol=1e-11)


@pytest.mark.parametrize("mean", [0.0, 1e4])
@pytest.mark.parametrize(("n", "d", "rank"), [(40, 7, 7), (7, 40, 6), (40, 20, 3), (20, 40, 3)])
def test_vectors_of_both_sides(n: int, d: int, rank: int, mean: float) -> None:
    """X_c V = U S with orthonormal U and V, whichever of the two the decomposition gave."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d)) if rank >= min(n - 1, d) else rng.normal(size=(n, rank)) @ rng.normal(size=(rank, d))
    X = X + mean
    moments = Moments.from_features(X, np.arange(n) % 3)
    values, right, left = moments.factors[0], moments.right_vectors, moments.left_vectors(X)
    assert (right.shape, left.shape) == ((d, rank), (n, rank))
    slack = 1e-9 if mean else 1e-12
    np.testing.assert_allclose(right.T @ right, np.eye(rank), atol=slack)
    np.testing.assert_allclose(left.T @ left, np.eye(rank), atol=slack)
    np.testing.assert_allclose((X - X.mean(axis=0)) @ right, left * np.sqrt(values), atol=slack * np.sqrt(values[0]))


@pytest.mark.parametrize("shape", [(7, 40), (20, 40), (40, 40)])
def test_the_mean_is_divided_between_the_directions_and_the_rest(shape: tuple[int, int]) -> None:
    X, y = some(*shape, mean=2.0)
    moments = Moments.from_features(X, y)
    mean, V = X.mean(axis=0), moments.right_vectors
    along, rest = moments.mean_along
    np.testing.assert_allclose(along, V.T @ mean, rtol=1e-12, atol=1e-12)
    assert rest == pytest.approx(np.square(mean - V @ (V.T @ mean)).sum(), rel=1e-10)
    assert rest + along @ along == pytest.approx(mean @ mean, rel=1e-12)
    tall = Moments.from_features(*some(60, 5, mean=2.0))
    assert tall.mean_along[1] == pytest.approx(0.0, abs=1e-25)  # nothing is outside of all directions


@pytest.mark.parametrize("shape", [(30, 5), (5, 30)])
def test_columns_can_be_added_and_chosen(shape: tuple[int, int]) -> None:
    X, y = some(*shape)
    names = np.array(["cat", "ant", "bee"])[y]
    moments = Moments.from_features(X, names)
    wider = moments.over(("ant", "auk", "bee", "cat", "dog"))
    assert wider.classes == ("ant", "auk", "bee", "cat", "dog")
    for name in ("target_sum", "target_square", "cross", "squares"):
        got, want = getattr(wider, name), getattr(moments, name)
        np.testing.assert_array_equal(got[..., [0, 2, 3]], want)
        assert not got[..., [1, 4]].any()
    if moments.row_targets is not None:
        assert wider.row_targets is not None
        np.testing.assert_array_equal(wider.row_targets[:, [0, 2, 3]], moments.row_targets)
        assert not wider.row_targets[:, [1, 4]].any()
    assert_same(wider.select(("ant", "bee", "cat"), [0, 2, 3]), moments, rel=0.0)
    np.testing.assert_array_equal(moments.over(("cat", "bee", "ant")).cross, moments.cross[:, ::-1])
    for same in (moments.over(moments.classes), moments.over(None)):
        assert same is moments
    numbers = Moments.from_features(X, X[:, :2])
    assert numbers.over(("ant",)) is numbers


def test_memory_is_that_of_these_very_moments() -> None:
    X, y = some(20, 4)
    moments, other = Moments.from_features(X, y), Moments.from_features(X, y)
    moments.memory["hat"] = 1
    assert moments.memory == {"hat": 1}
    assert other.memory == (moments + other).memory == moments.select(moments.classes, [0, 1, 2]).memory == {}
