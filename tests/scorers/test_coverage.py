"""Intervals by simulation: nominal 90 percent ones hold the mean of repeated samples about that often."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as students

import transferscope as ts
from transferscope.results import Score
from transferscope.scorers import SCORERS
from transferscope.scorers.jackknife import N_BLOCKS, paired_difference

HOOKED = [spec.name for spec in SCORERS.values() if spec.left_out]
ACCURACIES = ["ridge_loo", "lda_loo", "knn"]


@dataclass(frozen=True)
class World:
    """Where samples come from, always as many of each class: rows about centres, normal or Student's."""

    counts: tuple[int, ...]
    d: int
    separation: float
    tail: float = math.inf
    decay: float = 0.0
    seed: int = 0

    def samples(self, repetitions: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.random.Generator]]:
        rng = np.random.default_rng(self.seed)
        centres = self.separation * rng.normal(size=(len(self.counts), self.d))
        y = np.repeat(np.arange(len(self.counts)), self.counts)
        scale = np.arange(1, self.d + 1.0) ** -self.decay
        for _ in range(repetitions):
            size = (len(y), self.d)
            noise = rng.normal(size=size) if math.isinf(self.tail) else rng.standard_t(self.tail, size=size)
            yield (centres[y] + noise) * scale, y, rng


WORLDS = {
    "heavy-tailed": World((30,) * 5, 7, 1.0, tail=5.0, decay=1.0),
    "uneven": World((70, 45, 25), 7, 0.7, decay=0.7, seed=2),
}
MORE_WORLDS = {
    **WORLDS,
    "two": World((70, 70), 7, 0.5, decay=0.7, seed=3),
    "ten": World((24,) * 10, 8, 0.7, decay=0.7, seed=3),
    "larger": World((120,) * 4, 20, 0.4, decay=0.5),
}
WIDE = {"as many samples": World((16,) * 3, 48, 0.7), "fewer samples": World((16,) * 3, 60, 0.6, decay=1.0)}


def coverage(found: Sequence[Mapping[str, Score]]) -> dict[str, float]:
    """Share of repetitions whose nominal 90 percent interval holds the mean of all values."""
    shares = {}
    for name in found[0]:
        values = np.array([scores[name].value for scores in found])
        errors = np.array([scores[name].standard_error for scores in found], dtype=float)
        reach = norm.ppf(0.95) if SCORERS[name].is_accuracy else students.ppf(0.95, N_BLOCKS - 1)
        shares[name] = float((np.abs(values - values.mean()) <= reach * errors).mean())
    return shares


def simulated(world: World, names: list[str], repetitions: int) -> dict[str, float]:
    samples = enumerate(world.samples(repetitions))
    return coverage([ts.score(X, y, names, seed=seed) for seed, (X, y, _) in samples])


@pytest.mark.parametrize("name", WORLDS)
def test_intervals_cover_what_they_promise(name: str) -> None:
    shares = simulated(WORLDS[name], [*HOOKED, *ACCURACIES], 400)
    assert all(0.85 <= share <= 0.95 for share in shares.values()), shares


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE_WORLDS)
def test_intervals_cover_in_a_longer_run(name: str) -> None:
    shares = simulated(MORE_WORLDS[name], [*HOOKED, *ACCURACIES], 2000)
    assert all(0.86 <= share <= 0.94 for share in shares.values()), shares


@pytest.mark.parametrize("name", WIDE)
def test_intervals_cover_with_few_samples_for_their_features(name: str) -> None:
    shares = simulated(WIDE[name], ["logme", "h_score_regularized"], 400)
    assert all(0.80 <= share <= 0.97 for share in shares.values()), shares


@pytest.mark.slow
@pytest.mark.parametrize("name", WIDE)
def test_intervals_cover_with_few_samples_in_a_longer_run(name: str) -> None:
    shares = simulated(WIDE[name], ["logme", "h_score_regularized"], 2000)
    assert all(0.83 <= share <= 0.96 for share in shares.values()), shares


# Two sources on the same samples


def beside_noisier(world: World, names: list[str], repetitions: int) -> dict[str, np.ndarray]:
    """Differences from the same features with noise added, paired errors, and those of independent values."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    for seed, (X, y, rng) in enumerate(world.samples(repetitions)):
        noisier = X + 0.3 * X.std(axis=0) * rng.normal(size=X.shape)
        clean, noisy = (ts.score(Z, y, names, seed=seed) for Z in (X, noisier))
        for name in names:
            one, other = clean[name], noisy[name]
            assert one.standard_error is not None
            assert other.standard_error is not None
            apart = math.hypot(one.standard_error, other.standard_error)
            found[name].append((*paired_difference(one, other), apart))
    return {name: np.array(rows).T for name, rows in found.items()}


def check_pairs(found: dict[str, np.ndarray], low: float, high: float) -> None:
    for name, (gaps, errors, apart) in found.items():
        covered = np.abs(gaps - gaps.mean()) <= students.ppf(0.95, N_BLOCKS - 1) * errors
        assert low <= covered.mean() <= high, (name, covered.mean())
        assert errors.mean() < (0.8 if SCORERS[name].is_accuracy else 0.5) * apart.mean(), name


def test_differences_are_known_better_than_values() -> None:
    world = World((30, 30, 30), 6, 1.0, decay=0.7)
    check_pairs(beside_noisier(world, ["h_score", "logme", "ridge_loo"], 400), 0.85, 0.95)


@pytest.mark.slow
def test_differences_are_known_better_in_a_longer_run() -> None:
    world = World((30, 30, 30), 6, 1.0, decay=0.7)
    check_pairs(beside_noisier(world, [*HOOKED, *ACCURACIES], 2000), 0.85, 0.96)
