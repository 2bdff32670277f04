"""The evidence without eigenvectors: the same maximum as with them, or none where it would cost digits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transferscope.features.moments import Moments
from transferscope.scorers import logme
from transferscope.scorers.evidence import Evidence, maximise
from transferscope.scorers.tridiagonal import NARROW, WORTHWHILE, Tridiagonal, largest_evidence


def rows_of(n: int, d: int, seed: int = 0, condition: float = 60.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    return rng.normal(size=(n, d)) * np.geomspace(condition, 1, d) @ turn


@settings(max_examples=60, deadline=None)
@given(
    d=st.integers(3, 24), per_feature=st.integers(2, 9), k=st.integers(2, 9), seed=st.integers(0, 999),
    mean=st.sampled_from([0.0, 1.0, 1e4]), scale=st.sampled_from([1e-5, 1.0, 1e5]), signal=st.floats(0, 5),
    kind=st.sampled_from(["classification", "multilabel", "regression"]),
)  # fmt: skip
def test_same_maximum_as_with_eigenvectors(
    d: int, per_feature: int, k: int, seed: int, mean: float, scale: float, signal: float, kind: str
) -> None:
    rng = np.random.default_rng(1000 + seed)  # not that of the rows, whose numbers would come back in the targets
    n = d * per_feature + k
    y = np.arange(n) % k
    X = (rows_of(n, d, seed) + signal * rng.normal(size=(k, d))[y] + mean) * scale
    targets = {
        "classification": y,
        "multilabel": np.eye(k, dtype=int)[y],
        "regression": X[:, :1] / (60 * scale) + rng.normal(size=(n, 3)),
    }
    moments = Moments.from_features(X, targets[kind])
    found = largest_evidence(moments)
    assert found is not None
    np.testing.assert_allclose(found, maximise(Evidence.of(moments))[0], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("d", [30, NARROW])
def test_wide_and_narrow_features_take_the_same_road(d: int) -> None:
    X, y = rows_of(2 * d, d), np.arange(2 * d) % 5
    moments = Moments.from_features(X, y)
    reduced = Tridiagonal.of(moments)
    np.testing.assert_allclose(reduced.extremes(), np.linalg.eigvalsh(moments.scatter)[[0, -1]], rtol=1e-9)
    t = moments.trace / d
    q, log_determinant = reduced.terms(t, np.arange(5))
    centred, columns = X - X.mean(axis=0), np.eye(5)[y]
    inverse = np.linalg.inv(X @ X.T + t * np.eye(len(X)))
    np.testing.assert_allclose(q, t * np.einsum("ij,ij->j", columns, inverse @ columns), rtol=1e-8)
    wanted = np.linalg.slogdet(np.eye(len(X)) + X @ X.T / t)[1] + d * np.log(t)
    assert log_determinant == pytest.approx(wanted, rel=1e-10)
    assert np.trace(centred.T @ centred) == pytest.approx(reduced.diagonal.sum())


def test_the_maximum_is_no_neighbour_of_it() -> None:
    """Against a search of its own, on a line a thousand times finer than the first one."""
    rng = np.random.default_rng(3)
    y = np.arange(400) % 4
    X = rows_of(400, 30, condition=1e3) + rng.normal(size=(4, 30))[y]
    reduced, found = Tridiagonal.of(Moments.from_features(X, y)), largest_evidence(Moments.from_features(X, y))
    line = np.array([reduced.at(u, np.arange(4)) for u in np.linspace(-5, 45, 50001)])
    assert found is not None
    assert (found >= line.max(axis=0) - 1e-12).all()
    np.testing.assert_allclose(found, line.max(axis=0), atol=1e-7)


def test_refuses_what_would_cost_digits() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 8)), np.arange(60) % 3
    assert largest_evidence(Moments.from_features(X, y)) is not None
    assert largest_evidence(Moments.from_features(X[:8], y[:8])) is None, "rows are kept"
    assert largest_evidence(Moments.from_features(X[:, :2], y)) is None, "nothing to reduce"
    assert largest_evidence(Moments.from_features(np.hstack([X, X[:, :2]]), y)) is None, "not of full rank"
    assert largest_evidence(Moments.from_features(np.hstack([X, np.eye(3)[y][:, :2]]), y)) is None, "a perfect fit"
    assert largest_evidence(Moments.from_features(np.ones((60, 4)), y)) is None, "no spread at all"


def test_columns_that_features_do_not_explain() -> None:
    """The maximum is where all weights are zero."""
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(3 * WORTHWHILE, WORTHWHILE)), rng.normal(size=(3 * WORTHWHILE, 1))
    y -= X @ np.linalg.lstsq(X, y, rcond=None)[0]
    wanted = -0.5 * np.log(2 * np.pi * np.mean(y**2)) - 0.5
    assert logme(X, y) == pytest.approx(wanted, abs=1e-10)


def test_threads_are_as_they_were() -> None:
    from threadpoolctl import threadpool_info

    before = [pool["num_threads"] for pool in threadpool_info()]
    logme(rows_of(3 * WORTHWHILE, WORTHWHILE), np.arange(3 * WORTHWHILE) % 3)
    assert [pool["num_threads"] for pool in threadpool_info()] == before
