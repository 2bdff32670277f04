"""What a race says of itself in a terminal."""

from __future__ import annotations

from dataclasses import replace

from transferscope.report.race import race_lines
from transferscope.results import Confirmed, SplitCard, TargetCard, Truth
from transferscope.spending import Arm, ArmDropped, Entrant, Expected, Late, Prediction, Ran, Rung, TrainingRace
from transferscope.stamp import make_stamp

ARM, OTHER = Arm("timm:a", "full", 1e-3), Arm("timm:[b]", "joint", 1e-4, 0.5)
RACE = TrainingRace(
    confidence=0.95,
    entrants=(Entrant("timm:a", "best set"), Entrant("timm:[b]", "random")),
    rungs=(
        Rung(2, (Ran(ARM, 2, 0.9), Ran(OTHER, 2, 0.5)), (ArmDropped(OTHER, 2, "behind", 0.4, 0.1),), 30.0),
        Rung(10, (Ran(ARM, 10, 0.95),), (), 120.0),
    ),
    winner=ARM, finished=True, certainty=0.97, decided=True, ended="done", budget=None, seconds=150.0,
    full_seconds=600.0, unpriced=("timm:c",), n_compared=2, weighted_kendall=None, regret=0.1,
    predictions=(Prediction("timm:a", 0.8, 0.7, 0.9, 0.92),),
)  # fmt: skip
TRUTH = Truth(
    TargetCard("t", "image", 60, ("x", "y"), (30, 30), None, "0" * 64),
    SplitCard(0, 36, 12, 12, False, None, "1" * 64),
    (Confirmed("timm:a", "last", "full", 0.92, None, 0.1, 12, (), 2.0),),
    make_stamp("test", seed=0, device="cpu", seconds={}),
    race=RACE,
)


def test_every_figure_is_of_the_record() -> None:
    lines = [line.replace("\u00a0", " ") for line in race_lines(TRUTH)]
    assert lines == [
        "Until epoch 2: 2 arms in 30.0 s; best timm:a with full at rate 0.001, 90.0 %; 1 dropped as behind.",
        "Until epoch 10: 1 arm in 2.0 min; best timm:a with full at rate 0.001, 95.0 %.",
        "Winner on the validation rows: timm:a with full at rate 0.001: decided, at least 97.0 % sure of 95.0 % asked "
        "for (all was trained).",
        "The race trained for 2.5 min, 25.0 % of the 10.0 min that training everything is estimated to take, timm:c "
        "not counted.",
        "The ranking's order and the best on validation rows of 2 sources: weighted τ not defined, all equal; taking "
        "its first would lose 10.0 points.",
        "Predicted for timm:a: 80.0 %; measured: 92.0 %, outside 70.0 % to 90.0 %.",
    ]


def test_who_came_in_late_and_why() -> None:
    late = Late(2, Expected(0.6, 0.4, 0.8), Expected(0.84, 0.7, 0.9), best=0.82, gain=0.031, seconds=90.0)
    race = replace(RACE, entrants=(*RACE.entrants, Entrant("timm:c", "results", late)))
    line = race_lines(replace(TRUTH, race=race))[2].replace("\u00a0", " ")
    assert line == (
        "timm:c came in after epoch 2, by what the others had shown and earlier targets: 84.0 % (70.0 % to 90.0 %) "
        "expected by then, a mean gain of 3.1 points on the best so far (82.0 %), for 90.0 s; before the race, 60.0 % "
        "(40.0 % to 80.0 %) in the end."
    )
    probed = replace(race, entrants=(Entrant("timm:c", "results", replace(late, until=0)),))
    assert "timm:c came in after what has no epochs, by" in race_lines(replace(TRUTH, race=probed))[2]
    assert len(race_lines(TRUTH)) == len(race_lines(replace(TRUTH, race=race))) - 1


def test_a_spent_budget_says_how_to_go_on_and_no_race_says_nothing() -> None:
    short = replace(RACE, ended="budget", finished=False, decided=False, certainty=0.2, full_seconds=None)
    said = " ".join(race_lines(replace(TRUTH, race=short)))
    assert "not decided" in said
    assert "the budget was spent; the same command goes on, its training too" in said
    assert race_lines(replace(TRUTH, race=None)) == []
