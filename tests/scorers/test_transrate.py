"""TransRate against log determinants of dense matrices."""

from __future__ import annotations

import math
import sys
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transferscope.errors import ScoreError, UnknownNameError
from transferscope.features.moments import Moments
from transferscope.scorers import transrate

Weighting = Literal["class", "frequency"]
WEIGHTINGS: tuple[Weighting, ...] = ("class", "frequency")


def problem(n: int, d: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) + 2.0, y


def literal(X: np.ndarray, y: np.ndarray, weighting: str = "class", distortion: float = 1e-4) -> float:
    def rate(rows: np.ndarray) -> float:
        second = sum(np.outer(row, row) for row in rows) / len(rows)
        return float(np.linalg.slogdet(np.eye(X.shape[1]) + second / distortion)[1]) / 2

    rows, classes = X - X.mean(axis=0), sorted(set(y.tolist()))
    weights = [1 / len(classes) if weighting == "class" else np.mean(y == c) for c in classes]
    return rate(rows) - sum(weight * rate(rows[y == c]) for weight, c in zip(weights, classes, strict=True))


def by_singular_values(X: np.ndarray, y: np.ndarray, distortion: float = 1e-4) -> float:
    """The same without a determinant, for rows whose small directions a Gram matrix would lose."""

    def rate(rows: np.ndarray) -> float:
        squares = np.linalg.svd(rows, compute_uv=False) ** 2
        return sum(math.log1p(square / (len(rows) * distortion)) for square in squares) / 2

    rows = X - X.mean(axis=0)
    return rate(rows) - float(np.mean([rate(rows[y == c]) for c in sorted(set(y.tolist()))]))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(4, 25), d=st.integers(1, 30), k=st.integers(2, 4), seed=st.integers(0, 10**6),
    weighting=st.sampled_from(WEIGHTINGS), distortion=st.sampled_from([1e-4, 0.1, 10.0]),
)  # fmt: skip
def test_is_its_definition(n: int, d: int, k: int, seed: int, weighting: Weighting, distortion: float) -> None:
    """Classes of one row, with more rows than features and with fewer."""
    X, y = problem(n, d, k, seed)
    wanted = literal(X, y, weighting, distortion)
    assert transrate(X, y, weighting=weighting, distortion=distortion) == pytest.approx(wanted, rel=1e-8, abs=1e-9)
    assert transrate(X, 7 * y - 3) == transrate(X, y)  # numbers that no class has are no classes


def test_published_weights_and_distortion_are_the_defaults() -> None:
    X, y = problem(40, 5, 3)
    assert transrate(X, y) == transrate(X, y, weighting="class", distortion=1e-4)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(5, 40), d=st.integers(1, 20), k=st.integers(2, 4), seed=st.integers(0, 10**6))
def test_weighted_by_frequency_it_is_never_negative(n: int, d: int, k: int, seed: int) -> None:
    """The second moment of all is the mean of the classes', and the log determinant is concave."""
    X, y = problem(n, d, k, seed)
    assert transrate(X, np.random.default_rng(seed).permutation(y), weighting="frequency") >= -1e-9


def test_for_uneven_classes_the_published_weights_can_make_it_negative() -> None:
    """Two rare classes of three are wide."""
    y = np.array([0] * 400 + [1] * 3 + [2] * 3)
    X = np.random.default_rng(0).normal(size=(406, 3)) * np.where(y == 0, 0.1, 10.0)[:, None]
    assert transrate(X, y) < -0.5 < 0 < transrate(X, y, weighting="frequency")


@pytest.mark.parametrize("shape", [(120, 6), (12, 30)])
@pytest.mark.parametrize("power", [-8, -5, 5, 8])
def test_scales_cost_no_digits(shape: tuple[int, int], power: int) -> None:
    """It depends on the scale, but is as exact at any; below the distortion it is nearly a difference of variances."""
    X, y = problem(*shape, 3)
    X = X * 10.0**power
    assert transrate(X, y) == pytest.approx(by_singular_values(X, y), rel=1e-9, abs=0.0)
    if power == -8:
        rows = X - X.mean(axis=0)
        variances = [np.square(rows[y == c]).sum(axis=1).mean() for c in range(3)]
        gap = np.square(rows).sum(axis=1).mean() - np.mean(variances)
        assert transrate(X, y) == pytest.approx(gap / 2e-4, rel=1e-6, abs=0.0)


@pytest.mark.parametrize("offset", [1e4, 1e6])
@pytest.mark.parametrize("shape", [(300, 6), (12, 30)])
def test_large_means_cost_no_digits(shape: tuple[int, int], offset: float) -> None:
    X, y = problem(*shape, 3)
    X = np.round(1024 * X) / 1024
    assert transrate(X + offset, y) == pytest.approx(literal(X, y), rel=1e-9)
    single = (X + 1e4).astype(np.float32)
    assert transrate(single, y) == pytest.approx(literal(single.astype(np.float64) - 1e4, y), rel=1e-9)


@pytest.mark.parametrize("scale", [10.0, 100.0, 1e3, 1e4])
@pytest.mark.parametrize("shape", [(300, 200), (100, 400)])
def test_directions_that_few_features_have_are_not_made_up(shape: tuple[int, int], scale: float) -> None:
    """Rank 1: what rounding makes of the others in a Gram matrix of large features is not small beside 1."""
    rng = np.random.default_rng(0)
    X = scale * rng.normal(size=(shape[0], 1)) @ rng.normal(size=(1, shape[1]))
    y = np.arange(shape[0]) % 3
    assert transrate(X, y) == pytest.approx(by_singular_values(X, y), abs=1e-6)


def test_small_directions_beside_large_ones() -> None:
    """The classes differ in features of 1e-2, and the largest are of 1e5."""
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    X = rng.normal(size=(300, 20))
    X[:, :4] += y[:, None]
    X = X * np.geomspace(1e-2, 1e5, 20) @ np.linalg.qr(rng.normal(size=(20, 20)))[0]
    assert transrate(X, y) == pytest.approx(by_singular_values(X, y), abs=1e-7)
    assert by_singular_values(X, y) > 0.5


def test_degenerate_features() -> None:
    X, y = problem(60, 4, 3)
    value = transrate(X, y)
    assert transrate(np.hstack([X, np.zeros((60, 9)), np.full((60, 2), 0.1)]), y) == pytest.approx(value, rel=1e-10)
    assert transrate(np.tile(X, (3, 1)), np.tile(y, 3)) == pytest.approx(value, rel=1e-10)
    assert transrate(np.full((60, 4), 0.1), y) == 0.0
    assert transrate(np.full((4, 60), 0.1), y[:4]) == 0.0
    constant = np.eye(3)[y]  # no spread within classes: each code is a class mean's
    assert transrate(constant, y) == pytest.approx(literal(constant, y), rel=1e-10)


def test_one_sample_per_class() -> None:
    """Each class codes its one row, of length s: log(1 + s^2 / distortion) / 2."""
    X, _ = problem(6, 4, 2)
    rows = X - X.mean(axis=0)
    whole = np.log1p(np.linalg.svd(rows, compute_uv=False) ** 2 / 6e-4).sum() / 2
    alone = np.mean([math.log1p(float(row @ row) / 1e-4) / 2 for row in rows])
    assert transrate(X, np.arange(6)) == pytest.approx(whole - alone, rel=1e-10)


@pytest.mark.parametrize("shape", [(60, 20), (20, 60)])
def test_both_sides_of_the_gram_matrix_are_the_same(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = problem(*shape, 3)
    value = transrate(X, y)
    assert transrate(np.hstack([X, np.zeros((shape[0], 60))]), y) == pytest.approx(value, rel=1e-10)
    module = sys.modules["transferscope.scorers.transrate"]
    monkeypatch.setattr(module, "LARGE", 0.0)  # singular values for all and for each class
    assert transrate(X, y) == pytest.approx(value, rel=1e-10)


def test_refusals() -> None:
    X, y = problem(20, 4, 2)
    with pytest.raises(UnknownNameError, match="no weighting of transrate named 'classes'. Did you mean 'class'"):
        transrate(X, y, weighting="classes")  # type: ignore[arg-type]
    for distortion in (0.0, -1.0, math.nan):
        with pytest.raises(ScoreError, match=f"transrate: distortion={distortion}; expected a positive variance"):
            transrate(X, y, distortion=distortion)
    with pytest.raises(ScoreError, match="transrate: labels hold fractions such as 0.5; expected classes"):
        transrate(X, y + 0.5, moments=Moments.from_features(X, y))
