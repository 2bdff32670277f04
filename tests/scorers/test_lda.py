"""LDA against its formula with a dense inverse, sample by sample, and against scikit-learn."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

import transferscope as ts
from transferscope.errors import ScoreError
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, lda
from transferscope.scorers.lda import Discriminant


def problem(
    n: int, d: int, k: int, seed: int = 0, separation: float = 1.0, scale: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    X = separation * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) * np.geomspace(0.5, 2.0, d)
    return scale * X + 2.0, y


def covariance_within(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    d = X.shape[1]
    within = np.zeros((d, d))
    for c in set(y.tolist()):
        rows = X[y == c]
        within += len(rows) / len(X) * np.cov(rows.T, bias=True).reshape(d, d)
    return within


def published_shrinkage(within: np.ndarray) -> float:
    """From the sums of rows, three rounds of two products of unit vectors; then v'Aw of the last two."""
    before = after = within.sum(axis=1)
    for _ in range(6):
        before, after = after, within @ after
        after = after / np.linalg.norm(after)
    return max(math.exp(-5.0 * float(after @ within @ before)), 1e-10)


def literal(X: np.ndarray, y: np.ndarray, shrink: float | None = None) -> np.ndarray:
    """Each row's probability of its own class."""
    X = X - X.mean(axis=0)
    within, d = covariance_within(X, y), X.shape[1]
    shrink = published_shrinkage(within) if shrink is None else shrink
    inverse = np.linalg.inv((1 - shrink) * within + shrink * np.trace(within) / d * np.eye(d))
    found = []
    for row, own in zip(X, y.tolist(), strict=True):
        logits = {}
        for c in set(y.tolist()):
            mean = X[y == c].mean(axis=0)
            logits[c] = float(row @ inverse @ mean - mean @ inverse @ mean / 2) + math.log(np.mean(y == c))
        top = max(logits.values())
        found.append(math.exp(logits[own] - top) / sum(math.exp(value - top) for value in logits.values()))
    return np.array(found)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(5, 25), d=st.integers(1, 30), k=st.integers(2, 4), seed=st.integers(0, 10**6),
    scale=st.sampled_from([1e-5, 0.1, 0.3, 1.0]),
)  # fmt: skip
def test_is_its_definition(n: int, d: int, k: int, seed: int, scale: float) -> None:
    """More rows than features and fewer, classes of one row, from no shrinkage to nothing but it."""
    X, y = problem(n, d, k, seed, separation=0.5, scale=scale)
    assert lda(X, y) == pytest.approx(literal(X, y).mean(), rel=1e-6)
    assert lda(X, 7 * y - 3) == lda(X, y)  # numbers that no class has are no classes


@pytest.mark.parametrize(("n", "d", "k"), [(80, 6, 3), (80, 6, 2), (15, 25, 3)])
@pytest.mark.parametrize("scale", [0.2, 0.5])
def test_library_gives_the_same_probabilities(n: int, d: int, k: int, scale: float) -> None:
    X, y = problem(n, d, k, separation=0.5, scale=scale)
    shrink = Discriminant.of(Moments.from_features(X, y)).shrink
    assert 1e-6 < shrink < 0.9
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrink).fit(X, y)
    wanted = model.predict_proba(X)[np.arange(n), y]
    np.testing.assert_allclose(SCORERS["lda"].per_sample(X, y), wanted, rtol=1e-8)  # type: ignore[misc]
    assert lda(X, y) == pytest.approx(wanted.mean(), rel=1e-9)


@pytest.mark.parametrize("shape", [(200, 8), (20, 60)])
def test_shrinkage_is_that_of_the_largest_variance_within_classes(shape: tuple[int, int]) -> None:
    """Nearly: six products do not reach it to the last digit."""
    X, y = problem(*shape, 3, scale=0.3)
    X = 0.3 * X + np.random.default_rng(0).normal(size=(shape[0], 1)) / np.sqrt(shape[1])
    found = Discriminant.of(Moments.from_features(X, y)).shrink
    within = covariance_within(X, y)
    assert found == pytest.approx(published_shrinkage(within), rel=1e-9)
    assert found == pytest.approx(math.exp(-5 * np.linalg.eigvalsh(within)[-1]), rel=1e-2)
    assert Discriminant.of(Moments.from_features(10 * X, y)).shrink == 1e-10
    assert Discriminant.of(Moments.from_features(1e-8 * X, y)).shrink == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("n", "d"), [(60, 8), (12, 20)])
def test_features_whose_sums_do_not_vary(n: int, d: int, dtype: type[np.floating]) -> None:
    """Probabilities, or what a layer norm leaves: sums of rows are rounding noise, from which no estimate starts."""
    rng = np.random.default_rng(0)
    P = rng.dirichlet(np.full(d, 0.3), size=n)
    y = np.arange(n) % 3
    shrink = math.exp(-5 * np.linalg.eigvalsh(covariance_within(P, y))[-1])
    wanted = literal(P, y, shrink).mean()
    assert lda(P.astype(dtype), y) == pytest.approx(wanted, rel=1e-9 if dtype is np.float64 else 1e-5)
    for shift in (1.0, 3.3, 100.0):
        assert lda(P + shift, y) == pytest.approx(wanted, rel=1e-9)
    X = P - 1 / d + 1e-3 * rng.normal(size=(n, d))  # sums of 1e-3 are sums still
    assert lda(X, y) == pytest.approx(literal(X, y).mean(), rel=1e-6)


@pytest.mark.parametrize("offset", [1e4, 1e6])
@pytest.mark.parametrize(("shape", "scale"), [((200, 6), 1.0), ((200, 6), 0.2), ((12, 30), 0.2)])
def test_large_means_cost_no_digits(shape: tuple[int, int], scale: float, offset: float) -> None:
    X, y = problem(*shape, 3, separation=0.5, scale=scale)
    X = np.round(1024 * X) / 1024
    assert lda(X + offset, y) == pytest.approx(lda(X, y), rel=1e-9)
    single = (X + 1e4).astype(np.float32)
    assert lda(single, y) == pytest.approx(literal(single.astype(np.float64) - 1e4, y).mean(), rel=1e-6)


def test_small_features_are_told_apart_by_their_means_alone() -> None:
    """Of a scale of 1e-5 the shrinkage is complete: a sphere, whose size is that of the features."""
    X, y = problem(60, 5, 3, scale=1e-5)
    assert lda(X, y) == pytest.approx(literal(X, y, shrink=1.0).mean(), rel=1e-6)
    assert lda(1e-3 * X, y) == pytest.approx(lda(X, y), rel=1e-6)
    values = [lda(scale * X, y) for scale in (1e0, 1e4, 1e5)]
    assert values[0] + 0.01 < values[1] < values[2] - 0.005  # which is why it is not compared across scales


def test_degenerate_features() -> None:
    X, y = problem(60, 4, 3)
    shares = np.bincount(y) / 60
    assert lda(np.full((60, 4), 0.1), y) == pytest.approx((shares**2).sum(), rel=1e-12)
    assert lda(np.full((60, 90), 0.1), y) == pytest.approx((shares**2).sum(), rel=1e-12)
    dead = np.hstack([X, np.zeros((60, 3)), np.full((60, 1), 0.1)])
    assert lda(dead, y) == pytest.approx(literal(dead, y).mean(), rel=1e-6)
    twice = np.hstack([X, X])  # rank 4 in 8 columns
    assert lda(twice, y) == pytest.approx(literal(twice, y).mean(), rel=1e-5)
    for constant in (np.eye(3)[y], np.hstack([np.eye(3)[y]] * 30), 1e-8 * np.eye(3)[y], 1e4 + np.eye(3)[y]):
        assert lda(constant, y) == 1.0  # classes without spread
    assert lda(X[:5], np.arange(5)) == 1.0  # and of one sample each


def test_one_sample_in_a_class_is_certain_of_it_where_it_lies_far_off() -> None:
    X, y = problem(60, 4, 2)
    X[0], y = X[0] + 50, np.where(np.arange(60) == 0, 2, y)
    each = SCORERS["lda"].per_sample(X, y)  # type: ignore[misc]
    np.testing.assert_allclose(each, literal(X, y), rtol=1e-6)
    assert each[0] == pytest.approx(1.0, abs=1e-9)
    assert lda(X, y) == each.mean()


def test_blocks_of_rows_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    for shape in ((53, 6), (20, 30)):
        X, y = problem(*shape, 3, scale=0.3)
        value = lda(X, y)
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules["transferscope.scorers.lda"], "BLOCK", 7)
            assert lda(X, y) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("name", ["lda", "sfda"])
def test_as_many_dimensions_as_samples_are_told(name: str) -> None:
    """From rank N - K on directions separate any labels, seen or shuffled; below it the value itself may be at 1."""
    X, y = problem(30, 40, 3, separation=0.0)
    says = (
        "Saturated: in 29 dimensions 30 samples of 3 classes are separated perfectly by directions fitted to "
        "themselves; lda_loo leaves samples out."
    )
    found = ts.score(X, y, [name])[name]
    assert found.value == pytest.approx(1.0, abs=1e-6)
    assert (found.saturated, found.standard_error, found.warnings) == (True, None, (says,))
    saturated = SCORERS[name].saturated
    for rank, told in ((26, False), (27, True), (28, True)):
        moments = Moments.from_features(X[:, :rank], y)
        assert moments.rank == rank
        assert (saturated(moments, 0.9) is not None) == told
    few = Moments.from_features(X[:, :5], y)
    assert saturated(few, 1 - 1e-5) is None
    assert "in 5 dimensions 30 samples of 3 classes are separated perfectly" in (saturated(few, 1 - 1e-7) or "")
    assert not ts.score(X[:, :5], y, [name])[name].saturated


def test_refusals() -> None:
    X, y = problem(20, 4, 2)
    with pytest.raises(ScoreError, match="lda: labels hold fractions such as 0.5; expected classes"):
        lda(X, y + 0.5)
    with pytest.raises(ScoreError, match="lda is not defined for multilabel; it is for classification"):
        lda(X, np.eye(2, dtype=int)[y])
