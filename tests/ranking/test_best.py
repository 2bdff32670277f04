"""Draws of what sources are worth, and what is told of them: coverage by simulation, and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from transferscope.ranking.best import Measured, draw_together, moderated, standings
from transferscope.scorers.score import score
from transferscope.trust import Standing

BLOCKS = 10
Array = NDArray[np.float64]


def measure(rng: np.random.Generator, truth: Array, rho: float) -> Measured:
    """Values with a standard error of one, correlated between sources, known from ten blocks."""
    n = len(truth)
    common = rng.standard_normal(BLOCKS) * np.sqrt(rho)
    noise = (common + np.sqrt(1 - rho) * rng.standard_normal((n, BLOCKS))) * np.sqrt(BLOCKS)
    on_block = truth[:, None] + noise
    values = on_block.mean(axis=1)
    left_out = (BLOCKS * values[:, None] - on_block) / (BLOCKS - 1)
    return Measured(values, left_out, np.sqrt((BLOCKS - 1) * left_out.var(axis=1)))


def stand(measured: Measured, seed: int = 0, n_draws: int = 1000) -> tuple[Standing, ...]:
    draws = draw_together({"s": measured}, seed=seed, n_draws=n_draws)["s"]
    names = [f"{place:02d}" for place in range(len(measured.values))]
    return standings(draws, names, measured.values, measured.standard_errors)


def coverage(n_sources: int, spread: float, rho: float, n: int) -> tuple[float, float]:
    """How often the best set holds the best source, and rank intervals the true rank."""
    held, ranked = [], []
    for trial in range(n):
        rng = np.random.default_rng((trial, n_sources))
        truth = spread * np.sqrt(1 - rho) * rng.standard_normal(n_sources)
        found = {int(one.source): one for one in stand(measure(rng, truth, rho), trial)}
        rank = np.argsort(np.argsort(-truth)) + 1
        held.append(found[int(truth.argmax())].in_best_set)
        ranked.append(np.mean([one.places[0] <= rank[place] <= one.places[1] for place, one in found.items()]))
    return float(np.mean(held)), float(np.mean(ranked))


@pytest.mark.parametrize("rho", [0.0, 0.6])
@pytest.mark.parametrize("n_sources", [5, 12])
def test_best_sets_hold_the_best_source_in_about_nine_of_ten_draws(n_sources: int, rho: float) -> None:
    """Sources about as far apart as noise is large; a set is whole sources, so it holds a little more than asked."""
    found = [coverage(n_sources, spread, rho, 150) for spread in (0.5, 1.0)]
    held, ranked = np.mean(found, axis=0)
    assert 0.85 <= held <= 0.97, held
    assert ranked >= 0.88, ranked


@pytest.mark.slow
def test_coverage_over_many_settings() -> None:
    cells = {
        (n, spread, rho): coverage(n, spread, rho, 400)
        for n in (2, 5, 12, 40) for spread in (0.5, 1.0, 3.0) for rho in (0.0, 0.6)
    }  # fmt: skip
    for cell, (held, ranked) in cells.items():
        print(cell, f"best set {held:.3f}, ranks {ranked:.3f}")
        assert held >= 0.85, cell
        assert ranked >= 0.9, cell
    usual = [held for (n, spread, _), (held, _) in cells.items() if n >= 5 and spread <= 1]
    assert 0.87 <= np.mean(usual) <= 0.95


def features(rng: np.random.Generator, labels: Array, strengths: Array) -> list[Array]:
    """One set of features per source, with shared noise."""
    shared = rng.standard_normal((len(labels), 8))
    return [
        np.concatenate([s * labels[:, None] + rng.standard_normal((len(labels), 4)), shared], axis=1)
        for s in strengths
    ]


def test_best_sets_of_real_scores_hold_the_truly_best_source() -> None:
    """Truth is the leave-one-out accuracy on many samples; scored are 120 of the same kind."""
    held = []
    for trial in range(60):
        rng = np.random.default_rng(trial)
        strengths = rng.normal(0.35, 0.12, 6)
        many = np.repeat([0.0, 1.0], 2000)
        truth = [score(x, many.astype(int), ["ridge_loo"])["ridge_loo"].value for x in features(rng, many, strengths)]
        few = np.repeat([0.0, 1.0], 60)
        found = [score(x, few.astype(int), ["ridge_loo"])["ridge_loo"] for x in features(rng, few, strengths)]
        measured = Measured(
            np.array([one.value for one in found], dtype=float),
            np.array([one.left_out for one in found]),
            np.array([one.standard_error for one in found], dtype=float),
        )
        best = f"{int(np.argmax(truth)):02d}"
        held.append(next(one.in_best_set for one in stand(measured, trial) if one.source == best))
    assert np.mean(held) >= 0.85, np.mean(held)


def test_errors_that_differ_by_chance_are_made_equal_and_others_kept() -> None:
    rng = np.random.default_rng(0)
    chance = np.sqrt(rng.chisquare(9, 400) / 9)
    found = moderated(chance, 9)
    assert np.ptp(found) < 0.1
    assert found.mean() == pytest.approx(1.0, rel=0.1)
    apart = np.geomspace(0.001, 1000, 400) * chance
    np.testing.assert_allclose(moderated(apart, 9)[200:], apart[200:], rtol=0.15)
    np.testing.assert_allclose(moderated(7 * chance, 9), 7 * found)
    assert list(moderated(np.array([0.0, 1.0]), 9)) == [0.0, 1.0]


def test_best_sets_hold_where_there_is_next_to_no_signal() -> None:
    """Some sources read as 0 and others as 0.5, by how strongly the ridge was chosen to shrink."""
    held = []
    for trial in range(60):
        rng = np.random.default_rng(trial)
        strengths = rng.normal(0.0, 0.05, 8)
        few = np.repeat([0.0, 1.0], 50)
        found = [score(x, few.astype(int), ["ridge_loo"])["ridge_loo"] for x in features(rng, few, strengths)]
        measured = Measured(
            np.array([one.value for one in found], dtype=float),
            np.array([one.left_out for one in found]),
            np.array([one.standard_error for one in found], dtype=float),
        ).at_least(0.5, np.full(8, 100))
        best = f"{int(np.abs(strengths).argmax()):02d}"
        held.append(next(one.in_best_set for one in stand(measured, trial) if one.source == best))
    assert np.mean(held) >= 0.85, np.mean(held)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 9), scale=st.floats(0.01, 100), shift=st.floats(-50, 50))
def test_only_units_change_with_scale_and_shift(seed: int, n: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    one = measure(rng, rng.standard_normal(n), 0.3)
    other = Measured(scale * one.values + shift, scale * one.left_out + shift, scale * one.standard_errors)
    for first, second in zip(stand(one, n_draws=300), stand(other, n_draws=300), strict=True):
        assert (first.source, first.places, first.in_best_set) == (second.source, second.places, second.in_best_set)
        assert first.p_best == pytest.approx(second.p_best, abs=0.02)
        assert second.regret == pytest.approx(scale * (first.regret or 0.0), rel=0.05, abs=1e-6 * scale)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 12))
def test_chances_add_up_and_the_same_seed_gives_the_same(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    measured = measure(rng, rng.standard_normal(n), 0.5)
    found = stand(measured, n_draws=400)
    assert sum(one.p_best for one in found) == pytest.approx(1.0)
    assert sum(one.p_best for one in found if one.in_best_set) >= 0.9 - 1e-9
    assert found == stand(measured, n_draws=400)
    assert [one.value for one in found] == sorted((one.value for one in found), reverse=True)
    assert all(1 <= one.places[0] <= one.places[1] <= n for one in found)


def test_equal_sources_share_the_chance() -> None:
    measured = Measured(np.zeros(4), np.zeros((4, BLOCKS)), np.full(4, 0.1))
    found = stand(measured)
    assert [round(one.p_best, 1) for one in found] == pytest.approx([0.25] * 4, abs=0.06)
    assert all(one.in_best_set for one in found)


def test_a_clear_winner_is_alone() -> None:
    rng = np.random.default_rng(3)
    first, *rest = stand(measure(rng, np.array([40.0, 0.0, 1.0, -2.0]), 0.5))
    assert first.p_best > 0.999
    assert first.places == (1, 1)
    assert [one.in_best_set for one in rest] == [False] * 3


def test_sources_without_a_value_or_its_noise_are_told_apart() -> None:
    values, errors = np.array([0.9, np.nan, 0.5]), np.array([0.01, np.nan, 0.01])
    found = stand(Measured(values, np.full((3, 0), np.nan), errors))
    assert [one.source for one in found] == ["00", "02", "01"]
    assert (found[-1].value, found[-1].p_best, found[-1].in_best_set, found[-1].regret) == (None, 0.0, False, None)
    assert found[0].p_best > 0.99


def test_scorers_of_the_same_samples_share_their_noise() -> None:
    rng = np.random.default_rng(0)
    one = measure(rng, np.zeros(5), 0.0)
    other = Measured(10 * one.values, 10 * one.left_out, 10 * one.standard_errors)
    draws = draw_together({"a": one, "b": other}, seed=1, n_draws=500)
    assert np.corrcoef(draws["a"][:, 0], draws["b"][:, 0])[0, 1] > 0.99
