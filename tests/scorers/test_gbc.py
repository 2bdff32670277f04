"""GBC against loops over pairs of classes, against integrals, and after scikit-learn's principal components."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.decomposition import PCA

import transferscope as ts
from transferscope.errors import ScoreError, UnknownNameError
from transferscope.features.arrays import check_inputs, storage_eps
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, gbc, gbc_pca
from transferscope.scorers.jackknife import Blocks

Covariance = Literal["spherical", "diagonal"]
BOTH: tuple[Covariance, ...] = ("spherical", "diagonal")
both = pytest.mark.parametrize("covariance", BOTH)


def problem(n: int, d: int, k: int, seed: int = 0, separation: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    widths = rng.uniform(0.5, 2.0, size=(k, d))[y]
    return separation * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)) * widths + 2.0, y


def literal(X: np.ndarray, y: np.ndarray, covariance: str, floor: float = 1e-4) -> float:
    d, total = X.shape[1], 0.0
    classes = sorted(set(y.tolist()))
    means, variances = {}, {}
    for c in classes:
        means[c] = [float(np.mean(X[y == c, j])) for j in range(d)]
        variances[c] = [max(float(np.mean(np.square(X[y == c, j] - means[c][j]))), floor) for j in range(d)]
        if covariance == "spherical":
            variances[c] = [sum(variances[c]) / d] * d
    for a in classes:
        for b in classes:
            if a == b:
                continue
            distance = 0.0
            for j in range(d):
                v = (variances[a][j] + variances[b][j]) / 2
                distance += (means[a][j] - means[b][j]) ** 2 / v / 8
                distance += 0.5 * math.log(v / math.sqrt(variances[a][j] * variances[b][j]))
            total -= math.exp(-distance)
    return total


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(4, 25), d=st.integers(1, 12), k=st.integers(2, 4), seed=st.integers(0, 10**6),
    scale=st.sampled_from([1e-3, 0.02, 1.0]), covariance=st.sampled_from(BOTH),
)  # fmt: skip
def test_is_its_definition(n: int, d: int, k: int, seed: int, scale: float, covariance: Covariance) -> None:
    """Classes of one row, and variances on both sides of the floor."""
    X, y = problem(n, d, k, seed)
    assert gbc(scale * X, y, covariance=covariance) == pytest.approx(literal(scale * X, y, covariance), rel=1e-9)
    assert gbc(X, 7 * y - 3, covariance=covariance) == gbc(X, y, covariance=covariance)


def test_is_the_overlap_of_normal_densities() -> None:
    """The integral of the root of their product; of independent features, the product of integrals."""
    X, y = problem(30, 3, 2, separation=2.0)
    overlaps = []
    for j in range(3):
        one, two = (norm(X[y == c, j].mean(), X[y == c, j].std()) for c in (0, 1))
        overlaps.append(quad(lambda x, a=one, b=two: math.sqrt(a.pdf(x) * b.pdf(x)), -30, 30, limit=200)[0])
    assert gbc(X, y, covariance="diagonal") == pytest.approx(-2 * math.prod(overlaps), rel=1e-7)
    assert gbc(X[:, :1], y) == pytest.approx(-2 * overlaps[0], rel=1e-7)


@both
@pytest.mark.parametrize(("n", "d", "n_components"), [(60, 8, 3), (60, 8, 64), (15, 30, 4), (15, 30, 64)])
def test_components_are_those_of_the_library(n: int, d: int, n_components: int, covariance: Covariance) -> None:
    X, y = problem(n, d, 3)
    kept = min(n_components, d, n - 1)
    wanted = literal(PCA(kept, svd_solver="full").fit_transform(X), y, covariance)
    assert gbc_pca(X, y, covariance=covariance, n_components=n_components) == pytest.approx(wanted, rel=1e-8)
    assert gbc(X, y, covariance=covariance, n_components=n_components) == pytest.approx(wanted, rel=1e-8)
    shared = Moments.from_features(X, y)
    assert gbc_pca(X, y, covariance=covariance, n_components=n_components, moments=shared) == pytest.approx(
        wanted, rel=1e-8
    )


def test_components_are_64_unless_told_otherwise() -> None:
    X, y = problem(90, 70, 3, separation=0.2)
    assert gbc_pca(X, y) == gbc(X, y, n_components=64) != pytest.approx(gbc(X, y), rel=1e-6)
    assert gbc_pca(X, y) == pytest.approx(literal(PCA(64).fit_transform(X), y, "spherical"), rel=1e-8)
    X, y = problem(90, 7, 3)
    assert gbc_pca(X, y) == pytest.approx(gbc(X, y), rel=1e-10)  # a rotation of all of them


def test_directions_in_which_nothing_varies_are_no_components() -> None:
    """In `gbc` they count, at the floor: they are features."""
    X, y = problem(60, 4, 3)
    wide = X @ np.linalg.qr(np.random.default_rng(1).normal(size=(12, 4)))[0].T
    for dtype in (np.float64, np.float32):
        assert gbc_pca(wide.astype(dtype), y) == pytest.approx(gbc(X, y), rel=1e-5)
    dead = np.hstack([X, np.zeros((60, 5))])
    assert gbc(dead, y) == pytest.approx(literal(dead, y, "spherical"), rel=1e-10)
    assert gbc(dead, y) > gbc_pca(dead, y) + 1e-3
    assert gbc(dead, y, covariance="diagonal") == pytest.approx(gbc(X, y, covariance="diagonal"), rel=1e-12)


@both
@pytest.mark.parametrize("offset", [1e4, 1e6])
@pytest.mark.parametrize("shape", [(200, 5), (9, 14)])
def test_large_means_cost_no_digits(shape: tuple[int, int], offset: float, covariance: Covariance) -> None:
    X, y = problem(*shape, 3, separation=0.3)
    X = np.round(1024 * X) / 1024
    wanted = literal(X, y, covariance)
    assert gbc(X + offset, y, covariance=covariance) == pytest.approx(wanted, rel=1e-9)
    assert gbc_pca(X + offset, y, n_components=3) == pytest.approx(gbc_pca(X, y, n_components=3), rel=1e-9)
    single = (X + 1e4).astype(np.float32)
    stored = single.astype(np.float64) - 1e4
    assert gbc(single, y, covariance=covariance) == pytest.approx(literal(stored, y, covariance), rel=1e-9)


@both
@pytest.mark.parametrize("power", [-5, 0, 4, 8])
def test_classes_without_spread_rest_on_the_floor(power: int, covariance: Covariance) -> None:
    """Of one row, and of copies: what rounding leaves of their variance is none, at any scale."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(9, 1)), [[0.3]], np.full((4, 1), 0.7)]) * 10.0**power
    y = np.array([0] * 9 + [1] + [2] * 4)
    assert gbc(X, y, covariance=covariance) == pytest.approx(literal(X, y, covariance), rel=1e-9)


def test_below_the_floor_every_source_is_the_same_and_told_so() -> None:
    X, y = problem(60, 8, 3, separation=3.0)
    tiny = 1e-10 * X
    assert gbc(1e-5 * X, y) == pytest.approx(-6.0, abs=1e-3)
    assert gbc(tiny, y) == pytest.approx(-6.0, abs=1e-12)
    for name in ("gbc", "gbc_pca"):
        found = ts.score(tiny, y, [name])[name]
        says = "Saturated: all classes coincide, or all variances are below the floor of 1e-4; scale the features up."
        assert (found.saturated, found.standard_error, found.warnings) == (True, None, (says,))
        assert not ts.score(X, y, [name])[name].saturated


def test_in_many_dimensions_no_classes_overlap_and_it_is_told() -> None:
    X, y = problem(60, 400, 3)
    assert gbc(X, y) == pytest.approx(0.0, abs=1e-12)
    assert math.copysign(1.0, gbc(*problem(60, 400, 3, separation=20.0))) == 1.0  # no negative zero
    says = SCORERS["gbc"].saturated(Moments.from_features(X, y), gbc(X, y)) or ""
    assert says.startswith("Saturated: no two classes overlap by more than rounding in so many dimensions; gbc_pca")
    assert gbc(X, y, n_components=1) < -0.01
    assert SCORERS["gbc"].saturated(Moments.from_features(X, y), gbc(X, y, n_components=1)) is None


@pytest.mark.parametrize("name", ["gbc", "gbc_pca"])
def test_saturation_counts_pairs(name: str) -> None:
    """Of four classes there are twelve; one overlap of 1e-11 is more than rounding, twelve of 1e-13 are not."""
    moments = Moments.from_features(*problem(40, 3, 4))
    says = [SCORERS[name].saturated(moments, value) for value in (-12e-13, -13e-12, -12 + 13e-12, -12 + 12e-13)]
    assert [sentence is not None for sentence in says] == [True, False, False, True]


def blocks_of(X: np.ndarray, y: np.ndarray) -> Blocks:
    values, targets = check_inputs(X, y, caller="test")
    return Blocks.of(values, targets, storage_eps(X), seed=0)


@pytest.mark.parametrize("shape", [(60, 6), (20, 40)])
def test_left_out_values_are_those_of_the_rows_that_are_left(shape: tuple[int, int]) -> None:
    X, y = problem(*shape, 3, separation=0.2)
    blocks = blocks_of(X, y)
    found = SCORERS["gbc"].left_out(blocks)  # type: ignore[misc]
    rest = [blocks.without(b) for b in range(len(blocks))]
    np.testing.assert_allclose(found, [gbc(X[rows], y[rows]) for rows in rest], rtol=1e-9)


def test_a_block_may_hold_all_of_the_second_class() -> None:
    """Without it no pair is left and nothing overlaps; the value of all rows is none the less defined."""
    X, _ = problem(40, 3, 2, separation=0.2)
    y = np.array([0] * 39 + [1])
    found = ts.score(X, y, ["gbc"])["gbc"]
    assert found.value == gbc(X, y)
    assert sorted(found.left_out)[-1] == 0.0 > sorted(found.left_out)[-2]
    assert found.standard_error is not None


def test_moments_are_enough_without_components() -> None:
    X, y = problem(30, 4, 2)
    streamed = Moments.from_features(X[:9], y[:9]) + Moments.from_features(X[9:], y[9:])
    for covariance in BOTH:
        assert gbc(None, None, covariance=covariance, moments=streamed) == pytest.approx(
            gbc(X, y, covariance=covariance), rel=1e-10
        )


def test_arrays_stay_as_they_are() -> None:
    X, y = problem(20, 30, 2)
    kept = X.copy()
    X.flags.writeable = y.flags.writeable = False
    gbc(X, y, covariance="diagonal", n_components=3)
    np.testing.assert_array_equal(X, kept)


def test_refusals() -> None:
    X, y = problem(20, 4, 2)
    for fn in (gbc, gbc_pca):
        with pytest.raises(UnknownNameError, match="no covariance of gbc named 'diag'. Did you mean 'diagonal'"):
            fn(X, y, covariance="diag")  # type: ignore[operator]
        for n_components in (0, -1):
            with pytest.raises(ScoreError, match=f"^{fn.__name__}: n_components={n_components}; expected at least 1"):
                fn(X, y, n_components=n_components)  # type: ignore[operator]
        with pytest.raises(ScoreError, match=f"^{fn.__name__}: labels hold fractions such as 0.5; expected classes"):
            fn(X, y + 0.5)  # type: ignore[operator]
    with pytest.raises(ScoreError, match="gbc: these moments are not of 2 classes or more; take them with task='cl"):
        gbc(X, y, moments=Moments.from_features(X, X[:, 0]))
