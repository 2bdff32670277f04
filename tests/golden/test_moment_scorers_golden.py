"""Recorded numbers of the scorers that follow from moments: see README.md beside this file."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transferscope.features.moments import Moments
from transferscope.scorers import gbc, gbc_pca, h_score_regularized, sfda, transrate
from transferscope.scorers.h_score_regularized import shrinkage
from transferscope.scorers.lda import Discriminant

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text())
CASES = ("separable", "noisy", "wide", "many", "imbalanced", "rankdef", "offset", "dead", "tiny")


@cache
def arrays(case: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(HERE / f"{case}.npz") as file:
        return file["X"], file["y"]


def check(case: str, key: str, got: float) -> None:
    """`exact` where there is one, and a relative tolerance."""
    entry = EXPECTED[case][key]
    wanted = float(entry.get("exact", entry["value"]))
    slack = entry["tolerance"] * max(1e-12, abs(wanted)) + (1e-9 if abs(wanted) < 1e-9 else 0.0)
    assert abs(got - wanted) <= slack, f"{case} {key}: got {got}, want {wanted}"


CALLS: dict[str, Callable[[Any, Any], float]] = {
    "hscore_reg.tllib": h_score_regularized,
    "exact.ledoit_wolf_shrinkage": lambda X, y: shrinkage(Moments.from_features(X, y)),
    "gbc.stable_transfer_spherical": lambda X, y: gbc(X, y, covariance="spherical", n_components=None),
    "gbc.stable_transfer_diagonal": lambda X, y: gbc(X, y, covariance="diagonal"),
    "transrate.tllib": transrate,
    "exact.transrate_class_weighted": lambda X, y: transrate(X, y, weighting="frequency"),
    "sfda.official": sfda,
}


@pytest.mark.parametrize("key", CALLS)
@pytest.mark.parametrize("case", CASES)
def test_recorded(case: str, key: str) -> None:
    check(case, key, CALLS[key](*arrays(case)))


@pytest.mark.parametrize("case", CASES)
def test_shared_and_streamed_moments_give_the_recorded_numbers(case: str) -> None:
    X, y = arrays(case)
    shared = Moments.from_features(X, y)
    parts = [Moments.from_features(X[start::3], y[start::3]) for start in range(3)]
    streamed = Moments.merge(parts)
    for moments in (shared, streamed):
        check(case, "hscore_reg.tllib", h_score_regularized(None, None, moments=moments))
        check(case, "exact.ledoit_wolf_shrinkage", shrinkage(moments))
        check(case, "gbc.stable_transfer_spherical", gbc(None, None, moments=moments))
        check(case, "gbc.stable_transfer_diagonal", gbc(None, None, covariance="diagonal", moments=moments))
        check(case, "transrate.tllib", transrate(X, y, moments=moments))
        check(case, "sfda.official", sfda(X, y, moments=moments))


def test_published_spherical_form_counts_the_logarithm_once() -> None:
    """So it finds more overlap; ours is the coefficient of the densities."""
    for case in ("separable", "noisy", "imbalanced"):
        entry = EXPECTED[case]["gbc.stable_transfer_spherical"]
        assert not entry["official_agrees_with_exact"]
        assert entry["value"] < gbc(*arrays(case)) - 1e-4


def test_shrinkage_of_sfda_is_the_recorded_one() -> None:
    X, y = arrays("separable")
    assert "shrinkage 6.292406412382855e-08" in EXPECTED["separable"]["sfda.official"]["note"]
    assert Discriminant.of(Moments.from_features(X, y)).shrink == pytest.approx(6.292406412382855e-08, rel=1e-9)
    assert sfda(0.1 * X, y) == pytest.approx(0.767, abs=5e-4)  # which depends on the features' scale


@pytest.mark.parametrize("case", ["separable", "noisy", "many", "imbalanced", "offset"])
def test_all_components_are_all_features(case: str) -> None:
    """A rotation, where no direction is below the floor."""
    X, y = arrays(case)
    entry = EXPECTED[case]["gbc.stable_transfer_spherical"]
    assert gbc_pca(X, y, n_components=X.shape[1]) == pytest.approx(entry["exact"], rel=1e-7)


@pytest.mark.parametrize("case", ["wide", "rankdef", "dead"])
def test_null_directions_are_features_and_no_components(case: str) -> None:
    X, y = arrays(case)
    assert gbc_pca(X, y, n_components=X.shape[1]) < gbc(X, y) - 0.5
