"""What the sentences say for results made by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferscope.report.study import gather
from transferscope.report.verdict import NOISE, Verdict, compare, decide
from transferscope.results import Ranking, Score, Truth


def verdict(ranking: Ranking, *truths: Truth) -> Verdict:
    study = gather([ranking, *truths])[0][0]
    return decide(study.ranking, study.confirmed, study.controls)


def text(found: Verdict) -> str:
    return " ".join([found.headline, *found.details]).replace("\u00a0", " ")


def score(value: float | None, error: float | None, higher: bool = True) -> Score:
    return Score("s", value, higher, 100, 10, 0.0, error)


def test_the_plain_study(ranking: Ranking, truth: Truth, make: SimpleNamespace) -> None:
    first, second, _ = make.sources
    found = verdict(ranking, truth)
    assert found.headline.replace("\u00a0", " ") == (
        f"{first} at layer blocks.2 is among the best sources by ridge_loo (0.860 ± 0.020), "
        "and beats its controls beyond noise."
    )
    assert found.leader is not None
    assert (found.leader.source, found.tied, found.adds) == (first, (second,), True)
    assert [line.replace("\u00a0", " ") for line in found.details] == [
        f"Tied with it, within noise: {second}. Not comparable, for want of a value or an error: timm:flat.",
        "It beats its random-weights twin (0.520 ± 0.029) beyond noise.",
        "It beats the raw input (0.550 ± 0.028) beyond noise.",
        f"Best confirmed by training: {first} with full, 93.0 % accuracy (± 2.6 points on 100 test samples).",
        f"With full only {first} was trained, so the order is not checked there.",
        f"The estimate did not pick the best of 3 trained with linear_probe: {first} reached 86.0 %, {second} 88.0 %; "
        "regret 2.0 points, within the noise of the test set.",
    ]


def test_ties_end_at_1_645_joint_standard_errors(make: SimpleNamespace) -> None:
    joint = (0.02**2 + 0.01**2) ** 0.5
    for gap, outcome in ((NOISE * joint * 0.999, ("b",)), (NOISE * joint * 1.001, ())):
        found = verdict(make.ranking([make.entrant("a", [(0.8, 0.02)]), make.entrant("b", [(0.8 - gap, 0.01)])]))
        assert found.tied == outcome
        assert ("Tied with it" in text(found)) == bool(outcome)
        assert ("is the best source by" in found.headline) == (not outcome)


def test_ties_are_unknown_without_standard_errors(make: SimpleNamespace) -> None:
    ranking = make.ranking(
        [make.entrant("a", [(0.8, None)], (0.7, None)), make.entrant("b", [(0.79, None)])], (0.9, None)
    )
    found = verdict(ranking)
    assert found.adds is None
    assert "Ties are unknown: ridge_loo comes without standard errors here." in text(found)
    assert "Its value is better than that of its random-weights twin (0.700); the noise is unknown." in text(found)
    assert "Its value is not better than that of the raw input (0.900); the noise is unknown." in text(found)


def test_lower_is_better_turns_every_sentence_around(make: SimpleNamespace) -> None:
    entrants = [make.entrant("near", [(0.1, 0.01), (0.2, 0.01)], (0.9, 0.01)), make.entrant("far", [(0.5, 0.01)])]
    found = verdict(make.ranking(entrants, (0.8, 0.01), by="distance", higher=False))
    assert found.headline.startswith("near at layer blocks.0 is the best source by distance")
    assert found.adds is True
    assert "It beats the raw input" in text(found)


def test_nothing_is_added_when_the_raw_input_does_as_well(make: SimpleNamespace) -> None:
    found = verdict(make.ranking([make.entrant("a", [(0.56, 0.03)], (0.2, 0.03))], (0.55, 0.03)))
    assert found.adds is False
    assert found.headline.startswith("No source adds anything measurable here: a at layer blocks.0")
    assert "It does not beat the raw input (0.550 ± 0.030): the difference is within noise." in text(found)
    assert "It is the only source that was ranked." in text(found)


def test_a_control_that_is_better_is_said_to_be(make: SimpleNamespace) -> None:
    found = verdict(make.ranking([make.entrant("a", [(0.3, 0.01)], (0.6, 0.01))], (0.2, 0.01)))
    assert found.headline.startswith("No source adds anything measurable here")
    assert "It is worse than its random-weights twin (0.600 ± 0.010), beyond noise." in text(found)


def test_another_source_may_add_what_the_first_does_not(make: SimpleNamespace) -> None:
    entrants = [make.entrant("a", [(0.80, 0.01)], (0.79, 0.01)), make.entrant("b", [(0.79, 0.01)], (0.40, 0.01))]
    found = verdict(make.ranking(entrants))
    assert found.adds is False
    assert not found.headline.startswith("No source")
    assert "does not beat its controls beyond noise" in found.headline
    assert "Beyond noise above both the raw input and its own random twin: b." in text(found)


def test_a_strangers_twin_that_is_as_good_is_named(make: SimpleNamespace) -> None:
    entrants = [make.entrant("a", [(0.80, 0.01)], (0.30, 0.01)), make.entrant("b", [(0.40, 0.01)], (0.81, 0.01))]
    found = verdict(make.ranking(entrants))
    assert "Other controls do as well within noise or better: b?weights=random." in text(found)


def test_missing_controls_are_not_passed_over(make: SimpleNamespace) -> None:
    found = verdict(make.ranking([make.entrant("a", [(0.80, 0.01)])], None))
    assert found.adds is None
    assert "Not ranked beside it: its random-weights twin and the raw input" in text(found)


def test_a_twin_that_could_not_be_scored_leaves_it_open(make: SimpleNamespace) -> None:
    found = verdict(make.ranking([make.entrant("a", [(0.80, 0.01)], (None, None))]))
    assert found.adds is None
    assert "Whether it beats its random-weights twin is unknown: a?weights=random has no ridge_loo." in text(found)


def test_only_controls_were_ranked(make: SimpleNamespace) -> None:
    ranking = make.ranking([make.entrant("a", [(0.80, 0.01)], (0.30, 0.01))])
    controls = tuple(c for c in ranking.candidates if c.control)
    found = verdict(replace(ranking, candidates=controls))
    assert (found.headline, found.leader) == ("Only controls were ranked: no source to choose.", None)


def test_no_source_could_be_scored(make: SimpleNamespace) -> None:
    found = verdict(make.ranking([make.entrant("a", [(None, None)])]))
    assert (found.headline, found.leader, found.adds) == ("No source could be scored by ridge_loo.", None, None)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (0.80, "The estimate picked the best of 2 trained with linear_probe: a, no regret."),
        (0.95, "a reached 85.0 %, b 95.0 %; regret 10.0 points, beyond the noise of the test set."),
        (0.86, "a reached 85.0 %, b 86.0 %; regret 1.0 points, within the noise of the test set."),
    ],
)
def test_regret(other: float, says: str, make: SimpleNamespace) -> None:
    ranking = make.ranking([make.entrant("a", [(0.80, 0.01)]), make.entrant("b", [(0.7, 0.01)])])
    truth = make.truth(make.confirmed("a", "linear_probe", 0.85), make.confirmed("b", "linear_probe", other))
    assert says in text(verdict(ranking, truth))


def test_a_first_choice_that_was_not_trained(make: SimpleNamespace) -> None:
    ranking = make.ranking([make.entrant("a", [(0.80, 0.01)]), make.entrant("b", [(0.7, 0.01)])])
    found = verdict(ranking, make.truth(make.confirmed("b", "full", 0.9)))
    assert "The estimate's first choice, a, was not trained with full." in text(found)


def test_a_control_that_trains_as_well_is_named(make: SimpleNamespace) -> None:
    ranking = make.ranking([make.entrant("a", [(0.80, 0.01)])])
    for accuracy, says in ((0.70, ", within noise of it"), (0.99, ", above it")):
        truth = make.truth(make.confirmed("a", "full", 0.72), make.confirmed("raw:image", "linear_probe", accuracy))
        assert f"{says}: raw:image with linear_probe." in text(verdict(ranking, truth))
    far = make.truth(make.confirmed("a", "full", 0.9), make.confirmed("raw:image", "linear_probe", 0.3))
    assert "A control reached" not in text(verdict(ranking, far))


def test_training_alone(truth: Truth, make: SimpleNamespace) -> None:
    study = gather(truth)[0][0]
    found = decide(None, study.confirmed, study.controls)
    assert found.headline.startswith(f"Best confirmed by training: {make.sources[0]} with full")
    assert decide(None).headline == "Nothing was ranked or trained."


@pytest.mark.parametrize(
    ("metric", "value", "says"),
    [
        (
            "R²",
            -0.325,
            "\u221232.5 % R² (± 2.0 points on 100 test samples). That is no better than always naming the mean.",
        ),
        ("R²", -2670875.0, "\u22122.7e+08 % R²"),
        ("ROC-AUC", 0.5, "That is no better than drawing lots."),
        ("ROC-AUC", 0.51, "That is no better than drawing lots, within noise."),
        ("ROC-AUC", 0.54, ""),
        ("accuracy", 0.1, ""),
    ],
)
def test_what_learned_nothing_is_said_to(truth: Truth, metric: str, value: float, says: str) -> None:
    rows = tuple(replace(r, metric=metric, accuracy=value, standard_error=0.02) for r in truth.confirmed[:1])
    said = text(decide(None, rows))
    assert says in said
    assert ("no better" in said) == (value - {"R²": 0, "ROC-AUC": 0.5}.get(metric, -1) < 0.033)


def test_two_truths_of_one_ranking_count_together(ranking: Ranking, truth: Truth) -> None:
    halves = [replace(truth, confirmed=truth.confirmed[k::2], failures=()) for k in (0, 1)]
    assert verdict(ranking, *halves) == verdict(ranking, truth)


finite = st.floats(-1e3, 1e3)
errors = st.one_of(st.none(), st.floats(0, 100))


@given(finite, errors, finite, errors, st.booleans())
def test_comparison_is_antisymmetric(x: float, ex: float | None, y: float, ey: float | None, higher: bool) -> None:
    one, other = score(x, ex, higher), score(y, ey, higher)
    mirror = {"above": "below", "below": "above", "tied": "tied", "unknown": "unknown"}
    assert compare(other, one) == mirror[compare(one, other)]
    assert compare(one, one) == ("unknown" if ex is None else "tied")
    assert compare(replace(one, higher_is_better=not higher), replace(other, higher_is_better=not higher)) == compare(
        other, one
    )
