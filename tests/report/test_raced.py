"""The race of training on the page: every arm, how it ended, and what it cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import pytest

import transferscope as ts
from transferscope.report.raced import MOST_LANES, lanes, training_race_plot, training_race_table
from transferscope.results import Ranking, Truth
from transferscope.spending import Arm, ArmDropped, Entrant, Expected, Late, Ran, Rung, TrainingRace


def raced(make: SimpleNamespace, first: str, second: str, **changes: Any) -> Truth:
    """A probe, the winner that went into the finals, one left for want of time and one dropped as behind."""
    probe, winner = Arm(second, "linear_probe", None), Arm(first, "full", 1e-3)
    late, behind = Arm(second, "full", 1e-3), Arm(second, "full", 1e-4, 0.5)
    race = TrainingRace(
        confidence=0.95,
        entrants=(Entrant(first, "best set"), Entrant(second, "random")),
        rungs=(
            Rung(0, (Ran(probe, 0, 0.7),), (), 1.0),
            Rung(2, (Ran(winner, 2, 0.85), Ran(late, 2, 0.8), Ran(behind, 2, 0.5)),
                 (ArmDropped(behind, 2, "behind", 0.35, 0.05), ArmDropped(late, 2, "budget", 0.05, 0.05)), 30.0),
            Rung(4, (Ran(winner, 4, 0.9),), (), 20.0),
        ),
        winner=winner, finished=True, certainty=0.97, decided=True, ended="decided", budget=60.0, seconds=90.0,
        full_seconds=600.0, n_compared=2, weighted_kendall=1.0, regret=0.0,
    )  # fmt: skip
    row = make.confirmed(first, "full", 0.91)
    runs = tuple(replace(run, epochs=run.epochs * 8) for run in row.runs)
    return make.truth(replace(row, runs=runs), race=replace(race, **changes))


def test_arms_end_as_the_record_says(make: SimpleNamespace) -> None:
    truth = raced(make, "a", "b")
    assert truth.race is not None
    found = [(lane.end, lane.epochs, lane.accuracy, lane.final_epochs, lane.test) for lane in lanes(truth, truth.race)]
    assert found == [
        ("winner", 4, 0.9, 8, 0.91), ("stayed", 0, 0.7, 0, None), ("budget", 2, 0.8, 0, None),
        ("behind", 2, 0.5, 0, None),
    ]  # fmt: skip


def test_the_table_has_every_arm_at_every_stage(make: SimpleNamespace) -> None:
    truth = raced(make, "a", "b")
    assert truth.race is not None
    table = training_race_table(truth, truth.race, {"a": 1})
    titles = [f"{column.title} {column.hint}".strip() for column in table.columns]
    assert titles == [
        "Source", "Why it ran", "Strategy", "Rate", "Strength", "No epochs in 1.0 s", "Epoch 2 in 30.0 s",
        "Epoch 4 in 20.0 s", "End", "Test of finalists",
    ]  # fmt: skip
    rows = [[cell.replace("\u00a0", " ") for cell in row.cells] for _, rows in table.bodies for row in rows]
    assert rows == [
        ["a", "best set", "full", "0.001", "–", "–", "85.0 %", "90.0 %", "winner", "91.0 %"],
        ["b", "at random", "linear_probe", "–", "–", "70.0 %", "–", "–", "not dropped", "–"],
        ["b", "at random", "full", "0.001", "–", "–", "80.0 %", "–", "left for want of time, after 2 epochs", "–"],
        ["b", "at random", "full", "0.0001", "0.5", "–", "50.0 %", "–",
         "dropped as behind, by 35.0 ± 5.0 points", "–"],
    ]  # fmt: skip


def test_who_came_in_late_stands_at_the_stages_of_the_others(make: SimpleNamespace) -> None:
    truth = raced(make, "a", "b")
    assert truth.race is not None
    expected, came = Expected(0.8, 0.7, 0.9), Arm("c", "full", 1e-3)
    late = Entrant("c", "results", Late(4, expected, expected, 0.9, 0.01, 5.0))
    again = (Rung(2, (Ran(came, 2, 0.6),), (), 4.0), Rung(4, (Ran(came, 4, 0.88),), (), 5.0))
    race = replace(truth.race, entrants=(*truth.race.entrants, late), rungs=(*truth.race.rungs, *again))
    truth = replace(truth, race=race)
    table = training_race_table(truth, race, {})
    stages = [f"{one.title} {one.hint}" for one in table.columns if one.title.startswith("Epoch")]
    assert stages == ["Epoch 2 in 34.0 s", "Epoch 4 in 25.0 s"]
    [told] = [row.cells for _, rows in table.bodies for row in rows if row.cells[0] == "c"]
    assert [cell.replace("\u00a0", " ") for cell in told[1:]] == [
        "by results", "full", "0.001", "–", "–", "60.0 %", "88.0 %", "not dropped", "–"
    ]  # fmt: skip
    plot = training_race_plot(truth, {}, "k")
    assert plot is not None
    assert plot.svg.count("lines are the stages of the race") == 1
    assert plot.svg.replace("\u00a0", " ").count(">4</text>") == 1


@pytest.mark.parametrize("reason", get_args(get_type_hints(Entrant)["reason"]))
def test_every_reason_to_run_has_its_words(make: SimpleNamespace, reason: Any) -> None:
    truth = raced(make, "a", "b", entrants=(Entrant("a", reason),))
    assert truth.race is not None
    assert training_race_table(truth, truth.race, {})


def test_the_picture_says_who_won_and_at_what_price(make: SimpleNamespace) -> None:
    plot = training_race_plot(raced(make, "a", "b"), {"a": 1, "b": 2}, "k")
    assert plot is not None
    said = plot.svg.partition('aria-label="')[2].partition('"')[0].replace("\u00a0", " ")
    assert said == (
        "4 arms (a source, a strategy, a rate) of 2 sources ran; 1 dropped as behind, the first after 2 epochs; 1 "
        "left for want of time. Winner on the validation rows: a with full at rate 0.001: decided, at least 97.0 % "
        "sure of 95.0 % asked for (stopped there). The race trained for 90.0 s, 15.0 % of the 10.0 min that training "
        "everything is estimated to take."
    )
    assert "A dotted line is what a finalist was trained further." in plot.caption
    drawn = plot.svg.replace("\u00a0", " ")
    for label in ("1  a, full at 0.001", "90.0 %", "the race: 90.0 s", "training everything, estimated: 10.0 min"):
        assert label in drawn


def test_what_never_began_is_told_and_not_drawn(make: SimpleNamespace) -> None:
    first, never = Arm("a", "full", 1e-3), Arm("b", "full", 1e-3)
    rung = Rung(2, (Ran(first, 2, 0.5),), (ArmDropped(never, 0, "budget", None, None),), 1.0)
    truth = raced(make, "a", "b", rungs=(rung,))
    plot = training_race_plot(truth, {}, "k")
    assert plot is not None
    assert plot.caption.startswith("1 of 2 arms (a source, a strategy, a rate) of 2 sources ran. Winner")
    assert "b, full" not in plot.svg
    assert truth.race is not None
    [_, last] = [row.cells for _, rows in training_race_table(truth, truth.race, {}).bodies for row in rows]
    assert last[4:6] == ("–", "never begun, for want of time")
    assert training_race_plot(raced(make, "a", "b", rungs=(replace(rung, ran=()),)), {}, "k") is None


def test_without_a_race_there_is_no_picture_and_a_long_one_is_cut(make: SimpleNamespace) -> None:
    assert training_race_plot(make.truth(), {}, "k") is None
    many = tuple(Ran(Arm(f"s{k}", "full", 1e-3), 2, 0.5) for k in range(MOST_LANES + 5))
    truth = raced(make, "s0", "s1", rungs=(Rung(2, many, (), 1.0),), winner=many[0].arm, full_seconds=None)
    plot = training_race_plot(truth, {}, "k")
    assert plot is not None
    assert plot.caption.endswith(f"The first {MOST_LANES} are drawn; the table has all.")
    assert truth.race is not None
    assert sum(len(rows) for _, rows in training_race_table(truth, truth.race, {}).bodies) == len(many)


def test_the_page_tells_it_in_words(ranking: Ranking, make: SimpleNamespace, tmp_path: Path) -> None:
    first, second, _ = make.sources
    html = ts.report([ranking, raced(make, first, second)], out=tmp_path / "r.html").read_text().replace("\u00a0", " ")
    assert html.count("The race of training") == 2  # the picture's heading and the table's
    assert "<li>The race trained for 90.0 s, 15.0 % of the 10.0 min that" in html
    assert "The race of training" not in ts.report(ranking, out=tmp_path / "r.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("is_hostile", [False, True])
def test_in_a_browser(
    open_page: Callable[..., Any], ranking: Ranking, hostile: Ranking, make: SimpleNamespace, tmp_path: Path,
    is_hostile: bool,
) -> None:  # fmt: skip
    """No label outside its picture, and none on another."""
    found = hostile if is_hostile else ranking
    first, second = [c.source for c in found.best() if not c.control][:2]
    truth = replace(raced(make, first, second), target=found.target)
    tab = open_page(ts.report([found, truth], out=tmp_path / "r.html"), width=390)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    over = tab.locator("figure", has_text="The race of training").evaluate(
        """f => {
             const b = f.querySelector('svg').getBoundingClientRect();
             const all = [...f.querySelectorAll('svg text')].map(t => [t.textContent, t.getBoundingClientRect()]);
             const apart = (p, q) => p.right <= q.left + 1 || q.right <= p.left + 1 || p.bottom <= q.top + 4
                                     || q.bottom <= p.top + 4;
             return [...all.filter(([_, r]) => r.left < b.left - 1 || r.right > b.right + 1).map(([t]) => t),
                     ...all.flatMap(([t, r], i) =>
                       all.slice(i + 1).filter(([_, q]) => !apart(r, q)).map(([u]) => t + u))];
           }"""
    )
    assert over == []
