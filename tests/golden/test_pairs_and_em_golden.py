"""Recorded numbers of the scorers that compare pairs of rows, fit mixtures, or bound an error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from transferscope.features.moments import Moments
from transferscope.scorers import nleep, pactran_dirichlet, pactran_gamma, pactran_gauss, parc, tmi

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text())
CASES = ("separable", "noisy", "wide", "many", "imbalanced", "rankdef", "offset", "dead", "tiny")
Arrays = Mapping[str, np.ndarray]


@cache
def arrays(case: str) -> Arrays:
    with np.load(HERE / f"{case}.npz") as file:
        return {name: file[name] for name in file.files}


def entry(case: str, key: str) -> tuple[Any, float]:
    """The README's rule: `exact` where there is one; and the recommended tolerance, of the value."""
    found = EXPECTED[case][key]
    return found.get("exact", found["value"]), found["tolerance"]


@pytest.mark.parametrize("case", CASES)
def test_tmi(case: str) -> None:
    X, y = arrays(case)["X"], arrays(case)["y"]
    value, tolerance = entry(case, "tmi.official_k3")
    assert tmi(X, y) == pytest.approx(value, rel=tolerance)
    value, tolerance = entry(case, "tmi.official_k3_floor1e-3")
    assert tmi(X, y, k=3, floor=1e-3) == pytest.approx(value, rel=tolerance)


@pytest.mark.parametrize("case", CASES)
def test_pactran_of_source_classes(case: str) -> None:
    P, y = arrays(case)["P"], arrays(case)["y"]
    value, tolerance = entry(case, "pactran_dirichlet.alpha1")
    assert pactran_dirichlet(P, y, alpha=1.0) == pytest.approx(value, rel=tolerance)
    value, tolerance = entry(case, "pactran_gamma.alpha1")
    assert pactran_gamma(P, y, alpha=1.0) == pytest.approx(value, rel=tolerance)


@pytest.mark.parametrize("factor", ["0.1", "1", "10"])
@pytest.mark.parametrize("case", CASES)
def test_pactran_gauss(case: str, factor: str) -> None:
    """Of both variances, and of the loss alone, which their difference gives; far closer than L-BFGS comes."""
    X, y = arrays(case)["X"], arrays(case)["y"]
    large, small = (pactran_gauss(X, y, lda_factor=float(factor), variance=v) for v in ("large", "small"))
    (exact_large, exact_loss, exact_small, _), _ = entry(case, f"pactran_gauss.lda_{factor}")
    assert large == pytest.approx(exact_large, rel=1e-7)
    assert small == pytest.approx(exact_small, rel=1e-7)
    assert (10 * small - large) / 9 == pytest.approx(exact_loss, rel=1e-6)
    if factor == "1":
        assert pactran_gauss(X, y) == large


@pytest.mark.parametrize("case", CASES)
def test_parc(case: str) -> None:
    X, y = arrays(case)["X"], arrays(case)["y"]
    value, tolerance = entry(case, "parc.official_nopca")
    assert parc(X, y, n_components=None) == pytest.approx(value, rel=tolerance)


@pytest.mark.parametrize("case", ["separable", "offset", "wide"])
def test_parc_of_exact_ties(case: str) -> None:
    """The recorded number comes out of labels that rounding has torn in three; this one is of same and different."""
    X, y = arrays(case)["X"], arrays(case)["y"]
    pairs = np.triu_indices(len(y), 1)
    unlike = 1 - np.corrcoef((X - X.mean(axis=0)) / X.std(axis=0))[pairs]
    differ = (y[:, None] != y)[pairs].astype(float)
    exact = 100 * scipy.stats.spearmanr(unlike, differ).statistic
    assert parc(X, y, ties="exact") == pytest.approx(exact, rel=1e-9)
    assert parc(X, y) == pytest.approx(exact, rel=0.015)
    assert parc(X, y) != pytest.approx(exact, rel=1e-4)


def test_parc_of_several_labels() -> None:
    """Where the published code has none: rows with no label or every one are left out."""
    X, Y = arrays("multilabel")["X"], arrays("multilabel")["Y"]
    assert EXPECTED["multilabel"]["parc.official_multilabel"]["value"] == "nan"
    kept = np.flatnonzero(np.ptp(Y, axis=1))
    assert 0 < len(kept) < len(Y)
    pairs = np.triu_indices(len(kept), 1)
    Z = ((X - X.mean(axis=0)) / X.std(axis=0))[kept]
    unlike = [np.round(1 - np.corrcoef(rows)[pairs], 12) for rows in (Z, Y[kept])]
    assert parc(X, Y) == pytest.approx(100 * scipy.stats.spearmanr(*unlike).statistic, rel=1e-9)


@pytest.mark.parametrize("case", ["separable", "noisy"])
def test_nleep(case: str) -> None:
    """The form with the logarithm; and, of the mixture in the caller's order of rows, the form without."""
    X, y = arrays(case)["X"], arrays(case)["y"]
    value, tolerance = entry(case, "nleep.stable_transfer")
    assert nleep(X, y, seed=0) == pytest.approx(value, rel=tolerance)
    module = sys.modules["transferscope.scorers.nleep"]
    scores = module._principal_components(Moments.from_features(X, y), X)
    P = module._responsibilities(scores, 5 * len(set(y.tolist())), 0)
    joint = np.eye(y.max() + 1)[y].T @ P
    value, tolerance = entry(case, "nleep.sfda_repo")
    assert (P * (joint / joint.sum(axis=0))[y]).sum(axis=1).mean() == pytest.approx(value, rel=tolerance)
