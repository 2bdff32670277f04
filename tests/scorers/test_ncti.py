"""NCTI's three parts against their definition, step by step, and the laws that small problems cannot show."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from scipy.linalg import eigh

import transferscope as ts
from transferscope.errors import ScoreError
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS, ncti, ncti_ncc, ncti_seli, ncti_vc
from transferscope.scorers.ncti import NCTI


def problem(
    n: int = 150, d: int = 70, k: int = 4, *, seed: int = 0, separation: float = 1.0, scale: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return scale * (separation * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d))), y


def literal(X: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Principal components, shrunk covariances, Fisher's problem, Gaussian posteriors and singular values."""
    n, classes = len(X), range(y.max() + 1)
    centred = X - X.mean(axis=0)
    U, s, _ = np.linalg.svd(centred, full_matrices=False)
    Z = U[:, :64] * s[:64]
    h = math.exp(-sum(s[:32] ** 2 / (n - 1)))
    h = h if h > 1e-10 else 0.0

    def shrunk(rows: np.ndarray) -> np.ndarray:
        covariance = np.cov(rows, rowvar=False, bias=True)
        return (1 - h) * covariance + h * np.trace(covariance) / 64 * np.eye(64)

    shares = [np.mean(y == c) for c in classes]
    means = np.stack([Z[y == c].mean(axis=0) for c in classes])
    within = sum(share * shrunk(Z[y == c]) for share, c in zip(shares, classes, strict=True))
    between = shrunk(Z) - within
    _, vectors = eigh(between, within)
    projected = Z @ vectors[:, ::-1][:, : len(shares) - 1]
    inverse = np.linalg.inv(within)
    Q = np.zeros((n, len(shares)))
    for i, row in enumerate(Z):
        logs = np.array(
            [-0.5 * (row - m) @ inverse @ (row - m) + math.log(p) for m, p in zip(means, shares, strict=True)]
        )
        odds = np.exp(logs - logs.max())
        Q[i] = odds / odds.sum()
    seli = np.linalg.svd(projected - projected.mean(axis=0), compute_uv=False).sum()
    ncc = np.mean([Q[i, c] for i, c in enumerate(y)])
    vc = math.log(sum(np.linalg.svd(Q[y == c], compute_uv=False).sum() for c in classes))
    return float(seli), float(ncc), vc


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.1])  # without shrinkage, with a little and with much
@pytest.mark.parametrize("shape", [(150, 70, 4), (90, 120, 3), (300, 64, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_is_its_definition(shape: tuple[int, int, int], seed: int, scale: float) -> None:
    X, y = problem(*shape, seed=seed, separation=0.3, scale=scale)
    assert ncti(X, y) == pytest.approx(literal(X, y), rel=1e-7)


def test_the_three_scorers_are_its_parts() -> None:
    X, y = problem()
    parts = ncti(X, y)
    assert isinstance(parts, NCTI)
    assert (ncti_seli(X, y), ncti_ncc(X, y), ncti_vc(X, y)) == parts
    assert all(type(part) is float for part in parts)
    assert "ncti" not in SCORERS
    assert ncti is sys.modules["transferscope.scorers.ncti"].ncti


@pytest.mark.parametrize("seed", range(3))
def test_separation_moves_every_part_its_way(seed: int) -> None:
    found = [ncti(*problem(500, 66, 4, seed=seed, separation=s)) for s in (0.0, 0.15, 0.3, 0.6)]
    for part, direction in ((0, 1), (1, 1), (2, -1)):
        values = [direction * parts[part] for parts in found]
        if part < 2:  # the third prefers rows that are all unsure, or all sure, to a mixture
            assert values == sorted(values)
            assert values[-1] > 1.05 * values[0]
    assert found[-1].vc < max(parts.vc for parts in found[:-1])


def test_shuffled_labels_are_near_chance() -> None:
    X, y = problem(2000, 66, 4, separation=1.0)
    shuffled = ncti(X, np.random.default_rng(0).permutation(y))
    assert 0.25 < shuffled.ncc < 0.32
    assert ncti(X, y).ncc > 0.99
    assert shuffled.seli < 0.5 * ncti(X, y).seli


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_what_does_not_matter(scale: float) -> None:
    """Order of rows, names of classes, rotation, and a mean a million deviations away."""
    X, y = problem(scale=scale)
    wanted = pytest.approx(ncti(X, y), rel=1e-7)
    rng = np.random.default_rng(1)
    order = rng.permutation(len(y))
    assert ncti(X[order], y[order]) == wanted
    assert ncti(X, np.array(["pear", "apple", "fig", "a fig"])[y]) == wanted
    assert ncti(X, y * 17 - 40) == wanted
    assert ncti(X @ np.linalg.qr(rng.normal(size=(70, 70)))[0] + 1e6 * scale, y) == wanted
    assert ncti(torch.tensor(X), torch.tensor(y)) == ncti(X, y)
    assert ncti(X.astype(np.float32), y) == pytest.approx(ncti(X, y), rel=1e-4)


def test_scale_matters_until_shrinkage_ends() -> None:
    X, y = problem(separation=0.2)
    assert ncti(1e8 * X, y) == pytest.approx(ncti(X, y), rel=1e-9)
    assert ncti(0.1 * X, y).ncc < ncti(X, y).ncc - 0.01
    assert np.isfinite(ncti(1e-8 * X, y)).all()
    says = ["Features this small are shrunk altogether, so that its projections are arbitrary; scale them up."]
    assert SCORERS["ncti_seli"].caveats(Moments.from_features(1e-5 * X, y)) == says
    assert SCORERS["ncti_seli"].caveats(Moments.from_features(0.1 * X, y)) == []


def test_rows_that_are_all_equal() -> None:
    y = np.arange(90) % 3
    shares = math.sqrt(3 * (1 / 3) ** 2)
    for value in (0.0, 0.1, -1e8):
        parts = ncti(np.full((90, 70), value), y)
        assert parts == pytest.approx((0.0, 1 / 3, math.log(3 * math.sqrt(30) * shares)), rel=1e-12)
    says = "Saturated: probabilities that are the same for every row have the least norm, whatever the labels."
    saturated = SCORERS["ncti_vc"].saturated
    assert saturated(Moments.from_features(np.zeros((90, 70)), y), 1.0) == says
    assert saturated(Moments.from_features(*problem()), 1.0) is None


def test_classes_of_one_row_and_features_that_are_constant() -> None:
    X, _ = problem(100, 70)
    y = np.array([0] * 97 + [1, 2, 3])
    assert np.isfinite(ncti(X, y)).all()
    assert np.isfinite(ncti(0.1 * X, y)).all()
    X, y = problem()
    padded = np.hstack([X, np.zeros((150, 5)), np.full((150, 2), 7.0)])
    assert ncti(padded, y) == pytest.approx(ncti(X, y), rel=1e-8)


def test_components_of_rounding_noise_are_told() -> None:
    X, y = problem(150, 20)
    wide = X @ np.random.default_rng(1).normal(size=(20, 80))
    says = ["44 of its 64 principal components are rounding noise."]
    for name in ("ncti_seli", "ncti_ncc", "ncti_vc"):
        assert SCORERS[name].caveats(Moments.from_features(wide, y)) == says
        assert SCORERS[name].caveats(Moments.from_features(*problem())) == []
    assert np.isfinite(ncti(wide, y)).all()


def test_few_samples_are_told_apart_whatever_the_labels() -> None:
    X, y = problem(70, 100, 3)
    shuffled = np.random.default_rng(0).permutation(y)
    assert ncti_ncc(X, shuffled) > 1 - 1e-6
    found = ts.score(X, shuffled, ["ncti_ncc", "ncti_seli"])
    assert found["ncti_ncc"].saturated
    assert found["ncti_ncc"].warnings[0].startswith("Saturated: 64 components are certain of all 70 samples that they")
    assert not found["ncti_seli"].saturated
    assert not ts.score(*problem(500, 70, separation=0.2), ["ncti_ncc"])["ncti_ncc"].saturated


def test_the_mean_of_what_samples_add() -> None:
    X, y = problem(separation=0.3)
    each = SCORERS["ncti_ncc"].per_sample(X, y)  # type: ignore[misc]
    assert each.shape == (150,)
    assert ncti_ncc(X, y) == each.mean()
    assert SCORERS["ncti_seli"].per_sample is None


def test_arrays_stay_as_they_are() -> None:
    X, y = problem()
    kept = X.copy()
    X.flags.writeable = y.flags.writeable = False
    ncti(X, y)
    np.testing.assert_array_equal(X, kept)


@pytest.mark.parametrize("shape", [(63, 70), (70, 63), (10, 4)])
def test_fewer_than_64_rows_or_features(shape: tuple[int, int]) -> None:
    X, y = problem(*shape, 3)
    says = (
        f"^ncti: {shape[0]} rows of {shape[1]} features; it is defined on 64 principal components, so from 64 of each"
    )
    with pytest.raises(ScoreError, match=says):
        ncti(X, y)
    for name in ("ncti_seli", "ncti_ncc", "ncti_vc"):
        with pytest.raises(ScoreError, match=f"^{name}: {shape[0]} rows of {shape[1]} features"):
            SCORERS[name].fn(X, y)


def test_refusals() -> None:
    X, y = problem()
    with pytest.raises(ScoreError, match="ncti: rows of one class are all equal, in every class; expected some spr"):
        ncti(X[y], y)
    with pytest.raises(ScoreError, match="ncti: rows of one class are all equal"):
        ncti(X, np.arange(150))
    with pytest.raises(ScoreError, match="ncti: labels hold fractions such as 0.5; expected classes"):
        ncti(X, y + 0.5)
