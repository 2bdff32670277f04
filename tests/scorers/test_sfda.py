"""SFDA against its two stages taken sample by sample, and against scikit-learn's discriminant."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from transferscope.errors import ScoreError
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, lda, sfda
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
    return sum(np.mean(y == c) * np.cov(X[y == c].T, bias=True).reshape(d, d) for c in set(y.tolist()))


def published_shrinkage(within: np.ndarray) -> float:
    before = after = within.sum(axis=1)
    for _ in range(6):
        before, after = after, within @ after
        after = after / np.linalg.norm(after)
    return max(math.exp(-5.0 * float(after @ within @ before)), 1e-10)


def posterior(X: np.ndarray, y: np.ndarray, shrink: float) -> np.ndarray:
    """Of every class, for every row."""
    within, d = covariance_within(X, y), X.shape[1]
    inverse = np.linalg.inv((1 - shrink) * within + shrink * np.trace(within) / d * np.eye(d))
    logits = []
    for c in sorted(set(y.tolist())):
        mean = X[y == c].mean(axis=0)
        logits.append(X @ inverse @ mean - mean @ inverse @ mean / 2 + math.log(np.mean(y == c)))
    found = np.exp(np.stack(logits, axis=1) - np.max(logits, axis=0)[:, None])
    return found / found.sum(axis=1, keepdims=True)


def mixed(X: np.ndarray, y: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Each sample drawn towards the mean of the other classes' means, by what a softmax of probabilities leaves."""
    classes = sorted(set(y.tolist()))
    means = {c: X[y == c].mean(axis=0) for c in classes}
    rows = []
    for row, own, probabilities in zip(X, y.tolist(), first, strict=True):
        weights = [math.exp(p) for p in probabilities]
        confidence = weights[classes.index(own)] / sum(weights)
        others = np.mean([means[c] for c in classes if c != own], axis=0)
        rows.append(confidence * row + (1 - confidence) * others)
    return np.stack(rows)


def literal(X: np.ndarray, y: np.ndarray, shrink: float | None = None) -> np.ndarray:
    """Each row's probability of its own class, after both stages."""
    X = X - X.mean(axis=0)
    shrink = published_shrinkage(covariance_within(X, y)) if shrink is None else shrink
    Z = mixed(X, y, posterior(X, y, shrink))
    own = np.searchsorted(np.unique(y), y)
    return posterior(Z - Z.mean(axis=0), y, shrink)[np.arange(len(y)), own]


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(5, 25), d=st.integers(1, 30), k=st.integers(2, 4), seed=st.integers(0, 10**6),
    scale=st.sampled_from([1e-5, 0.1, 0.3, 1.0]),
)  # fmt: skip
def test_is_its_definition(n: int, d: int, k: int, seed: int, scale: float) -> None:
    """More rows than features and fewer, classes of one row, from no shrinkage to nothing but it."""
    X, y = problem(n, d, k, seed, separation=0.5, scale=scale)
    assert sfda(X, y) == pytest.approx(literal(X, y).mean(), rel=1e-6)
    assert sfda(X, 7 * y - 3) == sfda(X, y)  # numbers that no class has are no classes


@pytest.mark.parametrize(("n", "d", "k"), [(80, 6, 3), (80, 6, 2), (15, 25, 3)])
@pytest.mark.parametrize("scale", [0.2, 0.5])
def test_library_gives_the_same_probabilities(n: int, d: int, k: int, scale: float) -> None:
    """Its discriminant of the mixed features, which its own of the first stage make; and so of float32."""
    X, y = problem(n, d, k, separation=0.5, scale=scale)
    for features, slack in ((X, 1e-8), (X.astype(np.float32), 1e-3)):
        shrink = Discriminant.of(Moments.from_features(features, y)).shrink
        first = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrink).fit(X, y).predict_proba(X)
        Z = mixed(X, y, first)
        second = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrink).fit(Z, y).predict_proba(Z)
        each = SCORERS["sfda"].per_sample(features, y)  # type: ignore[misc]
        np.testing.assert_allclose(each, second[np.arange(n), y], rtol=slack)
        assert sfda(features, y) == each.mean()


def test_classes_that_overlap_are_drawn_together() -> None:
    """So it is below LDA, and the further below the more of them overlap; classes far apart remain so."""
    below = [lda(*problem(200, 5, 2, separation=gap)) - sfda(*problem(200, 5, 2, separation=gap)) for gap in (0.7, 2)]
    assert below[0] > below[1] + 0.05 > 0.05
    assert sfda(*problem(200, 5, 2, separation=9.0)) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("n", "d"), [(60, 8), (12, 20)])
def test_features_whose_sums_do_not_vary(n: int, d: int, dtype: type[np.floating]) -> None:
    P = np.random.default_rng(0).dirichlet(np.full(d, 0.3), size=n)
    y = np.arange(n) % 3
    shrink = math.exp(-5 * np.linalg.eigvalsh(covariance_within(P, y))[-1])
    wanted = literal(P, y, shrink).mean()
    assert sfda(P.astype(dtype), y) == pytest.approx(wanted, rel=1e-9 if dtype is np.float64 else 1e-5)
    for shift in (1.0, 3.3, 100.0):
        assert sfda(P + shift, y) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("offset", [1e4, 1e6])
@pytest.mark.parametrize(("shape", "scale"), [((200, 6), 1.0), ((200, 6), 0.2), ((12, 30), 0.2)])
def test_large_means_cost_no_digits(shape: tuple[int, int], scale: float, offset: float) -> None:
    X, y = problem(*shape, 3, separation=0.5, scale=scale)
    X = np.round(1024 * X) / 1024
    assert sfda(X + offset, y) == pytest.approx(sfda(X, y), rel=1e-9)
    single = (X + 1e4).astype(np.float32)
    assert sfda(single, y) == pytest.approx(literal(single.astype(np.float64) - 1e4, y).mean(), rel=1e-6)


def test_small_features_are_those_of_a_sphere() -> None:
    """Of a scale of 1e-5 the shrinkage is complete."""
    X, y = problem(60, 5, 3, scale=1e-5)
    assert sfda(X, y) == pytest.approx(literal(X, y, shrink=1.0).mean(), rel=1e-6)
    assert sfda(1e-3 * X, y) == pytest.approx(sfda(X, y), rel=1e-6)
    assert sfda(X, y) < sfda(1e5 * X, y) - 0.01  # which is why it is not compared across scales


def test_degenerate_features() -> None:
    X, y = problem(60, 4, 3)
    shares = np.bincount(y) / 60
    assert sfda(np.full((60, 4), 0.1), y) == pytest.approx((shares**2).sum(), rel=1e-12)
    assert sfda(np.full((60, 90), 0.1), y) == pytest.approx((shares**2).sum(), rel=1e-12)
    dead = np.hstack([X, np.zeros((60, 3)), np.full((60, 1), 0.1)])
    assert sfda(dead, y) == pytest.approx(literal(dead, y).mean(), rel=1e-6)
    for constant in (np.eye(3)[y], np.hstack([np.eye(3)[y]] * 30), 1e-8 * np.eye(3)[y], 1e4 + np.eye(3)[y]):
        assert sfda(constant, y) == pytest.approx(1.0, abs=1e-9)  # classes without spread
    assert sfda(X[:5], np.arange(5)) == pytest.approx(1.0, abs=1e-9)  # and of one sample each


def test_a_class_of_one_sample() -> None:
    X, y = problem(60, 4, 2)
    X[0], y = X[0] + 5, np.where(np.arange(60) == 0, 2, y)
    each = SCORERS["sfda"].per_sample(X, y)  # type: ignore[misc]
    np.testing.assert_allclose(each, literal(X, y), rtol=1e-6)


def test_blocks_of_rows_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    for shape in ((53, 6), (20, 30)):
        X, y = problem(*shape, 3, scale=0.3)
        value = sfda(X, y)
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules["transferscope.scorers.lda"], "BLOCK", 7)
            assert sfda(X, y) == pytest.approx(value, rel=1e-12)


def test_arrays_stay_as_they_are() -> None:
    """The published code leaves mixed features behind."""
    for shape in ((40, 4), (10, 30)):
        X, y = problem(*shape, 2)
        kept, shared = X.copy(), Moments.from_features(X, y)
        X.flags.writeable = False
        assert sfda(X, y, moments=shared) == sfda(X, y, moments=shared)
        np.testing.assert_array_equal(X, kept)


def test_refusals() -> None:
    X, y = problem(20, 4, 2)
    with pytest.raises(ScoreError, match="sfda: labels hold fractions such as 0.5; expected classes"):
        sfda(X, y + 0.5)
    with pytest.raises(ScoreError, match="sfda is not defined for multilabel; it is for classification"):
        sfda(X, np.eye(2, dtype=int)[y])
