"""Who joins a race in progress: the posterior by hand, what counts as shown, and real races that someone joins."""

from __future__ import annotations

import importlib
import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

import transferscope as ts
from transferscope.choices import NOISE
from transferscope.confirm import Recipe
from transferscope.confirm.halving import Seen, sampling
from transferscope.confirm.objective import LabelSets
from transferscope.confirm.steer import PARTIAL, Steering, standing
from transferscope.evaluate.table import Table
from transferscope.history.acquire import PRICE
from transferscope.history.store import Store
from transferscope.history.surrogate import GRID, Surrogate
from transferscope.report.race import race_lines
from transferscope.results import Confirmed, Ranking, Truth, load_result
from transferscope.spending import Arm
from transferscope.storage import cache_dir

ROOT = Path(__file__).resolve().parents[2]
NAMES = tuple(f"python:many_models:m{i}" for i in range(5))
# m3 goes with m0, and m4 with m1
PAST = np.array([
    [0.90, 0.50, 0.60, 0.88, 0.52],
    [0.50, 0.85, 0.61, 0.53, 0.86],
    [0.86, 0.45, 0.63, 0.87, 0.44],
    [0.40, 0.81, 0.62, 0.41, 0.80],
    [0.84, 0.58, 0.66, 0.83, 0.57],
    [0.48, 0.75, 0.55, 0.49, 0.77],
])  # fmt: skip
TOOK = np.outer([1.0, 2.0, 1.5, 1.0, 0.7, 1.2], [40.0, 20.0, 30.0, 60.0, 25.0])
RECIPE = Recipe(learning_rates=(1e-2,), n_seeds=1, epochs=4, batch_size=8, patience=4, min_steps=0)


def seen(accuracy: float, epochs: int, *, over: bool = False) -> Seen:
    return Seen(accuracy, epochs, over, 2.0 * epochs)


def arm(place: int, strategy: str = "full") -> Arm:
    return Arm(NAMES[place], strategy, 1e-3)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.open(tmp_path / "past.db")
    made.import_table(Table(tuple(f"t{i}" for i in range(len(PAST))), NAMES, PAST, {}, TOOK), "past")
    return made


@pytest.fixture
def ranking(picture_folder: Path, tiny_models: str) -> Ranking:
    """Five tiny networks, of which the first is the best set."""
    source = Path("tiny_models.py").read_text().replace("def edges():", "def made(seed):").split("def deep():")[0]
    source = source.replace("torch.manual_seed(1)", "torch.manual_seed(seed)")
    functions = "".join(f"\n\ndef m{i}():\n    return made({i})\n" for i in range(len(NAMES)))
    Path("many_models.py").write_text(source + functions)
    sys.modules.pop("many_models", None)
    ranking = ts.rank(f"imagefolder:{picture_folder}", NAMES, twins=False, store=False)
    order = {one.source: one for one in ranking.standings}
    standings = [
        replace(order[name], in_best_set=place == 0, value=1 - place / 10) for place, name in enumerate(NAMES)
    ]
    candidates = sorted(ranking.candidates, key=lambda one: (*NAMES, one.source).index(one.source))
    return replace(ranking, standings=tuple(standings), candidates=tuple(candidates))


def dense(surrogate: Surrogate, observed: dict[str, float], noise: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Means and deviations of all sources, by the textbook's formulas, one scale after another."""
    at, values = surrogate.places(list(observed)), np.array(list(observed.values()))
    errors = np.array([noise[name] for name in observed])
    weights, means, squares = [], [], []
    for step in GRID:
        scale = math.exp(surrogate.log_scale.mean + math.sqrt(surrogate.log_scale.variance) * step)
        prior = surrogate.level.mean + scale * surrogate.mean
        joint = scale**2 * surrogate.covariance + surrogate.level.variance
        own = joint[np.ix_(at, at)] + scale**2 * np.diag(errors)
        gain = joint[:, at] @ np.linalg.inv(own)
        apart = values - prior[at]
        fit = math.exp(-apart @ np.linalg.inv(own) @ apart / 2) / math.sqrt(np.linalg.det(own))
        weights.append(fit * norm.pdf(step))
        means.append(prior + gain @ apart)
        squares.append(np.diag(joint - gain @ joint[at]) + means[-1] ** 2)
    chance = np.array(weights) / sum(weights)
    mean = chance @ np.array(means)
    return mean, np.sqrt(chance @ np.array(squares) - mean**2)


@pytest.mark.parametrize(("shown", "expected"), [((0.80, 0.45), 3), ((0.45, 0.80), 4)])
def test_who_joins_is_whom_the_posterior_by_hand_says(
    ranking: Ranking, store: Store, shown: tuple[float, float], expected: int
) -> None:
    """The source that goes with the better one of those that ran, and the figures that the record tells."""
    steering = Steering.learned(ranking, store)
    assert steering
    surrogate, n_rows = steering.surrogate, 200
    at = {2: {arm(0): seen(shown[0], 2), arm(1): seen(shown[1], 2), arm(2): seen(0.5, 2)}}
    late = steering.late(at, NAMES[:3], epochs=10, n_rows=n_rows)
    observed = {NAMES[place]: one for place, one in enumerate((*shown, 0.5))}
    variance = {name: (n_rows * p + 1) * (n_rows * (1 - p) + 1) / (n_rows + 2) ** 3 for name, p in observed.items()}
    scale = math.exp(surrogate.log_scale.mean)
    noise = {name: PARTIAL * 0.8 + one / scale**2 for name, one in variance.items()}
    mean, deviation = dense(surrogate, observed, noise)
    took = surrogate.predict(None, dict.fromkeys(observed, 4.0)).seconds
    charge = PRICE * scale * took / took.mean()

    def excess(above: float, place: int) -> float:
        at = (above - mean[place]) / deviation[place]
        return float(deviation[place] * (norm.pdf(at) - at * norm.sf(at)))

    best, gain = mean[:3].max(), excess(mean[:3].max(), expected) - excess(1.0, expected)
    values = {place: brentq(lambda g, p=place: excess(g, p) - charge[p], -5, 5) for place in (3, 4)}
    assert max(values, key=lambda place: values[place]) == expected
    assert gain > charge[expected]
    assert late
    assert late.late
    assert (late.source, late.reason, late.late.until) == (NAMES[expected], "results", 2)
    after = late.late.after
    np.testing.assert_allclose(after.mean, mean[expected], atol=1e-7)
    interval = mean[expected] - NOISE * deviation[expected], mean[expected] + NOISE * deviation[expected]
    np.testing.assert_allclose([after.low, after.high], np.clip(interval, 0, 1), atol=1e-7)
    np.testing.assert_allclose(late.late.best, best, atol=1e-7)
    np.testing.assert_allclose(late.late.gain, gain, atol=1e-7)
    np.testing.assert_allclose(late.late.seconds, took[expected])
    scales = np.exp(surrogate.log_scale.mean + math.sqrt(surrogate.log_scale.variance) * GRID)
    plain = surrogate.level.mean + np.average(scales, weights=norm.pdf(GRID)) * surrogate.mean[expected]
    np.testing.assert_allclose(late.late.before.mean, plain)


def test_what_is_measured_otherwise_tells_who_is_better_and_not_how_high(ranking: Ranking, store: Store) -> None:
    alone = Steering.learned(ranking, store)
    for place, factor in enumerate((1.0, 30.0)):  # R squared, far below zero
        outcomes = tuple(
            Confirmed(name, "l", "full", 1 - factor * k, None, 0.1, 9, (), 1.0, metric="R²")
            for k, name in enumerate(NAMES)
        )
        card = replace(ranking.target, content_sha256=f"numbers {place}", task="regression")
        store.record(Truth(card, ranking.split, outcomes, ranking.stamp))
    both = Steering.learned(ranking, store)
    assert alone
    assert both
    for name in ("level", "log_scale"):
        assert vars(getattr(both.surrogate, name)) == vars(getattr(alone.surrogate, name))
    assert both.surrogate.mean[0] > alone.surrogate.mean[0]


def test_nobody_joins_who_is_closed_too_slow_or_not_worth_it(ranking: Ranking, store: Store) -> None:
    steering = Steering.learned(ranking, store)
    assert steering
    at = {2: {arm(0): seen(0.8, 2), arm(1): seen(0.45, 2), arm(2): seen(0.5, 2)}}
    told: dict[str, Any] = {"epochs": 10, "n_rows": 200}
    late = steering.late(at, NAMES[:3], **told)
    assert late
    assert late.late
    other = steering.late(at, (*NAMES[:3], late.source), **told)
    assert other is None or other.source == NAMES[4]
    assert steering.late(at, NAMES, **told) is None
    assert steering.late(at, NAMES[:3], spare=0.1 * late.late.seconds, **told) is None
    assert steering.late({}, NAMES[:3], **told) is None
    perfect = {10: {arm(0): seen(0.5, 10, over=True), arm(1): seen(0.999, 10, over=True)}}
    assert steering.late(perfect, NAMES[:3], epochs=10, n_rows=100_000) is None


def test_a_history_that_knows_none_of_the_sources_steers_nothing(
    ranking: Ranking, store: Store, tmp_path: Path
) -> None:
    assert Steering.learned(ranking, None) is None
    other = Store.open(tmp_path / "other.db")
    other.import_table(Table(("a", "b"), ("x", "y"), np.array([[0.5, 0.6], [0.7, 0.6]])), "others")
    assert Steering.learned(ranking, other) is None
    other.import_table(Table(("c", "d"), NAMES[:2], PAST[:2, :2]), "some")
    steering = Steering.learned(ranking, other)
    assert steering
    assert steering.strangers == set(NAMES[2:])
    assert steering.favourite() in NAMES[:2]
    at = {2: {arm(0): seen(0.6, 2), arm(2): seen(0.9, 2)}}
    late = steering.late(at, (NAMES[0], NAMES[2]), epochs=4, n_rows=50)
    assert late is None or late.source == NAMES[1]  # never one of the strangers
    low = steering.surrogate.predict({NAMES[0]: 0.6}).mean[1]
    assert steering.surrogate.predict({NAMES[0]: 0.6, NAMES[2]: 0.9}).mean[1] > low  # but they tell of the level


def test_those_who_stayed_behind_count_as_if_they_had_gained_like_the_others() -> None:
    at = {
        0: {Arm(NAMES[0], "linear_probe", None): seen(0.5, 0, over=True)},
        2: {
            arm(0): seen(0.4, 2), arm(1): seen(0.6, 2), arm(1, "lp_ft"): seen(0.66, 2), arm(2): seen(0.3, 2),
            arm(3): seen(0.7, 2, over=True),
        },
        4: {arm(1): seen(0.7, 4), arm(0): seen(0.52, 4)},
    }  # fmt: skip
    best, _, ahead = standing(at, 10, 50)
    # m0 has its probe at 2, then 0.52; m1 0.66, then 0.7; the two gained 0.03 on average; m3 has no more to gain
    assert best == pytest.approx(dict(zip(NAMES, (0.52, 0.7, 0.33, 0.7), strict=False)))
    assert ahead == pytest.approx(dict(zip(NAMES, (0.6, 0.6, 0.8, 0.0), strict=False)))


def test_r_squared_below_zero_is_told_as_it_is() -> None:
    at = {2: {arm(0): seen(-3.0, 2), arm(1): seen(-0.5, 2), arm(1, "lp_ft"): seen(-1.0, 2)}}
    best, _, _ = standing(at, 10, 50)
    assert best == pytest.approx({NAMES[0]: -3.0, NAMES[1]: -0.5})


def test_few_rows_are_noise() -> None:
    assert sampling(seen(0.5, 2), 98) == pytest.approx(0.0025)
    assert sampling(seen(1.0, 2), 98) == pytest.approx(0.99 * 0.01 / 100)
    hits = np.arange(98) < 70
    known = Seen(70 / 98, 2, False, hits=hits)
    assert sampling(known, 98) == pytest.approx(sampling(seen(70 / 98, 2), 98))


def test_a_rare_labels_area_is_as_unsure_as_its_rows_tell() -> None:
    """Of two samples with a label among 100, an area says far less than a share of 100 right answers."""
    rng, areas, variances = np.random.default_rng(0), [], []
    labels = (np.arange(100) < 2).astype(float)[:, None]
    for _ in range(300):
        added, _ = LabelSets(1).judge(rng.normal(size=(100, 1)) + labels, labels)
        areas.append(float(added.mean()))
        at = {2: {arm(0): Seen(areas[-1], 2, False, hits=added)}}
        variances.append(standing(at, 10, 100)[1][NAMES[0]])
    assert np.var(areas) > 10 * sampling(seen(float(np.mean(areas)), 2), 100)
    assert 0.4 * np.var(areas) < np.mean(variances) < 2 * np.var(areas)


def timeless(truth: Truth) -> Any:
    """What must not differ between two calls that do the same."""
    assert truth.race
    came = [(one.source, one.reason, one.late and replace(one.late, seconds=0.0)) for one in truth.race.entrants]
    rungs = [replace(rung, seconds=0.0) for rung in truth.race.rungs]
    found = [(one.source, one.strategy, one.accuracy, [run.epochs for run in one.runs]) for one in truth.confirmed]
    return came, rungs, found, truth.race.winner, truth.race.certainty, truth.race.ended


def confirm(ranking: Ranking, store: Store | bool, **changed: Any) -> Truth:
    given = {"race": True, "top": 2, "recipe": RECIPE, "strategy": "full", "confidence": 0.999999, "store": store}
    return ts.confirm(ranking, **{**given, **changed})


def test_a_race_that_somebody_joins_is_recorded_and_repeats_itself(
    ranking: Ranking, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = confirm(ranking, store)
    assert truth.race
    late = [one for one in truth.race.entrants if one.late]
    assert 1 <= len(late) <= 2  # no more than `top`
    assert [one.reason for one in late] == ["results"] * len(late)
    assert len({one.source for one in truth.race.entrants}) == len(truth.race.entrants)
    for one in late:
        mine = [rung for rung in truth.race.rungs if {ran.arm.source for ran in rung.ran} == {one.source}]
        assert mine[0].until == 2  # it began where all do, by itself
        assert one.late
        assert one.late.after.low <= one.late.after.mean <= one.late.after.high
        assert one.late.gain > 0
    said = " ".join(race_lines(truth)).replace("\u00a0", " ")
    assert all(f"{one.source} came in after epoch {one.late.until}, by" in said for one in late if one.late)
    saved = truth.to_json(tmp_path / "t.json")
    assert load_result(saved) == truth
    assert timeless(confirm(ranking, store)) == timeless(truth)
    monkeypatch.setenv("TRANSFERSCOPE_CACHE", str(tmp_path / "again"))
    assert timeless(confirm(ranking, store)) == timeless(truth)
    old = json.loads(saved.read_text())
    for one in old["race"]["entrants"]:
        del one["late"]
    saved.write_text(json.dumps(old))
    read = load_result(saved)
    assert isinstance(read, Truth)
    assert read.race
    assert [one.source for one in read.race.entrants] == [one.source for one in truth.race.entrants]


def test_probes_alone_are_joined_too(ranking: Ranking, store: Store) -> None:
    race = confirm(ranking, store, strategy="linear_probe").race
    assert race
    assert [one.late.until for one in race.entrants if one.late] == [0] * sum(
        one.late is not None for one in race.entrants
    )
    assert {ran.arm.source for rung in race.rungs for ran in rung.ran} == {one.source for one in race.entrants}
    assert {rung.until for rung in race.rungs} == {0}


def test_without_a_history_or_with_named_sources_nobody_joins(ranking: Ranking, store: Store) -> None:
    for truth in (confirm(ranking, False), confirm(ranking, store, sources=NAMES[:3])):
        assert truth.race
        assert not any(one.late for one in truth.race.entrants)
        assert [rung.until for rung in truth.race.rungs] == [2, 4]


@pytest.mark.parametrize("budget", [7.0, 9.0])
def test_a_joined_race_whose_budget_was_spent_goes_on_as_if_it_had_not(
    ranking: Ranking, store: Store, budget: float, clock: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = confirm(ranking, store, budget=budget)
    assert first.race
    assert first.race.ended == "budget"
    assert clock[0] == budget
    second, n_epochs = confirm(ranking, store, budget=1e6), clock[0]
    assert second.race
    assert any(one.late for one in second.race.entrants)
    monkeypatch.setenv("TRANSFERSCOPE_CACHE", str(tmp_path / "straight"))
    straight = confirm(ranking, store, budget=1e6)
    assert timeless(second) == timeless(straight)
    assert clock[0] - n_epochs <= n_epochs  # nothing that the longer race trains was trained twice


def test_the_back_test_keeps_its_budgets_and_counts_who_comes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "reports" / "benchmarks"))
    study = importlib.import_module("steered")
    rng = np.random.default_rng(0)
    accuracy = np.clip(rng.normal(0.6, 0.1, (6, 1)) + rng.normal(0, 0.1, 40) + rng.normal(0, 0.05, (6, 40)), 0, 1)
    seconds = np.exp(rng.normal(4, 0.3, (6, 1)) + rng.normal(0, 0.5, 40))
    table = Table(tuple("abcdef"), tuple(f"s{i}" for i in range(40)), accuracy, {}, seconds)
    found = np.array([study.one_race(table, study.Setup(0.3), target, 0) for target in range(6)])
    regret, spent, late = np.moveaxis(found, -1, 0)
    assert (regret >= 0).all()
    longest = (seconds / seconds.sum(axis=1, keepdims=True)).max() * 40 / study.Setup(0.3).n_ranked
    assert (spent <= np.array(study.Setup(0.3).budgets)[:, None] + longest / study.EPOCHS).all()
    kinds = dict(zip(study.KINDS, np.moveaxis(late, -1, 0), strict=True))
    assert not kinds[study.FIXED].any()
    assert not kinds[study.WIDER].any()
    assert 0 < kinds[study.STEERED].max() <= study.TOP
    again = study.one_race(table, study.Setup(0.3), 2, 0)
    assert np.array_equal(again, found[2])
    one = study.Training({"s": 0.8}, {"s": 20.0}, {"s": 0.5}, {"s": 0.0}, budget=7.0)
    arm = study.arm_of("s")
    assert one.advance([arm], 2)[arm].accuracy == pytest.approx(0.8 * (1 - math.exp(-1)) / (1 - math.exp(-5)))
    assert one.advance([arm], 10)[arm].epochs == 4  # the fourth epoch ends after the budget
    assert one.left() == -1.0


SCRIPT = """
import sys, transferscope as ts
from transferscope.confirm import Recipe, training
from transferscope.history.store import Store
n, train_epoch = [0], training._train_epoch
def slow(*args, **kwargs):
    n[0] += 1
    if n[0] > {epochs}:
        print("here", flush=True)
        import time; time.sleep(600)
    return train_epoch(*args, **kwargs)
training._train_epoch = slow
ts.confirm(ts.load_result(sys.argv[1]), race=True, top=2, recipe={recipe!r}, strategy="full", confidence=0.999999,
           store=Store.open(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_killed_race_goes_on_with_those_who_had_joined(
    ranking: Ranking, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranking.to_json(tmp_path / "r.json")
    monkeypatch.setenv("TRANSFERSCOPE_CACHE", str(tmp_path / "killed"))
    code = SCRIPT.format(recipe=RECIPE, epochs=7)  # three began with two epochs each: in those of the first late one
    command = [sys.executable, "-c", code, str(tmp_path / "r.json"), str(tmp_path / "past.db")]
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert list(cache_dir().glob("runs/*/*/checkpoint.pt"))
    resumed = confirm(ranking, store)
    monkeypatch.setenv("TRANSFERSCOPE_CACHE", str(tmp_path / "straight"))
    assert timeless(resumed) == timeless(confirm(ranking, store))
