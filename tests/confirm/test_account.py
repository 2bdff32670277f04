"""The price of a race beside everything, and how right the ranking was, by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import weightedtau

import transferscope as ts
from transferscope.confirm import Recipe
from transferscope.confirm.account import agreement, full_price, predictions
from transferscope.results import Confirmed, Ranking
from transferscope.spending import Arm, Ran, Rung


@pytest.fixture
def ranking(picture_folder: Path, tiny_models: str) -> Ranking:
    """Three sources of one kind, a best, with values 0.9, 0.8 and 0.7; an epoch of the last is estimated at 2 s."""
    made = ts.rank(f"imagefolder:{picture_folder}", ["python:tiny_models:edges"], twins=False, store=False)
    names = ("a", "b", "c")
    candidates = tuple(replace(made.best()[0], source=name) for name in names)
    standings = tuple(
        replace(made.standings[0], source=name, value=value, predicted=value, predicted_low=0.6, predicted_high=0.95)
        for name, value in zip(names, (0.9, 0.8, 0.7), strict=True)
    )
    costs = (replace(made.costs[0], source="c", tuning_seconds=2.0),)
    return replace(made, candidates=candidates, standings=standings, costs=costs)


def test_everything_costs_what_was_measured_and_else_what_was_estimated(ranking: Ranking) -> None:
    recipe = Recipe(learning_rates=(1e-3, 1e-4), epochs=5)
    spent = {
        (("a", "full"), "x"): (6.0, 3),
        (("a", "full"), "y"): (2.0, 1),
        (("a", "linear_probe"), "probe"): (0.5, 0),
    }
    price, unpriced = full_price(ranking, ("linear_probe", "full"), recipe, spent, 2)
    assert price == pytest.approx(0.5 + 15 * 8 / 4 + 15 * 2.0)  # three runs of five epochs
    assert unpriced == ("b",)
    assert full_price(replace(ranking, costs=()), ("full",), recipe, {}, 2) == (None, ("a", "b", "c"))


def test_agreement_is_of_the_best_that_each_source_reached(ranking: Ranking) -> None:
    def ran(source: str, accuracy: float) -> Ran:
        return Ran(Arm(source, "full", 1e-3), 2, accuracy)

    rungs = (
        Rung(2, (ran("a", 0.5), ran("b", 0.6), ran("c", 0.4)), (), 1.0),
        Rung(4, (ran("a", 0.7), ran("b", 0.75)), (), 1.0),
    )
    n, tau, regret = agreement(ranking, rungs)
    assert n == 3
    assert tau == pytest.approx(weightedtau([0.9, 0.8, 0.7], [0.7, 0.75, 0.4]).statistic)
    assert regret == pytest.approx(0.05)
    assert agreement(ranking, rungs[:0]) == (0, None, None)
    unordered = replace(ranking, standings=())
    assert agreement(unordered, rungs)[0] == 3  # by the scorer that ranks, of which all three have the same value


def test_r_squared_below_zero_is_no_zero(ranking: Ranking) -> None:
    values = {"a": -2.0, "b": -0.5, "c": -1.0}
    ran = tuple(Ran(Arm(name, "full", 1e-3), 2, value) for name, value in values.items())
    _, tau, regret = agreement(ranking, (Rung(2, ran, (), 1.0),))
    assert tau == pytest.approx(weightedtau([0.9, 0.8, 0.7], list(values.values())).statistic)
    assert regret == pytest.approx(1.5)
    (found,) = predictions(ranking, [Confirmed("a", "last", "full", -2.0, None, 0.1, 9, (), 1.0)])
    assert found.measured == -2.0


def test_predictions_stand_beside_what_was_measured(ranking: Ranking) -> None:
    confirmed = [
        Confirmed("b", "last", strategy, accuracy, None, 0.1, 9, (), 1.0)
        for strategy, accuracy in (("full", 0.7), ("lp_ft", 0.72))
    ]
    (found,) = predictions(ranking, confirmed)
    assert (found.source, found.predicted, found.measured, found.low, found.high) == ("b", 0.8, 0.72, 0.6, 0.95)
