"""Linear probe against folds drawn and fits made step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.model_selection import StratifiedKFold

from transferscope.errors import ScoreError
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, linear_probe


def problem(n: int, d: int, k: int, seed: int = 0, separation: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return separation * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) + 2.0, y


def fit(X: np.ndarray, y: np.ndarray, C: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights and free intercepts with the least sum of log losses plus |W|^2 / 2C, by SciPy's own minimiser."""
    k, d = y.max() + 1, X.shape[1]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        W, b = flat[: k * d].reshape(k, d), flat[k * d :]
        logits = X @ W.T + b
        logits = logits - logits.max(axis=1, keepdims=True)
        P = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        value = -np.log(P[np.arange(len(y)), y]).sum() + (W**2).sum() / (2 * C)
        gap = P - np.eye(k)[y]
        return value, np.concatenate([(gap.T @ X + W / C).ravel(), gap.sum(axis=0)])

    found = minimize(loss, np.zeros(k * (d + 1)), jac=True, method="BFGS", options={"gtol": 1e-7}).x
    return found[: k * d].reshape(k, d), found[k * d :]


def by_hand(X: np.ndarray, y: np.ndarray, C: float, folds: int, seed: int) -> float:
    hits = 0
    for learnt, held in StratifiedKFold(folds, shuffle=True, random_state=seed).split(X, y):
        mean, spread = X[learnt].mean(axis=0), X[learnt].std(axis=0)
        W, b = fit((X[learnt] - mean) / spread, y[learnt], C)
        for i in held:
            hits += int(np.argmax(W @ ((X[i] - mean) / spread) + b) == y[i])
    return hits / len(y)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("C", [0.01, 1.0])
def test_is_cross_validated_logistic_regression(seed: int, C: float) -> None:
    """Three classes and more: the two-class form has the penalty of one weight vector, not of two."""
    X, y = problem(60, 4, 3, seed, separation=0.7)
    assert linear_probe(X, y, C=C, seed=seed) == by_hand(X, y, C, 5, seed)
    assert linear_probe(X, y, C=C, folds=3, seed=seed) == by_hand(X, y, C, 3, seed)
    assert 0.3 < linear_probe(X, y, C=C, seed=seed) < 1.0


def test_fewer_folds_for_rare_classes() -> None:
    X, _ = problem(40, 4, 2, separation=0.5)
    y = np.array([0] * 20 + [1] * 17 + [2] * 3)
    assert linear_probe(X, y) == by_hand(X, y, 1.0, 3, 0)
    assert linear_probe(X, y) == linear_probe(X, y, folds=3) == linear_probe(X, y, folds=50)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 14), k=st.integers(2, 5), seed=st.integers(0, 10**4))
def test_small_problems_have_a_value(n: int, k: int, seed: int) -> None:
    """Classes of one row are always wrong, and folds that leave one class to learn from name it."""
    X, y = problem(max(n, k), 3, k, seed, separation=5.0)
    alone = np.mean(np.bincount(y)[y] == 1)
    assert 0.0 <= linear_probe(X, y) <= 1 - alone + 1e-12


def test_no_class_has_two_rows() -> None:
    assert linear_probe(np.eye(4), [0, 1, 2, 3]) == 0.0
    assert linear_probe(np.array([[0.0], [0.1], [5.0]]), [0, 0, 1]) in (0.0, 1 / 3, 2 / 3)


@pytest.mark.parametrize("power", [-8, 8])
def test_every_feature_may_be_moved_and_scaled(power: int) -> None:
    X, y = problem(80, 5, 3, separation=0.7)
    value = linear_probe(X, y)
    assert linear_probe((X + 1e6) * 10.0**power, y) == value
    assert linear_probe(X * np.geomspace(1e-6, 1e6, 5) - 3, y) == value
    assert linear_probe(X.astype(np.float32), y) == pytest.approx(value, abs=1.5 / 80)
    X[:, 2] *= 30
    T = X[:, 2] / 30 + np.random.default_rng(0).normal(size=80)
    regression = linear_probe(X, T)
    assert linear_probe((X + 1e6) * 10.0**power, T) == pytest.approx(regression, rel=1e-6)
    assert linear_probe(X, 1e6 * T + 1e9) == pytest.approx(regression, rel=1e-6)


def test_rotation_matters() -> None:
    """A small feature that tells all counts as much as large noise, until the two are mixed."""
    y = np.arange(200) % 2
    rng = np.random.default_rng(0)
    X = np.stack([1e-3 * (2 * y - 1) + 1e-4 * rng.normal(size=200), rng.normal(size=200)], axis=1)
    turned = X @ np.array([[1.0, 1.0], [-1.0, 1.0]]) / math.sqrt(2)
    assert linear_probe(X, y) == 1.0
    assert linear_probe(turned, y) < 0.8


def test_features_that_tell_nothing() -> None:
    """All that is left is to name the largest class, or the mean."""
    y = np.array([0] * 30 + [1] * 10)
    for value in (0.0, 0.1, -1e8):
        assert linear_probe(np.full((40, 3), value), y) == 0.75
        assert linear_probe(np.full((40, 3), value), y.astype(float), task="regression") == pytest.approx(0.0, abs=0.1)
    X, y = problem(400, 5, 4, separation=3.0)
    assert abs(linear_probe(X, np.random.default_rng(0).permutation(y)) - 0.25) < 0.08
    assert linear_probe(X, y) > 0.9


def test_wide_and_rank_deficient_features_and_copies() -> None:
    X, y = problem(60, 4, 3, separation=3.0)
    wide = X @ np.random.default_rng(0).normal(size=(4, 200))
    assert linear_probe(wide, y) > 0.85
    assert linear_probe(np.hstack([X, np.zeros((60, 3)), np.full((60, 1), 7.0)]), y) == linear_probe(X, y)
    assert linear_probe(np.tile(X, (2, 1)), np.tile(y, 2)) > 0.9


def ridge_by_hand(X: np.ndarray, t: np.ndarray, seed: int) -> float:
    """Penalty by leaving out each learnt row, refitting every time."""
    order = np.arange(len(t))
    np.random.RandomState(seed).shuffle(order)
    wrong = 0.0
    for held in np.array_split(order, 5):
        learnt = np.setdiff1d(order, held)
        A = (X[learnt] - X[learnt].mean(axis=0)) / X[learnt].std(axis=0)
        best, least = np.zeros(X.shape[1]), np.inf
        for penalty in len(learnt) * 10 ** np.linspace(-4, 4, 17):
            error = 0.0
            for i in range(len(learnt)):
                others = np.delete(np.arange(len(learnt)), i)
                centre = A[others] - A[others].mean(axis=0)
                level = t[learnt][others].mean()
                gram = centre.T @ centre + penalty * np.eye(X.shape[1])
                w = np.linalg.solve(gram, centre.T @ (t[learnt][others] - level))
                error += (t[learnt][i] - level - (A[i] - A[others].mean(axis=0)) @ w) ** 2
            if error < least:
                gram = A.T @ A + penalty * np.eye(X.shape[1])
                best, least = np.linalg.solve(gram, A.T @ (t[learnt] - t[learnt].mean())), error
        for i in held:
            row = (X[i] - X[learnt].mean(axis=0)) / X[learnt].std(axis=0)
            wrong += (t[i] - t[learnt].mean() - row @ best) ** 2
    return 1 - wrong / np.square(t - t.mean()).sum()


def test_regression_is_cross_validated_ridge() -> None:
    X, _ = problem(25, 3, 2, seed=2)
    rng = np.random.default_rng(0)
    T = np.stack([X[:, 0] + 0.3 * rng.normal(size=25), rng.normal(size=25)], axis=1)
    each = [ridge_by_hand(X, column, seed=3) for column in T.T]
    assert linear_probe(X, T[:, 0], seed=3) == pytest.approx(each[0], rel=1e-8)
    assert linear_probe(X, T, seed=3) == pytest.approx(np.mean(each), rel=1e-8)
    assert each[0] > 0.7 > each[1]


def test_multilabel_is_the_mean_of_its_columns() -> None:
    X, y = problem(60, 4, 3, separation=0.7)
    Y = np.stack([y == 0, y != 1, X[:, 0] > 2], axis=1).astype(int)
    each = [linear_probe(X, column) for column in Y.T]
    assert linear_probe(X, Y) == pytest.approx(np.mean(each), rel=1e-12)
    assert linear_probe(X, Y.astype(float), task="multilabel") == linear_probe(X, Y)


def test_the_mean_of_what_samples_add() -> None:
    X, y = problem(60, 4, 3, separation=0.7)
    per_sample = SCORERS["linear_probe"].per_sample
    hits = per_sample(X, y, seed=4)  # type: ignore[misc]
    assert set(hits.tolist()) == {0.0, 1.0}
    assert linear_probe(X, y, seed=4) == hits.mean()
    shares = per_sample(X, np.eye(3, dtype=int)[y])  # type: ignore[misc]
    assert set(np.round(3 * shares).tolist()) <= {0.0, 1.0, 2.0, 3.0}
    assert linear_probe(X, np.eye(3, dtype=int)[y]) == shares.mean()
    assert per_sample(X, X[:, 0]) is None  # type: ignore[misc]


def test_seeds_draw_folds() -> None:
    X, y = problem(60, 4, 3, separation=0.4)
    values = [linear_probe(X, y, seed=seed) for seed in range(8)]
    assert values == [linear_probe(X, y, seed=seed) for seed in range(8)]
    assert len(set(values)) > 1
    assert max(values) - min(values) < 6 * math.sqrt(0.25 / 60)
    T = X[:, 0] + np.random.default_rng(0).normal(size=60)
    assert linear_probe(X, T, seed=1) != linear_probe(X, T, seed=2)


def test_small_classes_are_told() -> None:
    X, _ = problem(12, 2, 2)
    caveats = SCORERS["linear_probe"].caveats
    assert caveats(Moments.from_features(X, [0] * 6 + [1] * 6)) == []
    few = "The rarest class has 3 sample(s), so there are 3 folds only."
    assert caveats(Moments.from_features(X, [0] * 9 + [1] * 3)) == [few]
    alone = "1 class(es) have one sample, which no other can vouch for: always wrong."
    folds = "The rarest class has 1 sample(s), so there are 2 folds only."
    assert caveats(Moments.from_features(X, [0] * 9 + [1] * 2 + [2])) == [folds, alone]
    assert caveats(Moments.from_features(X, X[:, 0])) == ()


def test_arrays_stay_as_they_are() -> None:
    X, y = problem(30, 4, 2)
    kept = X.copy()
    X.flags.writeable = y.flags.writeable = False
    linear_probe(X, y)
    linear_probe(X, X[:, 0])
    np.testing.assert_array_equal(X, kept)


def test_refusals() -> None:
    X, y = problem(20, 4, 2)
    for C in (0.0, -1.0, float("nan")):
        with pytest.raises(ScoreError, match=f"linear_probe: C={C}; expected a positive inverse strength"):
            linear_probe(X, y, C=C)
    with pytest.raises(ScoreError, match="linear_probe: folds=1; expected at least 2"):
        linear_probe(X, y, folds=1)
    with pytest.raises(ScoreError, match="linear_probe: 3 rows; expected at least 4, to learn from some"):
        linear_probe(X[:3], X[:3, 0])
    for T in (np.full(20, 0.5), np.stack([np.zeros(20), y], axis=1).astype(int)):
        with pytest.raises(ScoreError, match="linear_probe: a target column is constant; there is nothing to explain"):
            linear_probe(X, T)
    with pytest.raises(
        ScoreError, match="linear_probe: multi-label columns hold other values than 0 and 1; use task="
    ):
        linear_probe(X, X, task="multilabel")
