"""Recorded numbers of the scorers that published code or a formula gives: see README.md beside this file."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from transferscope.scorers import emms, energy, least_squares, lfc, ncti, nearest_mean, ped

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text())
CASES = ("separable", "noisy", "wide", "many", "imbalanced", "rankdef", "offset", "dead", "tiny")


@cache
def arrays(case: str) -> dict[str, np.ndarray]:
    with np.load(HERE / f"{case}.npz") as file:
        return {name: file[name] for name in file.files}


def check(case: str, key: str, got: float | tuple[float, ...]) -> None:
    """`exact` where there is one, and a relative tolerance."""
    entry = EXPECTED[case][key]
    wanted = np.asarray(entry.get("exact", entry["value"]), dtype=float)
    assert np.shape(got) == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=entry["tolerance"], atol=0.0, err_msg=f"{case} {key}")


@pytest.mark.parametrize("case", CASES)
def test_etran(case: str) -> None:
    a = arrays(case)
    check(case, "etran.lda", nearest_mean(a["X"], a["y"]))
    check(case, "exact.energy_mean", energy(a["X"]))


@pytest.mark.parametrize(("kernel", "key"), [("dot", "dot"), ("cosine", "cos"), ("correlation", "corr"), ("l2", "l2")])
@pytest.mark.parametrize("case", CASES)
def test_lfc(case: str, kernel: str, key: str) -> None:
    a = arrays(case)
    check(case, f"lfc.{key}", lfc(a["X"], a["y"], kernel=kernel, center=False))  # type: ignore[arg-type]
    assert lfc(a["X"], a["y"], kernel=kernel) > 0.03  # type: ignore[arg-type]


def test_lfc_without_the_mean_sees_what_the_mean_hid() -> None:
    a = arrays("offset")
    assert EXPECTED["offset"]["lfc.dot"]["value"] < 1e-4
    assert lfc(a["X"], a["y"]) > 0.1


@pytest.mark.parametrize("case", ["separable", "noisy", "wide", "imbalanced", "offset", "dead"])
def test_ncti(case: str) -> None:
    check(case, "ncti.official_triple", ncti(arrays(case)["X"], arrays(case)["y"]))


def test_ncti_of_components_that_are_rounding_noise() -> None:
    """44 of 64 are, scaled up to unit variance; the recorded digits are those of the machine that recorded them."""
    wanted = EXPECTED["rankdef"]["ncti.official_triple"]["value"]
    assert ncti(arrays("rankdef")["X"], arrays("rankdef")["y"]) == pytest.approx(tuple(wanted), rel=0.1)


def test_emms() -> None:
    """The released code multiplies by the width of the embeddings, 8, where it should divide."""
    a = arrays("noisy")
    check("noisy", "emms.official", emms(a["X"], a["EY"]) * a["EY"].shape[1] ** 2)


def test_least_squares_without_intercept() -> None:
    a = arrays("regression")
    check("regression", "exact.etran_regression", least_squares(a["X"], a["T"], intercept=False))
    assert least_squares(a["X"], a["T"]) > least_squares(a["X"], a["T"], intercept=False)


@pytest.mark.parametrize("case", ["separable", "noisy"])
def test_ped(case: str) -> None:
    a = arrays(case)
    check(case, "ped.official_sfda", ped(a["X"], a["y"], a["G"]))
