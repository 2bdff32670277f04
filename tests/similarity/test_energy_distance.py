"""Energy distance against loops over pairs and against SciPy."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from transferscope.errors import ScoreError, UnknownNameError
from transferscope.similarity import energy_distance

both = pytest.mark.parametrize("estimator", ["biased", "unbiased"])


def samples(n: int, m: int, d: int, seed: int = 0, shift: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) * 1.2 + shift


def literal(s: np.ndarray, t: np.ndarray, estimator: str) -> float:
    """Szekely and Rizzo's definition, a pair at a time."""

    def within(rows: np.ndarray) -> float:
        same = estimator == "biased"
        found = [math.dist(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if same or i != j]
        return sum(found) / len(found)

    return 2 * sum(math.dist(a, b) for a in s for b in t) / (len(s) * len(t)) - within(s) - within(t)


@both
@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 9), m=st.integers(2, 9), d=st.integers(1, 20), seed=st.integers(0, 10**6))
def test_is_its_definition(estimator: str, n: int, m: int, d: int, seed: int) -> None:
    s, t = samples(n, m, d, seed)
    value = energy_distance(s, t, estimator=estimator)  # type: ignore[arg-type]
    assert value == pytest.approx(literal(s, t, estimator), rel=1e-9, abs=1e-12)


def test_library_agrees() -> None:
    s, t = samples(30, 20, 1)
    assert energy_distance(s, t) == pytest.approx(scipy.stats.energy_distance(s[:, 0], t[:, 0]) ** 2, rel=1e-9)
    s, t = samples(30, 20, 6)
    apart = 2 * cdist(s, t).mean() - cdist(s, s).mean() - cdist(t, t).mean()
    assert energy_distance(s, t) == pytest.approx(apart, rel=1e-10)


@both
@settings(max_examples=25, deadline=None)
@given(
    d=st.integers(1, 30), seed=st.integers(0, 10**6), power=st.sampled_from([-8, 0, 8]),
    offset=st.sampled_from([0.0, 1e6]),
)  # fmt: skip
def test_invariances(estimator: str, d: int, seed: int, power: int, offset: float) -> None:
    """To rotation and shift, to which side comes first and the order of rows; in proportion to the scale."""
    s, t = samples(20, 14, d, seed)
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0] * 10.0**power

    def value(a: np.ndarray, b: np.ndarray) -> float:
        return energy_distance(a, b, estimator=estimator)  # type: ignore[arg-type]

    usual = value(s, t)
    assert value((s + offset) @ turn, (t + offset) @ turn) == pytest.approx(10.0**power * usual, rel=1e-6)
    assert value(t, s) == pytest.approx(usual, rel=1e-9)
    assert value(rng.permutation(s), rng.permutation(t)) == pytest.approx(usual, rel=1e-9)


def test_the_same_rows_lie_nowhere_apart() -> None:
    s, _ = samples(30, 2, 4)
    assert energy_distance(s, s) == 0.0
    assert energy_distance(s, s[::-1]) == pytest.approx(0.0, abs=1e-12)
    assert energy_distance(s, np.concatenate([s, s])) == pytest.approx(0.0, abs=1e-12)
    assert energy_distance(s, s, estimator="unbiased") < 0


@both
def test_grows_with_the_shift(estimator: str) -> None:
    shifts = (0, 0.5, 1, 2, 4)
    values = [energy_distance(*samples(150, 120, 3, shift=shift), estimator=estimator) for shift in shifts]
    assert values == sorted(values)
    assert values[-1] > values[0] + 5


def test_only_the_biased_form_is_above_0_by_chance() -> None:
    rng = np.random.default_rng(0)
    pairs = [rng.normal(size=(2, 15, 4)) for _ in range(200)]
    unbiased = [energy_distance(*pair, estimator="unbiased") for pair in pairs]
    assert abs(np.mean(unbiased)) < 4 * np.std(unbiased) / np.sqrt(200)
    assert min(energy_distance(*pair) for pair in pairs) > 0.1


@pytest.mark.parametrize("tightness", [1e-4, 1e-7])
def test_tight_clusters_and_repeated_rows(tightness: float) -> None:
    """Distances within the clusters are all there is to it: an expanded square would leave noise of 1e-8."""
    s, t = samples(8, 7, 3)
    for side in (s, t):
        side *= tightness
        side[::2] += 5.0
    side = np.concatenate([s, s])
    assert energy_distance(s, t[:6]) == pytest.approx(literal(s, t[:6], "biased"), rel=1e-6, abs=1e-14)
    assert energy_distance(side, t) == pytest.approx(literal(s, t, "biased"), rel=1e-9)


def test_degenerate_samples() -> None:
    flat = np.full((4, 3), 0.1)
    assert energy_distance(flat, flat[:2]) == 0.0
    assert energy_distance(flat, flat[:1] + 1) == pytest.approx(2 * math.sqrt(3), rel=1e-12)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    s, t = samples(23, 17, 4)
    value = energy_distance(s, t)
    monkeypatch.setattr(sys.modules["transferscope.similarity.samples"], "BLOCK", 17 * 3)
    assert energy_distance(s, t) == pytest.approx(value, rel=1e-12)


def test_float32_is_computed_in_float64() -> None:
    s, t = (x.astype(np.float32) for x in samples(12, 10, 3))
    value = energy_distance(s.astype(float), t.astype(float))
    assert energy_distance(s, t) == energy_distance(torch.tensor(s), torch.tensor(t)) == value


def test_refusals() -> None:
    s, t = samples(10, 8, 3)
    with pytest.raises(UnknownNameError, match="no estimator of energy_distance named 'unbias'. Did you mean 'unb"):
        energy_distance(s, t, estimator="unbias")  # type: ignore[arg-type]
    with pytest.raises(ScoreError, match="energy_distance: 10 and 1 rows; expected at least 2 on each side"):
        energy_distance(s, t[:1], estimator="unbiased")
    assert energy_distance(s, t[:1]) > 0
