"""Leave-one-out LDA against as many refits as there are samples."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import LeaveOneOut, cross_val_predict

import transferscope as ts
from transferscope.errors import ScoreError
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, lda, lda_loo
from transferscope.scorers.hat import Hat, best_penalty
from transferscope.scorers.lda_loo import class_products


def problem(n: int, d: int, k: int, seed: int = 0, separation: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return separation * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) * np.geomspace(0.5, 2.0, d) + 2.0, y


def refits(X: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    """By how much each sample's own class leads or trails, of the discriminant of all other samples."""
    found = []
    for i in range(len(X)):
        rest = np.arange(len(X)) != i
        A, b = X[rest], y[rest]
        within = alpha * np.eye(X.shape[1])
        for c in set(b.tolist()):
            gaps = A[b == c] - A[b == c].mean(axis=0)
            within += gaps.T @ gaps
        inverse = np.linalg.inv(within / len(A))
        scores = {}
        for c in set(b.tolist()):
            gap = X[i] - A[b == c].mean(axis=0)
            scores[c] = math.log((b == c).sum()) - 0.5 * float(gap @ inverse @ gap)
        own = scores.pop(int(y[i]), -math.inf)
        found.append(own - max(scores.values()))
    return np.array(found)


def per_sample(X: np.ndarray, y: np.ndarray, alpha: float | None = None) -> np.ndarray:
    return SCORERS["lda_loo"].per_sample(X, y, alpha=alpha)  # type: ignore[misc,return-value]


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(6, 22), d=st.integers(1, 30), k=st.integers(2, 4), seed=st.integers(0, 10**6),
    alpha=st.sampled_from([0.01, 1.0, 30.0, 1e4]),
)  # fmt: skip
def test_closed_form_is_that_of_refits(n: int, d: int, k: int, seed: int, alpha: float) -> None:
    """More rows than features and fewer, classes of one row and of two."""
    X, y = problem(n, d, k, seed)
    leads = refits(X, y, alpha)
    certain = np.abs(leads) > 1e-6
    np.testing.assert_array_equal(per_sample(X, y, alpha)[certain], leads[certain] > 0)
    assert lda_loo(X, y, alpha=alpha) == per_sample(X, y, alpha).mean()
    assert lda_loo(X, 7 * y - 3, alpha=alpha) == lda_loo(X, y, alpha=alpha)


def test_sizes_and_distances_are_weighed_as_refits_weigh_them() -> None:
    """Six samples of two uneven classes, one of which is left out: n - 1 and n are apart there."""
    for seed in range(300):
        X, y = problem(6, 1, 2, seed, separation=1.5)
        leads = refits(X, y, 8.0)
        certain = np.abs(leads) > 1e-6
        np.testing.assert_array_equal(per_sample(X, y, 8.0)[certain], leads[certain] > 0)


@pytest.mark.parametrize(("n", "d", "k"), [(40, 6, 3), (20, 20, 2), (15, 30, 3), (12, 1, 2)])
def test_penalty_is_that_of_ridge_regression(n: int, d: int, k: int) -> None:
    X, y = problem(n, d, k)
    wanted = refits(X, y, best_penalty(Moments.from_features(X, y))) > 0
    np.testing.assert_array_equal(per_sample(X, y), wanted)
    assert lda_loo(X, y) == wanted.mean()


@pytest.mark.parametrize("k", [2, 4])
def test_library_without_a_penalty(k: int) -> None:
    X, y = problem(90, 5, k)
    predicted = cross_val_predict(LinearDiscriminantAnalysis(solver="lsqr"), X, y, cv=LeaveOneOut())
    np.testing.assert_array_equal(per_sample(X, y, 1e-9), predicted == y)
    assert 0.3 < np.mean(predicted == y) < 0.9


def test_class_products_are_those_of_the_inverse() -> None:
    for shape in ((40, 6), (12, 30)):
        X, y = problem(*shape, 3)
        moments = Moments.from_features(X, y)
        centred, alpha = X - X.mean(axis=0), 0.7
        sums = centred.T @ np.eye(3)[y]
        wanted = sums.T @ np.linalg.inv(centred.T @ centred + alpha * np.eye(shape[1])) @ sums
        np.testing.assert_allclose(class_products(moments, Hat.of(X, moments, alpha)), wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("power", [-8, -5, 8])
@pytest.mark.parametrize("offset", [0.0, 1e4, 1e6])
@pytest.mark.parametrize("shape", [(300, 5), (20, 30)])
def test_numerical_extremes(shape: tuple[int, int], power: int, offset: float) -> None:
    """Features of scale 1e-8 and 1e8, a mean of 1e6 times the spread, with the penalty chosen and given."""
    X, y = problem(*shape, 3)
    wanted = per_sample(X, y)
    np.testing.assert_array_equal(per_sample((X + offset) * 10.0**power, y), wanted)
    given = per_sample((X + offset) * 10.0**power, y, 3.0 * 10.0 ** (2 * power))
    np.testing.assert_array_equal(given, refits(X, y, 3.0) > 0)
    np.testing.assert_array_equal(per_sample((X + min(offset, 1e4)).astype(np.float32), y), wanted)


@pytest.mark.parametrize("alpha", [1e-4, 1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("shape", [(20, 40), (30, 26), (15, 14)])
def test_little_penalty_where_samples_fill_their_dimensions(shape: tuple[int, int], alpha: float) -> None:
    """The scatter within classes is then all but singular, and distances are huge; in the order of the limit."""
    X, y = problem(*shape, 3)
    np.testing.assert_array_equal(per_sample(X, y, alpha), refits(X, y, max(alpha, 1e-6)) > 0)


def test_labels_of_noise_are_at_chance_where_lda_is_certain() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = rng.normal(size=(60, 90))
    assert lda(X, y) == pytest.approx(1.0, abs=1e-6)
    assert lda_loo(X, y) < 0.5
    assert lda_loo(X + 1.5 * rng.normal(size=(3, 90))[y], y) > 0.9


def test_copies_promise_too_much() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 60)), np.arange(30) % 3
    assert lda_loo(np.tile(X, (2, 1)), np.tile(y, 2)) == 1.0 > lda_loo(X, y) + 0.3
    assert "or repeat, it promises too much" in SCORERS["lda_loo"].misleads
    leads = refits(np.tile(X[:8], (2, 1)), np.tile(y[:8], 2), 1.0)
    np.testing.assert_array_equal(per_sample(np.tile(X[:8], (2, 1)), np.tile(y[:8], 2), 1.0), leads > 0)


@pytest.mark.parametrize("d", [4, 90])
def test_features_without_spread_leave_the_sizes_of_classes(d: int) -> None:
    """Without the sample that is left out: in classes of one size its own is then the smallest."""
    X = np.full((20, d), 0.1)
    assert lda_loo(X, np.arange(20) % 4) == 0.0
    assert lda_loo(X, np.arange(20) < 15) == 0.75
    assert lda_loo(X, np.arange(20) < 15, alpha=1e-3) == 0.75


def test_classes_without_spread_are_told_apart() -> None:
    y = np.arange(30) % 3
    for X in (np.eye(3)[y], np.hstack([np.eye(3)[y]] * 30), 1e-8 * np.eye(3)[y], 1e4 + np.eye(3)[y]):
        for alpha in (None, 1e-20, 1e-200):  # the less, the further apart they are
            assert lda_loo(X, y, alpha=alpha) == 1.0
    dead = np.hstack([problem(30, 3, 3)[0], np.zeros((30, 2)), np.full((30, 1), 0.1)])
    np.testing.assert_array_equal(per_sample(dead, y, 0.5), refits(dead, y, 0.5) > 0)


def test_classes_of_one_sample_are_always_wrong_and_told() -> None:
    X, y = problem(40, 3, 2, separation=9.0)
    X[:2], y[:2] = X[:2] + 50, [2, 3]
    each = per_sample(X, y)
    assert each[:2].tolist() == [0.0, 0.0]
    assert each[2:].mean() == 1.0
    says = ["2 class(es) have one sample, which no other can vouch for: always wrong."]
    assert SCORERS["lda_loo"].caveats(Moments.from_features(X, y)) == says
    assert SCORERS["lda_loo"].caveats(Moments.from_features(X[2:], y[2:])) == []
    found = ts.score(X, y, ["lda_loo"])["lda_loo"]
    assert found.warnings[0] == says[0]
    assert found.standard_error == pytest.approx(math.sqrt(0.95 * 0.05 / 40))
    for alpha in (None, 1.0, 1e-200):
        assert lda_loo(X[:6], np.arange(6), alpha=alpha) == 0.0


def test_blocks_of_rows_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = problem(90, 6, 3)
    each = per_sample(X, y)
    for module in ("hat", "ridge_loo"):
        monkeypatch.setattr(sys.modules[f"transferscope.scorers.{module}"], "BLOCK", 7, raising=module == "hat")
    monkeypatch.setattr(sys.modules["transferscope.features.moments"], "BLOCK", 7)
    np.testing.assert_array_equal(per_sample(X, y), each)


def test_refusals() -> None:
    X, y = problem(20, 4, 2)
    for alpha in (0.0, -1.0, math.nan):
        with pytest.raises(ScoreError, match=rf"lda_loo: alpha={alpha}; expected a positive penalty"):
            lda_loo(X, y, alpha=alpha)
    with pytest.raises(ScoreError, match="lda_loo: moments of 19 x 4 features beside 20 x 4 ones; give those of"):
        lda_loo(X, y, moments=Moments.from_features(X[1:], y[1:]))
    with pytest.raises(ScoreError, match="lda_loo is not defined for multilabel; it is for classification"):
        lda_loo(X, np.eye(2, dtype=int)[y])
    with pytest.raises(ScoreError, match="lda_loo: labels hold fractions such as 0.5; expected classes"):
        lda_loo(X, y + 0.5)
