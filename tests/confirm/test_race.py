"""Races: the halving on made-up learning curves, and real ones on tiny networks."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import transferscope as ts
from transferscope.choices import NOISE
from transferscope.confirm import Recipe, training
from transferscope.confirm.halving import Seen, certainty, difference, halve, race, stages
from transferscope.confirm.network import Network
from transferscope.confirm.race import entrants, seconds_of
from transferscope.confirm.search import plan_of
from transferscope.confirm.strategy import STRATEGIES, Trial
from transferscope.confirm.training import known, train
from transferscope.errors import TransferScopeError
from transferscope.history.store import Store
from transferscope.results import Ranking, Truth, load_result
from transferscope.spending import Arm
from transferscope.storage import cache_dir

TrialOf = Callable[..., Trial]
N_ROWS = 400


class Curves:
    """A table of learning curves: what training would show, without any."""

    def __init__(
        self, curves: Mapping[Arm, Sequence[float]], *, paired: bool = False, limit: float = math.inf
    ) -> None:
        self.curves, self.paired, self.limit = curves, paired, limit
        self.trained = dict.fromkeys(curves, 0)  # epochs; each takes a second
        self.dropped: set[Arm] = set()

    def left(self) -> float:
        return self.limit - sum(self.trained.values())

    def advance(self, arms: Sequence[Arm], until: int) -> dict[Arm, Seen]:
        seen = {}
        for arm in arms:
            assert arm not in self.dropped
            if self.left() <= 0:
                break
            assert self.trained[arm] < until  # nothing is asked for twice
            while self.trained[arm] < until and self.left() > 0:
                self.trained[arm] += 1
            seen[arm] = self.seen(arm, self.trained[arm])
        return seen

    def seen(self, arm: Arm, epochs: int) -> Seen:
        accuracy = max(self.curves[arm][:epochs])
        hits = np.arange(N_ROWS) < round(accuracy * N_ROWS) if self.paired else None
        return Seen(accuracy, epochs, epochs == len(self.curves[arm]), float(epochs), hits)

    def race(self, confidence: float = 0.95) -> Any:
        arms, epochs = list(self.curves), len(next(iter(self.curves.values())))
        return race(
            {}, arms, self.advance, epochs=epochs, n_rows=N_ROWS, confidence=confidence, left=self.left,
            drop=self.dropped.update,
        )  # fmt: skip


def flat(*accuracies: float, epochs: int = 10) -> dict[Arm, list[float]]:
    return {Arm(f"s{i}", "full", 1e-3): [accuracy] * epochs for i, accuracy in enumerate(accuracies)}


def test_stages_at_least_double() -> None:
    assert [stages(n) for n in (1, 2, 3, 4, 10, 20)] == [(1,), (1, 2), (1, 3), (2, 4), (2, 4, 10), (2, 4, 8, 20)]


@settings(max_examples=60, deadline=None)
@given(
    curves=st.lists(st.lists(st.floats(0, 1), min_size=10, max_size=10), min_size=1, max_size=9),
    paired=st.booleans(),
)
def test_rungs_are_those_of_a_simulation_by_brute_force(curves: list[list[float]], paired: bool) -> None:
    table = Curves({Arm(f"s{i}", "full", 1e-3): curve for i, curve in enumerate(curves)}, paired=paired)
    found = table.race(confidence=2.0)  # so that it goes on to the end
    alive, before = list(table.curves), 0
    for rung in found.rungs:
        seen = {arm: table.seen(arm, rung.until) for arm in alive}
        assert {(one.arm, one.epochs, one.accuracy) for one in rung.ran} == {
            (arm, rung.until, one.accuracy) for arm, one in seen.items()
        }
        assert rung.seconds == len(alive) * (rung.until - before)
        before = rung.until
        if rung.until == 10:
            assert not rung.dropped
            break
        order = sorted(alive, key=lambda arm: -seen[arm].accuracy)
        last = order[math.ceil(len(order) / 2) - 1]
        worse = []
        for arm in order[math.ceil(len(order) / 2) :]:
            gap, error = difference(seen[last], seen[arm], N_ROWS)
            if gap > NOISE * error:
                worse.append(arm)
        assert [(one.arm, one.reason, one.epochs) for one in rung.dropped] == [
            (a, "behind", rung.until) for a in worse
        ]
        alive = [arm for arm in alive if arm not in worse]
    assert set(found.contending) == set(alive)
    assert all(table.trained[arm] == 10 for arm in alive)


def test_the_better_half_goes_on_and_ties_with_its_last_one_too() -> None:
    kept, dropped = halve(Curves(flat(0.9, 0.5, 0.88, 0.87, 0.2)).advance(list(flat(*range(5))), 2), N_ROWS, 4)
    assert [arm.source for arm in kept] == ["s0", "s2", "s3"]
    assert [one.arm.source for one in dropped] == ["s1", "s4"]
    assert dropped[0].gap == pytest.approx(0.37)
    kept, dropped = halve(Curves(flat(0.9, 0.89, 0.88, 0.87)).advance(list(flat(*range(4))), 2), N_ROWS, 4)
    assert not dropped


def test_a_short_budget_drops_ties_and_says_so() -> None:
    arms = list(flat(*range(4)))
    kept, dropped = halve(Curves(flat(0.9, 0.89, 0.88, 0.87)).advance(arms, 2), N_ROWS, 4, 6.0)
    assert [arm.source for arm in kept] == ["s0", "s1", "s2"]
    assert [(one.arm.source, one.reason) for one in dropped] == [("s3", "budget")]
    table = Curves(flat(0.9, 0.89, 0.88, 0.87), limit=9)
    found = table.race()
    assert found.ended == "budget"
    assert table.left() == 0
    assert all(one.reason == "budget" for rung in found.rungs for one in rung.dropped)
    assert next(iter(found.contending)).source == "s0"
    assert len(found.contending) == 4
    (arm,) = flat(0.9)
    none = race({arm: Seen(0.9, 0, True)}, [], table.advance, epochs=4, n_rows=9, confidence=0.9, left=lambda: 0.0)
    assert none.ended == "budget"  # no time was left even to see which arms there are


def test_a_race_stops_when_its_winner_is_decided() -> None:
    table = Curves(flat(0.9, 0.6, 0.85, 0.3), paired=True)
    found = table.race()
    assert found.ended == "decided"
    assert [rung.until for rung in found.rungs] == [2]
    close = Curves(flat(0.9, 0.6, 0.899, 0.3), paired=True)
    assert close.race().ended == "done"
    lone = Curves({Arm("s", "full", rate): [accuracy] * 10 for rate, accuracy in ((1e-3, 0.5), (1e-4, 0.9))})
    assert lone.race().ended == "done"  # its rates are what is raced for
    assert lone.trained[Arm("s", "full", 1e-3)] == 2


def test_noise_is_paired_where_rows_are_at_hand() -> None:
    rng = np.random.default_rng(0)
    first = rng.random(N_ROWS) < 0.8
    second = first & (rng.random(N_ROWS) < 0.95)
    paired = difference(*(Seen(float(hits.mean()), 2, False, 1.0, hits) for hits in (first, second)), N_ROWS)
    apart = difference(*(Seen(float(hits.mean()), 2, False, 1.0) for hits in (first, second)), N_ROWS)
    assert paired[0] == pytest.approx(apart[0])
    assert paired[1] < apart[1] / 2
    wins = int((first & ~second).sum())
    assert paired[1] == pytest.approx(math.sqrt(wins + 1 - wins**2 / (N_ROWS + 2)) / (N_ROWS + 2))


def test_certainty_is_seldom_wrong() -> None:
    """Equal arms, four looks at rows that come new each time: a winner is called in at most 5 % of the races."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(300):
        called = False
        for _ in range(4):
            hits = rng.random((3, 100)) < 0.7
            seen = {Arm(f"s{i}", "full", 1e-3): Seen(float(h.mean()), 2, False, 1.0, h) for i, h in enumerate(hits)}
            called |= certainty(seen, 100, 4) >= 0.95
        wrong += called
    assert wrong / 300 <= 0.05


QUICK = Recipe(learning_rates=(3e-3, 1e-2), n_seeds=2, epochs=4, batch_size=8, patience=4)
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
        TransferScopeError, match=r"budget of 1e-06 s was spent before anything was trained; give more"
    ):
        ts.confirm(ranking, budget=1e-6, recipe=QUICK)
    for wrong, said in (("5 samples", "budgeted in time"), (-1.0, "above zero"), ("soon", "expected an amount")):
        with pytest.raises(TransferScopeError, match=said):
            ts.confirm(ranking, budget=wrong)
    assert seconds_of("1h30m") == 5400
    with pytest.raises(TransferScopeError, match="a budget ends a race early"):
        ts.confirm(ranking, budget="5m", race=False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time that passes by a second an epoch only; the first item is now."""
    import sys

    now, train_epoch = [0.0, 0.0], training._train_epoch

    def counting(*args: Any, **kwargs: Any) -> float:
        now[0] += 1.0
        now[1] += 1.0
        return train_epoch(*args, **kwargs)

    monkeypatch.setattr(training, "_train_epoch", counting)
    for name in ("race", "confirm"):
        module = sys.modules[f"transferscope.confirm.{name}"]
        monkeypatch.setattr(module, "time", type("Clock", (), {"perf_counter": staticmethod(lambda: now[0])}))
    return now


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
    found = entrants(six, None, 6, store)
    assert [(one.source, one.reason) for one in found[:3]] == [
        ("s0", "best set"),
        ("s1", "best set"),
        ("s4", "history"),
    ]
    assert found[3].reason == "random"
    assert found[3].source in {"s2", "s3", "s5"}
    assert entrants(six, None, 6, store) == found
    assert [one.source for one in entrants(six, None, 1, None)][:1] == ["s0"]
    assert [one.reason for one in entrants(six, list(candidates[:2]), 6, store)] == ["asked", "asked"]


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
