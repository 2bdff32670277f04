"""Successive halving on made-up learning curves, without any training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transferscope.choices import NOISE
from transferscope.confirm.halving import Seen, certainty, difference, halve, race, stages
from transferscope.spending import Arm

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


class Guests:
    """Who comes in after each stage, one at a time; what is told is kept."""

    def __init__(self, table: Curves, by_stage: Mapping[int, Sequence[Arm]]) -> None:
        self.table, self.waiting = table, {stage: list(arms) for stage, arms in by_stage.items()}
        self.spares: list[float] = []

    def __call__(self, at: Mapping[int, Mapping[Arm, Seen]], spare: float) -> tuple[dict[Arm, Seen], list[Arm]] | None:
        for stage, seen in at.items():
            assert all(one.epochs == stage for one in seen.values())
        self.spares.append(spare)
        waiting = self.waiting.get(max(at), [])
        return ({}, [waiting.pop(0)]) if waiting else None


@settings(max_examples=80, deadline=None)
@given(
    curves=st.lists(st.lists(st.floats(0, 1), min_size=10, max_size=10), min_size=1, max_size=10),
    comes=st.lists(st.sampled_from([0, 0, 2, 4, 10]), min_size=10, max_size=10),
    paired=st.booleans(),
)
def test_late_arms_are_judged_as_a_simulation_by_brute_force_does(
    curves: list[list[float]], comes: list[int], paired: bool
) -> None:
    """At every stage a late one goes on as if it had been there, and nobody that went on is called back."""
    arms = [Arm(f"s{i}", "full", 1e-3) for i in range(len(curves))]
    table = Curves(dict(zip(arms, curves, strict=True)), paired=paired)
    start = [arm for arm, stage in zip(arms, comes, strict=False) if stage == 0 or arm == arms[0]]
    guests = {
        n: [a for a, stage in zip(arms, comes, strict=False) if stage == n and a not in start] for n in (2, 4, 10)
    }
    expected: list[tuple[int, set[Arm], set[Arm]]] = []
    there: dict[int, list[Arm]] = {2: [], 4: [], 10: []}

    def step(group: list[Arm], stage: int) -> list[Arm]:
        everyone = there[stage] = [*there[stage], *group]
        seen = {arm: table.seen(arm, stage) for arm in everyone}
        order = sorted(everyone, key=lambda arm: -seen[arm].accuracy)
        gone = set()
        for arm in order[math.ceil(len(order) / 2) :] if stage < 10 else ():
            gap, error = difference(seen[order[math.ceil(len(order) / 2) - 1]], seen[arm], N_ROWS)
            gone |= {arm} & set(group) if gap > NOISE * error else set()
        if group:
            expected.append((stage, set(group), gone))
        return [arm for arm in group if arm not in gone]

    alive = start
    for stage in (2, 4, 10):
        if not (alive := step(alive, stage)):
            break
        for guest in guests[stage]:
            mine = [guest]
            for earlier in (one for one in (2, 4, 10) if one <= stage):
                mine = step(mine, earlier)
            alive = [*alive, *mine]
    found = race(
        {}, start, table.advance, epochs=10, n_rows=N_ROWS, confidence=2.0, drop=table.dropped.update,
        invite=Guests(table, guests),
    )  # fmt: skip
    assert [(rung.until, {o.arm for o in rung.ran}, {o.arm for o in rung.dropped}) for rung in found.rungs] == expected
    assert set(found.contending) == set(alive)
    assert table.dropped == {arm for _, _, gone in expected for arm in gone}
    assert sum(rung.seconds for rung in found.rungs) == sum(table.trained.values())


def test_late_arms_get_the_time_that_the_others_do_not_need() -> None:
    arms = list(flat(0.9, 0.89, 0.895, 0.91))
    table = Curves(flat(0.9, 0.89, 0.895, 0.91), limit=30)
    guests = Guests(table, {2: [arms[2]], 4: [arms[3]]})
    found = race(
        {}, arms[:2], table.advance, epochs=10, n_rows=N_ROWS, confidence=2.0, left=table.left, invite=guests
    )  # fmt: skip
    # after 2 epochs of two arms 26 are left, of which these need 16; then 24 and 24: nobody is asked for more
    assert guests.spares == [10.0]
    assert [(rung.until, len(rung.ran)) for rung in found.rungs] == [(2, 2), (2, 1), (4, 3), (10, 3)]
    assert found.ended == "done"
    short = Curves(flat(0.9, 0.89, 0.895), limit=21)
    late = Guests(short, {10: [arms[2]]})
    spent = race({}, arms[:2], short.advance, epochs=10, n_rows=N_ROWS, confidence=2.0, left=short.left, invite=late)
    assert spent.ended == "budget"  # it came in for the last second
    assert spent.benched == {arms[2]}
    assert [one.reason for rung in spent.rungs for one in rung.dropped] == ["budget"]


def test_who_comes_in_late_may_be_asked_to_prove_it() -> None:
    """A race that its first arms would end goes on while a new one is not told from the best."""
    arms = list(flat(0.9, 0.6, 0.9))
    table = Curves(flat(0.9, 0.6, 0.9), paired=True)
    alone = race({}, arms[:2], table.advance, epochs=10, n_rows=N_ROWS, confidence=0.95)
    assert (alone.ended, [rung.until for rung in alone.rungs]) == ("decided", [2])
    table = Curves(flat(0.9, 0.6, 0.9), paired=True)
    joined = race(
        {}, arms[:2], table.advance, epochs=10, n_rows=N_ROWS, confidence=0.95, invite=Guests(table, {2: [arms[2]]})
    )
    assert joined.ended == "done"
    assert set(joined.contending) == {arms[0], arms[2]}


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


def test_an_error_that_is_known_counts_where_rows_are_not_at_hand() -> None:
    first, second = Seen(0.9, 4, True, error=0.1), Seen(0.8, 4, True, error=0.2)
    assert difference(first, second, N_ROWS) == pytest.approx((0.1, math.hypot(0.1, 0.2)))


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
