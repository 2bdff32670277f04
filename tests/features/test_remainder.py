"""Rows taken away from moments: the same as moments of the rows that are left."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transferscope.errors import ScoreError
from transferscope.features.moments import Moments
from transferscope.features.remainder import Remainder

TASKS = ("classification", "regression", "multilabel")


def problem(n: int, d: int, task: str, *, seed: int = 0, mean: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 5, n)  # some rare, so that a part or the rest may lack them
    X = mean + rng.normal(size=(5, d))[y] + rng.normal(size=(n, d))
    if task == "regression":
        return X, rng.normal(size=(n, 2)) + y[:, None]
    return X, y if task == "classification" else (rng.normal(size=(n, 3)) + y[:, None] > 2).astype(int)


def assert_near(got: np.ndarray | float, want: np.ndarray | float, size: float, what: str) -> None:
    assert np.shape(got) == np.shape(want), what
    assert np.abs(np.subtract(got, want)).max() <= size, what


def assert_same(left: Remainder, want: Moments, whole: Moments, rel: float) -> None:
    """Relative to what the whole's sums are made of, and to how few rows their differences are spread over."""
    rel *= whole.n_samples / want.n_samples
    assert (left.n_samples, left.classes, left.eps) == (want.n_samples, want.classes, want.eps)
    assert (left.rows, left.row_targets) == (None, None)
    long, label = np.sqrt(max(1.0, whole.trace)), np.sqrt(max(1.0, whole.target_square.max()))
    sizes = {
        "mean": 1.0, "target_sum": label**2, "target_square": label**2, "cross": long * label,
        "squares": long**2 * label, "third": long**3, "fourth": long**4, "scatter": long**2, "trace": long**2,
        "square_norm": long**4, "class_means": long * label,
    }  # fmt: skip
    for name in sizes if want.classes else sizes.keys() - {"class_means"}:
        assert_near(getattr(left, name), getattr(want, name), rel * sizes[name], name)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(want.n_features, len(want.target_sum)))
    intercept = rng.normal(size=len(want.target_sum))
    size = rel * long**2 * float(np.square(directions).sum())
    assert_near(left.spread_along(directions), want.spread_along(directions), size, "spread_along")
    size += rel * (label + (1 + np.abs(want.mean).max()) * np.abs(directions).sum()) ** 2 * want.n_samples
    got, wanted = left.residual_squares(directions, intercept), want.residual_squares(directions, intercept)
    assert_near(got, wanted, size, "residual_squares")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("mean", [0.0, 1e4])
@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(2, 60), d=st.integers(1, 40), seed=st.integers(0, 10**6), share=st.floats(0, 1),
    first=st.booleans(),
)  # fmt: skip
def test_what_is_left_is_moments_of_the_rows_that_are_left(
    task: str, mean: float, n: int, d: int, seed: int, share: float, first: bool
) -> None:
    """Of any number, down to one; whether whole and part keep their rows or not; classes that vanish are dropped."""
    X, targets = problem(n, d, task, seed=seed, mean=mean)
    taken = np.zeros(n, dtype=bool)
    chosen = np.arange(n) if first else np.random.default_rng(seed).permutation(n)
    taken[chosen[: 1 + int(share * (n - 2))]] = True
    whole, part, want = (
        Moments.from_features(X[rows], targets[rows], task=task) for rows in (np.full(n, True), taken, ~taken)
    )
    assert_same(Remainder.of(whole, part), want, whole, rel=1e-12 * max(1.0, mean))


def test_classes_that_vanish_are_dropped() -> None:
    rng = np.random.default_rng(0)
    X, names = rng.normal(size=(30, 4)), np.array(["ant", "bee", "cat"])[np.arange(30) % 3]
    whole = Moments.from_features(X, names)
    for gone in ("ant", "bee", "cat"):
        taken = names == gone
        left = Remainder.of(whole, Moments.from_features(X[taken], names[taken]))
        want = Moments.from_features(X[~taken], names[~taken])
        assert left.classes == want.classes == tuple(name for name in ("ant", "bee", "cat") if name != gone)
        np.testing.assert_allclose(left.target_sum, [10.0, 10.0])
        np.testing.assert_allclose(left.class_means, want.class_means, atol=1e-13)
        np.testing.assert_allclose(left.squares, want.squares, rtol=1e-12)
        np.testing.assert_allclose(left.centred.values, want.centred.values, rtol=1e-10)
    one = Remainder.of(whole, Moments.from_features(X[names != "bee"], names[names != "bee"]))
    assert one.classes == ("bee",)
    targets = np.stack([np.arange(30) == 0, np.arange(30) > 5], axis=1).astype(int)
    numbers = Remainder.of(Moments.from_features(X, targets), Moments.from_features(X[:6], targets[:6]))
    assert numbers.classes is None
    assert numbers.target_sum.tolist() == [0.0, 24.0]  # a label that no row is left of stays a column


@pytest.mark.parametrize("d", [6, 80])
def test_the_rest_of_the_rest_and_what_is_put_back(d: int) -> None:
    X, y = problem(60, d, "classification")
    cuts = slice(30), slice(30, 40), slice(40, 60)
    first, second, third = (Moments.from_features(X[rows], y[rows]) for rows in cuts)
    whole = Moments.merge([first, second, third])
    left = Remainder.of(Remainder.of(whole, first), second)
    assert_same(left, third, whole, rel=1e-12)
    back = Moments.merge([left, second, first])
    np.testing.assert_allclose(back.scatter, whole.scatter, rtol=1e-11, atol=1e-10)
    np.testing.assert_allclose(back.third, whole.third, rtol=1e-11, atol=1e-7)
    np.testing.assert_allclose(back.centred.values, whole.centred.values, rtol=1e-9)
    assert back.classes == whole.classes


@pytest.mark.parametrize("shape", [(60, 6), (30, 40)])
def test_the_scatter_is_formed_only_if_asked_for(shape: tuple[int, int]) -> None:
    X, y = problem(*shape, "classification")
    left = Remainder.of(Moments.from_features(X, y), Moments.from_features(X[:9], y[:9]))
    _ = left.trace, left.square_norm, left.spread_along(np.eye(shape[1])), left.class_means, left.fourth
    assert "scatter" not in vars(left)
    assert left.scatter is left.scatter


def test_neither_is_changed() -> None:
    X, y = problem(40, 5, "classification")
    whole, part = Moments.from_features(X, y), Moments.from_features(X[:9], y[:9])
    names = ("mean", "target_sum", "cross", "squares", "third", "fourth", "scatter")
    before = [np.copy(getattr(m, name)) for m in (whole, part) for name in names]
    left = Remainder.of(whole, part)
    _ = left.scatter, left.square_norm, left.factors
    after = [getattr(m, name) for m in (whole, part) for name in names]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("power", [-8, 8])
def test_scale_costs_no_digits(power: int) -> None:
    X, y = problem(50, 6, "classification")
    scaled, plain = (
        Remainder.of(Moments.from_features(Z, y), Moments.from_features(Z[:12], y[:12])) for Z in (X * 10.0**power, X)
    )
    np.testing.assert_allclose(scaled.scatter, plain.scatter * 10.0 ** (2 * power), rtol=1e-9)
    assert scaled.fourth == pytest.approx(plain.fourth * 10.0 ** (4 * power), rel=1e-11)
    assert scaled.square_norm == pytest.approx(plain.square_norm * 10.0 ** (4 * power), rel=1e-11)
    single = (X * 10.0**power).astype(np.float32)
    left = Remainder.of(Moments.from_features(single, y), Moments.from_features(single[:12], y[:12]))
    assert left.eps == np.finfo(np.float32).eps
    np.testing.assert_allclose(left.class_means, Moments.from_features(single[12:], y[12:]).class_means, rtol=1e-10)


def test_equal_rows_leave_nothing() -> None:
    y = np.arange(12) % 3
    for value in (0.0, 0.1, 1e4):
        X = np.full((12, 4), value)
        left = Remainder.of(Moments.from_features(X, y), Moments.from_features(X[:5], y[:5]))
        assert (left.trace, left.square_norm, left.rank) == (0.0, 0.0, 0)


def test_refusals() -> None:
    X, y = problem(20, 4, "classification")
    whole = Moments.from_features(X, y)
    with pytest.raises(ScoreError, match="moments: 20 rows taken from 20; one at least must be left"):
        Remainder.of(whole, whole)
    with pytest.raises(ScoreError, match="moments: 20 rows taken from 10; one at least must be left"):
        Remainder.of(Moments.from_features(X[:10], y[:10]), whole)
    with pytest.raises(ScoreError, match="moments of 4 and 3 features, of 5 classes and 5 classes, do not add up"):
        Remainder.of(whole, Moments.from_features(X[:15, :3], y[:15]))
    with pytest.raises(ScoreError, match="of 5 classes and numeric targets, do not add up"):
        Remainder.of(whole, Moments.from_features(X[:9], X[:9, 0]))
