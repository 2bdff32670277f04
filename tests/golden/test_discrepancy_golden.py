"""The recorded numbers of source against target features: what the table of README.md says default calls must give."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transferscope.similarity import (
    coral,
    energy_distance,
    frechet,
    kid,
    otce,
    otdd,
    proxy_a_distance,
    sliced_wasserstein,
)
from transferscope.similarity.otce import otce_parts

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text())["pair"]
PAIR = np.load(HERE / "pair.npz")
S, T, YS, YT = (PAIR[name] for name in ("S", "T", "ys", "yt"))

CALLS: dict[str, Callable[[], Any]] = {
    "kid.torchmetrics_full": lambda: kid(S, T),
    "frechet.torchmetrics": lambda: frechet(S, T),
    "exact.coral_sun_saenko": lambda: coral(S, T),
    "exact.energy_distance_vstat": lambda: energy_distance(S, T),
    "exact.energy_distance_ustat": lambda: energy_distance(S, T, estimator="unbiased"),
    "sliced_wasserstein2.pot": lambda: sliced_wasserstein(S, T),
    "otce.official_W_and_CE": lambda: otce_parts(S, YS, T, YT),
    "exact.otdd_gaussian_p2_squared": lambda: otdd(S, YS, T, YT),
}


@pytest.mark.parametrize("key", CALLS)
def test_recorded_number(key: str) -> None:
    entry = EXPECTED[key]
    wanted = np.asarray(entry.get("exact", entry["value"]), dtype=float)
    got = np.asarray(CALLS[key]())
    assert got.shape == wanted.shape
    assert (np.abs(got - wanted) <= entry["tolerance"] * np.abs(wanted)).all(), f"{key}: got {got}, want {wanted}"


def test_otce_is_the_entropy() -> None:
    entry = EXPECTED["otce.official_W_and_CE"]
    assert otce(S, YS, T, YT) == pytest.approx(entry["exact"][1], rel=1e-9)


def test_coral_as_a_training_loss_is_another_number() -> None:
    """It adds the mean squared gap of means, and has no factor of a quarter."""
    gap = float(np.square(S.mean(axis=0) - T.mean(axis=0)).mean())
    assert gap + 4 * coral(S, T) == pytest.approx(EXPECTED["coral.tllib"]["exact"], rel=1e-9)


def test_domains_are_told_apart() -> None:
    assert 1.0 < proxy_a_distance(S, T) < 1.6
