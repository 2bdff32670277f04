"""NLEEP against scikit-learn's components and mixtures put together by hand, and LEEP in loops."""

from __future__ import annotations

import math
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from transferscope.errors import ScoreError
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, nleep

MODULE = "transferscope.scorers.nleep"


def problem(n: int, d: int, k: int, seed: int = 0, separation: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return separation * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) + 2.0, y


def entropy(y: np.ndarray) -> float:
    shares = np.unique(y, return_counts=True)[1] / len(y)
    return -float((shares * np.log(shares)).sum())


def leep_in_loops(P: np.ndarray, y: np.ndarray) -> float:
    total = 0.0
    for i in range(len(y)):
        expected = 0.0
        for z in range(P.shape[1]):
            mass = sum(P[:, z])
            expected += P[i, z] * sum(P[n, z] for n in range(len(y)) if y[n] == y[i]) / mass if mass > 0 else 0.0
        total += math.log(expected)
    return total / len(y)


def literal(X: np.ndarray, y: np.ndarray, seed: int) -> float:
    """Li et al., section 3.3; the scale of the first component, the order of rows and the seeds are this library's."""
    Z = PCA(0.8, svd_solver="full").fit_transform(X)
    Z = Z / Z[:, 0].std()
    for column in Z.T:
        column *= np.sign(column[np.abs(column).argmax()])
    order = sorted(range(len(Z)), key=lambda i: tuple(np.round(Z[i], 9)))
    n_clusters = min(5 * len(set(y.tolist())), len(y) // 5)
    values = []
    for start in range(3 * seed, 3 * seed + 3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture = GaussianMixture(n_clusters, random_state=start).fit(Z[order])
        values.append(leep_in_loops(mixture.predict_proba(Z[order]), y[order]))
    return float(np.mean(values))


@settings(max_examples=8, deadline=None)
@given(n=st.integers(10, 40), d=st.integers(1, 50), k=st.integers(2, 4), seed=st.integers(0, 10**6))
def test_is_leep_of_a_mixture(n: int, d: int, k: int, seed: int) -> None:
    X, y = problem(n, d, k, seed)
    assert nleep(X, 5 * y - 2, seed=seed) == pytest.approx(literal(X, y, seed), rel=1e-7, abs=1e-9)


def test_clusters_that_are_the_classes_score_0() -> None:
    X, y = problem(200, 4, 4, separation=60.0)
    assert nleep(X, y) == pytest.approx(0.0, abs=1e-6)


def test_clusters_that_tell_nothing_score_the_entropy() -> None:
    """But for what chance fits: 10 clusters of 300 samples."""
    X, y = problem(300, 3, 2, separation=0.0)
    assert -entropy(y) < nleep(X, y) < -entropy(y) + 0.04
    constant = np.full((300, 3), 0.1)
    assert nleep(constant, y) == pytest.approx(-entropy(y), rel=1e-12)
    assert nleep(constant.astype(np.float32) + 1e6, y) == pytest.approx(-entropy(y), rel=1e-12)
    assert nleep(X[:9], y[:9]) == pytest.approx(-entropy(y[:9]), rel=1e-12)  # too few rows for two clusters


def test_seeds_are_starts_of_em() -> None:
    X, y = problem(80, 5, 3)
    values = [nleep(X, y, seed=seed) for seed in (0, 0, 1, 2)]
    assert values[0] == values[1]
    assert len(set(values)) == 3
    assert np.ptp(values) < 0.2
    assert nleep(X, y) == values[0]
    assert np.isfinite([nleep(X, y, seed=seed) for seed in (-1, 2**31)]).all()


def test_order_of_rows_does_not_matter() -> None:
    """EM as such depends on it: a seed names rows by their number."""
    X, y = problem(80, 5, 3)
    values = []
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(80)
        values.append(nleep(X[order], y[order]))
    assert values == pytest.approx([nleep(X, y)] * 4, rel=1e-9)
    starts = [GaussianMixture(15, random_state=0).fit(rows).lower_bound_ for rows in (X, X[order])]
    assert abs(starts[0] - starts[1]) > 1e-3


@pytest.mark.parametrize("power", [-8, 8])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_numerical_extremes(offset: float, power: int) -> None:
    """The 1e-6 added to variances would drown features of scale 1e-8, were it absolute."""
    X, y = problem(80, 5, 3)
    assert nleep((X + offset) * 10.0**power, y) == pytest.approx(nleep(X, y), rel=1e-6)
    assert nleep(X.astype(np.float32), y) == pytest.approx(nleep(X, y), rel=1e-3)


def test_components_hold_four_fifths_of_the_variance() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    X = rng.normal(size=(200, 6)) * np.array([5.0, 3.0, 2.0, 0.1, 0.1, 0.1])
    components = sys.modules[MODULE]._principal_components
    scores = components(Moments.from_features(X, y), X)
    wanted = PCA(0.8, svd_solver="full").fit_transform(X)
    assert scores.shape == wanted.shape == (200, 2)
    np.testing.assert_allclose(np.abs(scores), np.abs(wanted) / wanted[:, 0].std(), rtol=1e-9, atol=1e-12)
    hidden = X.copy()
    hidden[:, 5] += 0.5 * (2 * y - 1)  # what tells classes apart has too little variance to be looked at
    assert nleep(hidden, y) == pytest.approx(nleep(X, y), abs=0.05)


def test_copies_and_stops_make_no_noise() -> None:
    """Fewer distinct rows than clusters, and EM that has not settled: no warnings, and a number."""
    X = np.repeat(np.arange(4.0)[:, None], 3, axis=1).repeat(15, axis=0)
    y = np.arange(60) % 2
    noisy = problem(60, 5, 2)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert nleep(X, y) == pytest.approx(-math.log(2), abs=0.01)
        thin = X[:, :1] @ np.ones((1, 8))
        assert nleep(thin, y) == pytest.approx(nleep(X, y), rel=1e-9)
        nleep(*noisy)
    assert not told


def test_samples_add_up_to_the_score() -> None:
    X, y = problem(60, 5, 3)
    per_sample = SCORERS["nleep"].per_sample
    assert per_sample is not None
    each = per_sample(X, y, seed=4)
    assert each is not None
    assert each.mean() == nleep(X, y, seed=4)
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_allclose(per_sample(X[order], y[order], seed=4), each[order], rtol=1e-7, atol=1e-9)


def test_fewer_clusters_are_told() -> None:
    X, y = problem(70, 3, 3)
    says = ("14 clusters for 3 classes, not 5 a class: there are only 70 samples.",)
    assert SCORERS["nleep"].caveats(Moments.from_features(X, y)) == says
    assert SCORERS["nleep"].caveats(Moments.from_features(*problem(75, 3, 3))) == ()


def test_refusals() -> None:
    X, y = problem(20, 4, 2)
    with pytest.raises(ScoreError, match="nleep: labels hold fractions such as 0.5; expected classes"):
        nleep(X, y + 0.5)
    with pytest.raises(ScoreError, match="nleep is not defined for multilabel; it is for classification"):
        nleep(X, np.eye(20, dtype=int))
