"""How far a ranking can be trusted, in the words and tables of the report: each sentence follows its numbers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from transferscope.report.publish import report
from transferscope.report.terminal import ranking_table
from transferscope.report.trust import best_set, chance, trust_notes
from transferscope.report.trust_tables import trust_tables
from transferscope.report.verdict import decide
from transferscope.results import Ranking, load_result
from transferscope.spending import Cost, Dropped, Excluded, Race, Stage
from transferscope.trust import Check, Control, Fusion, Separation, Standing


def standing(source: str, p: float, places: tuple[int, int], held: bool, **known: Any) -> Standing:
    return Standing(source, 0.8, 0.02, places, p, held, **{"regret": 0.004, **known})


@pytest.fixture
def judged(make: SimpleNamespace) -> Ranking:
    """Three sources, of which two are tied."""
    ranking = make.ranking(
        [make.entrant(name, [(value, 0.02)]) for name, value in (("a", 0.86), ("b", 0.85), ("c", 0.4))]
    )
    return replace(
        ranking,
        ordered_by="consensus",
        standings=(
            standing("a", 0.7, (1, 2), True),
            standing("b", 0.3, (1, 2), True),
            standing("c", 0.0, (3, 3), False),
        ),
        separations=(Separation("a", "b", 0.01, 0.02, 300, 3200, 700, 240.0),),
        fusion=Fusion({"ridge_loo": 0.6, "logme": 0.4}, {"h_score": "saturated"}, 0, {}),
        controls=(
            Control(
                "n_parameters",
                "b",
                0.01,
                0.02,
                0.3,
            ),
            Control("raw", "raw:image", 0.31, 0.03, None),
        ),
        checks=(Check("duplicates", "caution", "4 samples stand in train and test alike."),),
        costs=(
            Cost("a", "cpu", "mit", 11_000_000, 3e9, 0.02, 60.0, 1.0, 3e9, 120.0),
            Cost("b", "cpu", None, 2_000_000, 1e9, 0.005, 200.0, 1.0, 1e9, 30.0),
        ),
        pareto=("b", "a"),
        excluded=(Excluded("d", "it has 90 M parameters; at most 25 M are allowed"),),
        race=Race(
            0.95, (Stage(64, ("a", "b", "c")), Stage(300, ("a", "b"))), (Dropped("c", 64, "a", 0.46, 0.2),), 664, 900
        ),
    )


def notes(ranking: Ranking) -> str:
    return " ".join(trust_notes(ranking)).replace("\u00a0", " ")


def test_ties_are_told_as_a_set_with_chances_and_what_would_separate_them(judged: Ranking) -> None:
    said = notes(judged)
    assert "with 90 % probability the best is one of a (70 %) and b (30 %)" in said
    assert "taking a loses 0.004 of ridge_loo on average" in said
    assert "about 3\u202f200 labelled training samples in place of 300" in said
    assert "training both with 700 test samples, about 4.0 min here" in said
    assert "The fastest of them is b (2 M parameters, 5 ms a sample on cpu)" in said
    assert decide(judged).tied == ("b",)


def test_labels_that_are_there_already_are_not_asked_for(judged: Ranking) -> None:
    enough = replace(judged, separations=(replace(judged.separations[0], n_needed=300),))
    assert "labelled training" not in notes(enough)
    assert "training both with 700 test samples" in notes(enough)


def test_a_sure_winner_is_told_with_its_chance_alone(judged: Ranking) -> None:
    sure = replace(judged, standings=(standing("a", 0.97, (1, 1), True), standing("b", 0.03, (2, 2), False)))
    assert "The chance that it is the best of those ranked is 97 %" in notes(sure)
    assert decide(sure).tied == ()
    assert [one.source for one in best_set(sure)] == ["a"]


def test_lift_is_over_the_control_that_comes_closest(judged: Ranking) -> None:
    assert "Lift over the best control, the largest source (b): 0.010 ± 0.020, within noise" in notes(judged)
    beaten = replace(judged, controls=(Control("raw", "raw:image", 0.31, 0.03, None),))
    assert "Lift over the best control, the raw input: 0.310 ± 0.030, beyond noise" in notes(beaten)
    worse = replace(judged, controls=(Control("flops", "b", -0.31, 0.03, 0.1),))
    assert "measuring chose worse, beyond noise" in notes(worse)


def test_it_is_said_when_the_data_changed_nothing(judged: Ranking) -> None:
    assert "did not change" not in notes(judged)
    same = replace(judged, controls=(Control("n_parameters", "a", 0.0, 0.0, 1.0),))
    assert "The target's data did not change the order: it is that of model size." in notes(same)
    first = replace(judged, controls=(Control("history", "a", 0.0, 0.0, 0.4),))
    assert "did not change the first choice: the history of other targets would have taken it too" in notes(first)


def test_the_consensus_says_what_it_is_made_of(judged: Ranking) -> None:
    said = notes(judged)
    assert "with the weights ridge_loo 0.60 and logme 0.40; there is no history to learn them from" in said
    assert "Without a say: h_score (saturated)." in said
    learned = Fusion({"ridge_loo": 0.5, "history": 0.5}, {}, 12, {"learned": 0.61, "prior": 0.55, "logme": 0.3})
    said = notes(replace(judged, fusion=learned))
    assert "learned from 12 earlier targets; on targets left out its weighted τ is 0.610, that of prior 0.550" in said


def test_race_cost_and_what_was_left_out_are_told(judged: Ranking) -> None:
    said = notes(judged)
    assert "1 source dropped, the first after 64 of 300 training rows; 26.2 % of the forward passes were saved" in said
    assert "at a 5 % risk" in said
    assert "Not ranked: d (it has 90 M parameters; at most 25 M are allowed)." in said


def test_a_prediction_is_told_with_its_interval(judged: Ranking) -> None:
    first = replace(judged.standings[0], predicted=0.83, predicted_low=0.7, predicted_high=0.9)
    said = notes(replace(judged, standings=(first, *judged.standings[1:])))
    assert "Predicted accuracy of a after training: 83.0 %, between 70.0 % and 90.0 %" in said


def test_a_veto_comes_before_any_number(judged: Ranking) -> None:
    vetoed = replace(judged, checks=(Check("leak", "veto", "The file size tells the class.", ()),))
    assert decide(vetoed).headline == "The order means nothing before this is mended: The file size tells the class."


def test_a_ranking_without_any_of_it_says_nothing(make: SimpleNamespace) -> None:
    ranking = make.ranking([make.entrant("a", [(0.8, 0.02)])])
    assert trust_notes(ranking) == []
    assert trust_tables(ranking) == ()


@pytest.mark.parametrize(
    ("p", "said"), [(0.0, "0 %"), (0.001, "below 1 %"), (0.42, "42 %"), (0.999, "above 99 %"), (1.0, "100 %")]
)
def test_chances_are_never_rounded_to_certainty(p: float, said: str) -> None:
    assert chance(p).replace("\u00a0", " ") == said


def test_tables_hold_every_record(judged: Ranking) -> None:
    tables = dict(trust_tables(judged))
    assert list(tables) == ["Controls", "What would separate ties", "Costs", "Race", "Not ranked"]
    assert [row.cells[0] for row in tables["Costs"].bodies[0][1]] == ["a", "b"]
    assert all(row.tags == ("on the front",) for row in tables["Costs"].bodies[0][1])
    assert "3 after 64, 2 after 300 rows" in tables["Race"].caption


def test_intervals_of_ranks_stand_for_ties_in_the_terminal(judged: Ranking) -> None:
    table = ranking_table(judged)
    assert [cell for cell in table.columns[0].cells if cell] == ["1–2", "1–2", "3"]  # controls have none


def test_it_round_trips_and_shows_in_the_page(judged: Ranking, tmp_path: Any) -> None:
    assert load_result(judged.to_json(tmp_path / "r.json")) == judged
    page = report(judged, out=tmp_path / "r.html").read_text()
    for text in ("What would separate ties", "on the front", "4 samples stand in train and test alike."):
        assert text in page
