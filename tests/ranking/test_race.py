"""Racing: prefixes that hold every class, and a winner that is rarely lost."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transferscope.ranking.race import FIRST, LAST, losers, stages
from transferscope.results import Score
from transferscope.scorers.score import score
from transferscope.spending import Dropped


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(2, 200), min_size=2, max_size=12),
    seed=st.integers(0, 100),
)
def test_prefixes_are_nested_whole_and_hold_every_class(counts: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.random.default_rng(seed).permutation(labels)
    parts = stages(labels, seed)
    together = np.concatenate(parts)
    assert sorted(together) == list(range(len(labels)))
    assert all((np.diff(part) > 0).all() for part in parts)
    first = np.bincount(labels[parts[0]], minlength=len(counts))
    assert (first >= 2).all()
    assert len(parts[0]) >= min(len(labels), FIRST)
    sizes = np.cumsum([len(part) for part in parts])
    assert all(later >= LAST * earlier for earlier, later in itertools.pairwise(sizes))
    for n, end in zip(sizes, sizes, strict=True):
        share = np.bincount(labels[together[:end]], minlength=len(counts)) / n
        assert np.abs(share - np.array(counts) / len(labels)).max() <= (2 * len(counts) + 2) / n + 1e-9
    assert all(np.array_equal(a, b) for a, b in zip(parts, stages(labels, seed), strict=True))


def test_few_samples_are_one_stage() -> None:
    assert len(stages(np.repeat([0, 1], 20), 0)) == 1


def made(value: float, n: int, error: float = 0.02) -> Score:
    """A score whose blocks differ by what gives its error."""
    steps = np.linspace(-1, 1, 10) * error / np.sqrt(9 * np.var(np.linspace(-1, 1, 10)))
    return Score("s", value, True, n, 8, 0.0, error, left_out=tuple(value + steps))


def test_nothing_is_dropped_before_growth_is_seen_or_at_the_end() -> None:
    stage = {"a": made(0.9, 64), "b": made(0.2, 64)}
    assert losers([stage], 1000, 5) == ()
    last = {"a": made(0.9, 1000), "b": made(0.2, 1000)}
    assert losers([stage, last], 1000, 5) == ()


def test_a_source_far_behind_that_does_not_gain_is_dropped() -> None:
    seen = [{"a": made(0.8, 64), "b": made(0.3, 64)}, {"a": made(0.9, 128), "b": made(0.3, 128)}]
    [lost] = losers(seen, 1000, 5)
    assert (lost.source, lost.leader, lost.n_samples) == ("b", "a", 128)
    assert lost.gap == pytest.approx(0.6)
    assert 0 < lost.bound <= lost.gap


def test_a_source_that_is_gaining_fast_stays() -> None:
    seen = [{"a": made(0.9, 64), "b": made(0.4, 64)}, {"a": made(0.9, 128), "b": made(0.7, 128)}]
    assert losers(seen, 1000, 5) == ()


def test_a_gain_may_go_on_but_shrinks_with_every_doubling() -> None:
    """Without noise, at 128 of 1024 samples: three more doublings."""
    gain, ahead = 0.16, 0.16 * (0.6 + 0.6**2 + 0.6**3)

    def race(gap: float) -> tuple[Dropped, ...]:
        before = {"a": made(0.9, 64, 0.0), "b": made(0.9 - gap - gain, 64, 0.0)}
        return losers([before, {"a": made(0.9, 128, 0.0), "b": made(0.9 - gap, 128, 0.0)}], 1024, 6)

    assert race(ahead - 0.001) == ()
    [lost] = race(ahead + 0.001)
    assert lost.bound == pytest.approx(0.001)


def test_blocks_that_happen_to_agree_do_not_make_a_gap_certain() -> None:
    """b is as far behind as the noise of the others allows, and its own blocks show none."""
    stage = {"a": made(0.90, 64, 0.0), "b": made(0.85, 64, 0.0)}
    noisy = {name: made(0.88, 64, 0.05) for name in "cde"}

    def race(others: dict[str, Score]) -> list[str]:
        first = {**stage, **others}
        second = {name: replace(score, n_samples=128) for name, score in first.items()}
        return [lost.source for lost in losers([first, second], 1000, 5)]

    assert race({}) == ["b"]
    assert race(noisy) == []


def test_a_missing_score_is_no_ground_for_dropping() -> None:
    seen = [{"a": made(0.9, 64), "b": None, "c": made(0.1, 64)}, {"a": made(0.9, 128), "b": None, "c": None}]
    assert losers(seen, 1000, 5) == ()


def test_lower_is_better_turns_the_race_around() -> None:
    seen = [
        {"a": made(0.1, 64), "b": made(0.8, 64)},
        {"a": made(0.1, 128), "b": made(0.8, 128)},
    ]
    turned = [{name: replace(s, higher_is_better=False) for name, s in stage.items()} for stage in seen]
    assert [lost.source for lost in losers(turned, 1000, 5)] == ["b"]


def test_no_signal_yet_is_no_ground_for_dropping() -> None:
    """Leave-one-out accuracy of two balanced classes reads as 0 there, with no noise at all."""
    seen = [{"a": made(0.58, n), "b": made(0.0, n, 0.0)} for n in (64, 128)]
    assert [lost.source for lost in losers(seen, 1000, 5)] == ["b"]
    assert losers(seen, 1000, 5, chance=0.5) == ()


def problem(rng: np.random.Generator, n_sources: int, n: int, n_classes: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Sources of many widths and strengths: curves cross, some are near the top."""
    labels = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    shared = rng.standard_normal((n, 40))
    bend = 1 / rng.uniform(0.7, 3)
    found = []
    for _ in range(n_sources):
        width = int(2 ** rng.uniform(5, 9))
        strength = 2.2 * rng.uniform(0, 1) ** bend * rng.uniform(0.7, 1.3)
        n_used = max(3, int(rng.uniform(0.1, 1) * width))
        used = np.zeros(width)
        used[rng.permutation(width)[:n_used]] = np.sqrt(width / n_used)
        centres = rng.standard_normal((n_classes, width)) * strength / np.sqrt(width) * used
        noise = shared @ rng.standard_normal((40, width)) / np.sqrt(40) * 0.5 + rng.standard_normal((n, width))
        found.append(centres[labels] + noise * 0.42)
    return found, labels


def run(features: list[np.ndarray], labels: np.ndarray, seed: int) -> tuple[bool, float]:
    """Whether the full-data winner was lost, and the share of forward passes, twins' among them, that was saved."""
    parts, running, seen, used = stages(labels, seed), set(range(len(features))), [], 0
    rows, chance = np.array([], dtype=int), np.bincount(labels).max() / len(labels)
    for number, part in enumerate(parts, 1):
        rows = np.concatenate([rows, part])
        used += len(part) * len(running)
        seen.append(
            {str(s): score(features[s][rows], labels[rows], ["ridge_loo"])["ridge_loo"] for s in sorted(running)}
        )
        if number < len(parts):
            running -= {int(lost.source) for lost in losers(seen, len(labels), len(parts), chance=chance)}
    full = [score(x, labels, ["ridge_loo"])["ridge_loo"].value or 0.0 for x in features]
    spent = used + len(running) * len(labels)  # a source that is dropped spares its random twin too
    return max(full) not in [full[s] for s in running], 1 - spent / (2 * len(features) * len(labels))


def race_many(n_trials: int, sizes: tuple[int, ...]) -> tuple[float, float]:
    results = []
    for trial in range(n_trials):
        rng = np.random.default_rng(trial)
        found = problem(rng, 12, sizes[trial % len(sizes)], (2, 4, 10)[trial % 3])
        results.append(run(*found, seed=trial))
    lost, saved = zip(*results, strict=True)
    return float(np.mean(lost)), float(np.mean(saved))


def test_the_winner_is_rarely_lost_and_much_is_saved() -> None:
    lost, saved = race_many(24, (240, 600))
    assert lost <= 0.09  # two of 24: at a true 5 % more are rare
    assert saved >= 0.4


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_error_of_the_race_is_at_most_its_level() -> None:
    lost, saved = race_many(240, (240, 600, 1000))
    print(f"lost {lost:.3f}, saved {saved:.3f}")
    assert lost <= 0.05
    assert saved >= 0.5
