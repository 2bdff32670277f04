"""The race of a confirmation, in sentences: rungs, who came in late, winner, price, what it says of the scores."""

from __future__ import annotations

from ..results import Truth
from ..spending import Arm, Expected, Late, Rung, TrainingRace
from .formats import clean, duration, listed, noun, number, percent, points, shorten

LONGEST = 60  # characters of a source's name


def race_lines(truth: Truth) -> list[str]:
    """A line for each rung and each source that came in late, then the winner, the price, and the agreement with the
    ranking; none without a race.
    """
    race = truth.race
    if race is None:
        return []
    return [*map(_rung, race.rungs), *race_notes(race)]


def race_notes(race: TrainingRace) -> list[str]:
    """Who came in late, the winner, the price, and the agreement with the ranking."""
    late = [_late(one.source, one.late) for one in race.entrants if one.late]
    return [*late, winner_sentence(race), price_sentence(race), *_agreement(race), *_predicted(race)]


def arm_name(arm: Arm) -> str:
    """Source, strategy, rate."""
    rate = "" if arm.learning_rate is None else f" at rate {arm.learning_rate:g}"
    strength = "" if arm.strength is None else f", strength {arm.strength:g}"
    return f"{shorten(arm.source, LONGEST)} with {clean(arm.strategy)}{rate}{strength}"


def _rung(rung: Rung) -> str:
    where = f"Until epoch {rung.until}" if rung.until else "Without epochs"
    best = f"; best {arm_name(rung.ran[0].arm)}, {percent(rung.ran[0].accuracy)}" if rung.ran else ""
    words = {"behind": "dropped as behind", "budget": "left for want of time"}
    gone = {reason: sum(one.reason == reason for one in rung.dropped) for reason in words}
    told = [f"{n} {words[reason]}" for reason, n in gone.items() if n]
    return f"{where}: {noun(len(rung.ran), 'arm')} in {duration(rung.seconds)}{best}{''.join(f'; {t}' for t in told)}."


def _late(source: str, late: Late) -> str:
    when = f"after epoch {late.until}" if late.until else "after what has no epochs"
    return (
        f"{shorten(source, LONGEST)} came in {when}, by what the others had shown and earlier targets: "
        f"{_expected(late.after)} expected by then, a mean gain of {points(late.gain)} on the best so far "
        f"({percent(late.best)}), for {duration(late.seconds)}; before the race, {_expected(late.before)} in the end."
    )


def _expected(one: Expected) -> str:
    return f"{percent(one.mean)} ({percent(one.low)} to {percent(one.high)})"


def winner_sentence(race: TrainingRace) -> str:
    """Who won, how sure that is, and why the race ended."""
    said = f"{'decided' if race.decided else 'not decided'}, at least {percent(race.certainty)} sure"
    ends = {
        "decided": "stopped there", "done": "all was trained",
        "budget": "the budget was spent; the same command goes on" + ", its training too" * (not race.finished),
    }  # fmt: skip
    return (
        f"Winner on the validation rows: {arm_name(race.winner)}: {said} of {percent(race.confidence)} asked for "
        f"({ends[race.ended]})."
    )


def price_sentence(race: TrainingRace) -> str:
    """What the race took beside training everything."""
    if race.full_seconds is None:
        return f"The race trained for {duration(race.seconds)}."
    lacking = f", {listed([shorten(name, LONGEST) for name in race.unpriced])} not counted" if race.unpriced else ""
    share = percent(race.seconds / race.full_seconds)
    return (
        f"The race trained for {duration(race.seconds)}, {share} of the {duration(race.full_seconds)} that training "
        f"everything is estimated to take{lacking}."
    )


def _agreement(race: TrainingRace) -> list[str]:
    """Of the ranking's order, over the sources that ran."""
    if race.regret is None:
        return []
    tau = "not defined, all equal" if race.weighted_kendall is None else number(race.weighted_kendall)
    return [
        f"The ranking's order and the best on validation rows of {noun(race.n_compared, 'source')}: weighted τ "
        f"{tau}; taking its first would lose {points(race.regret)}."
    ]


def _predicted(race: TrainingRace) -> list[str]:
    """Predicted accuracies beside measured ones."""
    lines = []
    for one in race.predictions:
        inside = ""
        if one.low is not None and one.high is not None:
            hit = "inside" if one.low <= one.measured <= one.high else "outside"
            inside = f", {hit} {percent(one.low)} to {percent(one.high)}"
        lines.append(
            f"Predicted for {shorten(one.source, LONGEST)}: {percent(one.predicted)}; measured: "
            f"{percent(one.measured)}{inside}."
        )
    return lines
