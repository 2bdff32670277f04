"""Races of tiny networks: what is trained, what is tested, and what a budget leaves; see also `test_halving`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import transferscope as ts
from transferscope.confirm import Recipe
from transferscope.confirm.network import Network
from transferscope.confirm.race import entrants, seconds_of
from transferscope.confirm.search import plan_of
from transferscope.confirm.steer import Steering
from transferscope.confirm.strategy import STRATEGIES, Trial
from transferscope.confirm.training import known, train
from transferscope.errors import TransferScopeError
from transferscope.history.store import Store
from transferscope.results import Ranking, Truth, load_result
from transferscope.storage import cache_dir

TrialOf = Callable[..., Trial]
QUICK = Recipe(learning_rates=(3e-3, 1e-2), n_seeds=2, epochs=4, batch_size=8, patience=4, min_steps=0)
SOURCES = ["python:tiny_models:edges", "python:tiny_models:deep"]


@pytest.fixture
def ranking(picture_folder: Path, tiny_models: str) -> Ranking:
    return ts.rank(f"imagefolder:{picture_folder}", SOURCES, twins=False)


def timeless(truth: Truth) -> Truth:
    """Without what differs between two runs that do the same."""

    def run(one: Any) -> Any:
        return replace(one, seconds=0.0, peak_memory=None)

    confirmed = tuple(
        replace(c, seconds=0.0, runs=tuple(run(one) for one in c.runs)) for c in truth.confirmed
    )  # fmt: skip
    assert truth.race
    rungs = tuple(replace(rung, seconds=0.0) for rung in truth.race.rungs)
    race = replace(truth.race, rungs=rungs, seconds=0.0, full_seconds=None, budget=None)
    stamp = replace(truth.stamp, created="", seconds={}, command="")
    return replace(truth, confirmed=confirmed, race=race, stamp=stamp)


@pytest.mark.parametrize("strategy", ["full", "lp_ft"])
def test_an_arm_that_rests_between_stages_ends_bit_for_bit_as_one_that_does_not(
    trial_of: TrialOf, strategy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def plan() -> Any:
        trial = trial_of("cnn", strategy, replace(QUICK, epochs=5))
        make = STRATEGIES[strategy].tuning
        assert make is not None
        return plan_of(trial, make(trial), 3e-3, None, 0)

    straight = train(plan())
    monkeypatch.setenv("TRANSFERSCOPE_CACHE", str(tmp_path / "stages"))
    for until in (2, 4, 4, 5):
        part = train(replace(plan(), until=until))
        assert part.over == (until == 5)
        assert part.epochs == straight.epochs[:until]
        past = known(replace(plan(), until=2))
        assert past is not None
        assert past.epochs == straight.epochs[:2]
        if until == 2:
            first = past
        assert past.validation_accuracy == first.validation_accuracy
        assert np.array_equal(past.hits, first.hits)
    assert (part.validation_accuracy, part.collapsed) == (straight.validation_accuracy, straight.collapsed)
    one, other = (torch.load(found.weights) for found in (part, straight))
    for name, value in one["body"].items():
        assert torch.equal(value, other["body"][name]), name
    for name, value in one["heads"].items():
        assert torch.equal(value, other["heads"][name]), name


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int]]:
    """Source, strategy and number of rows of every prediction."""
    from transferscope.confirm import probe

    found: list[tuple[str, str, int]] = []
    judge, held_out = Network.judge, probe.held_out_part

    def noting(self: Network, rows: np.ndarray) -> Any:
        if np.array_equal(rows, self.trial.split.test):
            found.append((self.trial.source.card.name, self.trial.strategy, self.seed))
        return judge(self, rows)

    def noting_too(trial: Trial) -> Any:
        found.append((trial.source.card.name, trial.strategy, trial.seed))
        return held_out(trial)

    monkeypatch.setattr(Network, "judge", noting)
    import sys

    monkeypatch.setattr(sys.modules["transferscope.confirm.linear_probe"], "held_out_part", noting_too)
    return found


def test_only_finalists_are_tested_and_once(ranking: Ranking, read: list, tmp_path: Path) -> None:
    truth = ts.confirm(ranking, race=True, recipe=QUICK)
    assert truth.race
    assert truth.race.ended in ("done", "decided")
    assert 1 <= len(truth.confirmed) <= 3
    tested = [(c.source, c.strategy, r.seed) for c in truth.confirmed for r in c.runs if r.test_accuracy is not None]
    assert sorted(read) == sorted(tested)
    for found in truth.confirmed:
        seeds = [run.seed for run in found.runs if run.test_accuracy is not None]
        assert seeds == ([0] if found.strategy == "linear_probe" else [0, 1])
    assert load_result(truth.to_json(tmp_path / "t.json")) == truth
    assert not list(cache_dir().glob("runs/*/*/*.pt"))
    again = ts.confirm(ranking, race=True, recipe=QUICK)
    assert timeless(again) == timeless(truth)
    assert sorted(read) == sorted(tested)


def test_probes_alone_are_a_race_that_repeats_itself(ranking: Ranking, read: list) -> None:
    first, second = (ts.confirm(ranking, race=True, strategy="linear_probe") for _ in range(2))
    assert timeless(first) == timeless(second)
    assert sorted(read) == sorted((source, "linear_probe", 0) for source in SOURCES)
    assert first.race
    assert [rung.until for rung in first.race.rungs] == [0]
    assert first.race.winner.learning_rate is None


def test_a_source_that_fails_is_listed_and_the_others_go_on(ranking: Ranking, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Network.judge

    def failing(self: Network, rows: np.ndarray) -> Any:
        if self.trial.source.card.name == SOURCES[1]:
            raise RuntimeError("no such thing")
        return judge(self, rows)

    monkeypatch.setattr(Network, "judge", failing)
    truth = ts.confirm(ranking, race=True, strategy="full", recipe=QUICK)
    (failure,) = truth.failures
    assert (failure.source, failure.reason) == (SOURCES[1], "full: RuntimeError: no such thing")
    assert [found.source for found in truth.confirmed] == SOURCES[:1]


def test_a_race_is_the_same_under_the_same_seed(
    ranking: Ranking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = ts.confirm(ranking, race=True, recipe=QUICK, strategy=["linear_probe", "full"], store=False)
    monkeypatch.setenv("TRANSFERSCOPE_CACHE", str(tmp_path / "again"))
    second = ts.confirm(ranking, race=True, recipe=QUICK, strategy=["linear_probe", "full"], store=False)
    assert timeless(first) == timeless(second)


def test_plain_confirmation_after_a_race_trains_what_it_lacks(ranking: Ranking) -> None:
    ts.confirm(ranking, race=True, recipe=QUICK, strategy="full")
    plain = ts.confirm(ranking, recipe=QUICK, strategy="full")
    assert not plain.failures
    assert plain.race is None
    assert all(len(run.epochs) == 4 for found in plain.confirmed for run in found.runs)
    raced = ts.confirm(ranking, race=True, recipe=QUICK, strategy="full")
    best = max(plain.confirmed, key=lambda found: max(run.validation_accuracy for run in found.runs))
    assert best in raced.confirmed  # finished already, so it takes part as it is


def test_hardly_any_budget_is_one_clear_error(ranking: Ranking) -> None:
    with pytest.raises(
        TransferScopeError, match=r"budget of 1e-06 s was spent before anything was measured; give more"
    ):
        ts.confirm(ranking, budget=1e-6, recipe=QUICK)
    for wrong, said in (("5 samples", "budgeted in time"), (-1.0, "above zero"), ("soon", "expected an amount")):
        with pytest.raises(TransferScopeError, match=said):
            ts.confirm(ranking, budget=wrong)
    assert seconds_of("1h30m") == 5400
    with pytest.raises(TransferScopeError, match="a budget ends a race early"):
        ts.confirm(ranking, budget="5m", race=False)


def test_a_spent_budget_reports_the_best_so_far_and_goes_on(
    ranking: Ranking, clock: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = Store.open(tmp_path / "kept.db")
    settings: dict[str, Any] = {"recipe": QUICK, "strategy": ["full"], "store": store}
    first = ts.confirm(ranking, budget=3.0, **settings)
    assert clock[1] == 3
    assert first.race
    assert first.race.ended == "budget"
    assert not first.race.finished
    (found,) = first.confirmed
    (tested,) = [run for run in found.runs if run.test_accuracy is not None]
    assert tested.note
    assert tested.note.startswith("stopped after ")
    assert sum(len(run.epochs) for run in found.runs) <= 3
    assert not store.rows()
    second = ts.confirm(ranking, budget=1000.0, **settings)
    assert len(store.rows()) == len(second.confirmed)
    n_epochs = clock[1]
    monkeypatch.setenv("TRANSFERSCOPE_CACHE", str(tmp_path / "straight"))
    straight = ts.confirm(ranking, budget=1000.0, **settings)
    assert clock[1] - n_epochs == n_epochs  # nothing was trained twice
    assert timeless(second) == timeless(straight)


def test_the_historys_favourite_and_a_random_source_run_too(ranking: Ranking, tmp_path: Path) -> None:
    standings = tuple(
        replace(ranking.standings[0], source=f"s{i}", in_best_set=i < 2, value=1.0 - i / 10) for i in range(6)
    )
    best = ranking.best()[0]
    candidates = tuple(replace(best, source=f"s{i}") for i in range(6))
    six = replace(ranking, standings=standings, candidates=candidates)
    table = Path(tmp_path / "past.csv")
    table.write_text("target,source,accuracy\n" + "".join(
        f"t{t},s{s},{0.9 if s == 4 else 0.5 + s / 100 + t / 50}\n" for t in range(4) for s in range(6)))  # fmt: skip
    from transferscope.evaluate.read import read_table

    store = Store.open(tmp_path / "h.db")
    store.import_table(read_table(table), "past.csv")
    steering = Steering.learned(six, store)
    found = entrants(six, None, 6, steering)
    assert [(one.source, one.reason) for one in found[:3]] == [
        ("s0", "best set"),
        ("s1", "best set"),
        ("s4", "history"),
    ]
    assert found[3].reason == "random"
    assert found[3].source in {"s2", "s3", "s5"}
    assert entrants(six, None, 6, steering) == found
    assert [one.source for one in entrants(six, None, 1, None)][:1] == ["s0"]
    assert [one.reason for one in entrants(six, list(candidates[:2]), 6, steering)] == ["asked", "asked"]


def test_what_a_race_says_of_its_price_and_of_the_scores(ranking: Ranking) -> None:
    race = ts.confirm(ranking, race=True, recipe=QUICK, top=1, sources=None).race
    assert race
    assert race.full_seconds
    assert race.seconds <= race.full_seconds * 1.5  # patience and stages save; the finals are in both
    assert race.n_compared == 2
    assert race.regret is not None
    assert 0 <= race.regret <= 1
    assert race.weighted_kendall is None or -1 <= race.weighted_kendall <= 1


def test_a_truth_from_before_races_is_read(ranking: Ranking, tmp_path: Path) -> None:
    truth = ts.confirm(ranking, strategy="linear_probe", top=1)
    path = truth.to_json(tmp_path / "t.json")
    data = json.loads(path.read_text())
    del data["race"]
    path.write_text(json.dumps(data))
    assert load_result(path) == truth
