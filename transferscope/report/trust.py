"""How far a ranking can be trusted, in sentences: ties, lift over controls, consensus, race, cost, health."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..choices import NOISE
from ..results import Ranking
from ..spending import Cost, Dropped
from ..trust import BEST_SET, Separation, Standing
from .formats import MISSING, NBSP, clean, duration, large, listed, noun, number, percent, shorten, with_error

NAME_WIDTH = 60  # characters
CONTROL_NAMES = {
    "n_parameters": "the largest source",
    "flops": "the source with most FLOPs",
    "source_accuracy": "the source best on its own task",
    "history": "the source best on other targets",
    "raw": "the raw input",
    "twin": "the best random twin",
}
ORDER_NAMES = {
    "n_parameters": "model size",
    "flops": "FLOPs",
    "source_accuracy": "accuracy on the sources' own tasks",
    "history": "the history of other targets",
}


def name(source: str) -> str:
    """A source's name, short enough for a sentence."""
    return shorten(source, NAME_WIDTH)


def chance(probability: float) -> str:
    """A probability as whole per cent; never 0 or 100 unless it is."""
    if 0 < probability < 0.005:
        return f"below 1{NBSP}%"
    if 0.995 < probability < 1:
        return f"above 99{NBSP}%"
    return f"{100 * probability:.0f}{NBSP}%"


def best_set(ranking: Ranking) -> list[Standing]:
    """The sources among which the best one is, most probable first."""
    return sorted((s for s in ranking.standings if s.in_best_set), key=lambda s: -s.p_best)


def vetoes(ranking: Ranking) -> list[str]:
    """What makes the order mean nothing until it is mended."""
    return [clean(check.text) for check in ranking.checks if check.level == "veto"]


def cautions(ranking: Ranking) -> list[str]:
    """What a reader must know beside the numbers."""
    return [clean(check.text) for check in ranking.checks if check.level == "caution"]


def trust_notes(ranking: Ranking) -> list[str]:
    """Every sentence there is something to say in, most important first."""
    said = [
        best_sentence(ranking),
        *(separation_sentence(found, ranking.rank_by) for found in ranking.separations[:1]),
        cheapest_sentence(ranking),
        _front(ranking),
        _lift(ranking),
        _unchanged(ranking),
        _consensus(ranking),
        _predicted(ranking),
        _race(ranking),
        _excluded(ranking),
    ]
    return [clean(text) for text in said if text]


def best_sentence(ranking: Ranking) -> str:
    """The best set, and what taking its first costs on average."""
    held = best_set(ranking)
    if not held or len(ranking.standings) < 2:
        return ""
    named = listed([f"{name(s.source)} ({chance(s.p_best)})" for s in held])
    if len(held) == 1:
        said = f"The chance that it is the best of those ranked is {chance(held[0].p_best)}"
    else:
        said = f"Tied: with {chance(BEST_SET)} probability the best is one of {named}"
    first = ranking.standings[0]
    if first.regret is None:
        return f"{said}."
    lost = "less than 0.001" if 0 < first.regret < 0.0005 else number(first.regret)
    return f"{said}; taking {name(first.source)} loses {lost} of {ranking.rank_by} on average."


def separation_sentence(found: Separation, by: str) -> str:
    """What would tell the first two apart."""
    gain = with_error(abs(found.gain), found.standard_error)
    ways = []
    if found.n_needed is not None and found.n_needed > found.n_samples:
        ways.append(f"about {noun(found.n_needed, 'labelled training sample')} in place of {found.n_samples}")
    if found.n_test is not None:
        took = "" if found.seconds is None else f", about {duration(found.seconds)} here"
        ways.append(f"training both with {noun(found.n_test, 'test sample')}{took}")
    if not ways:
        return (
            f"Nothing sensible would tell {name(found.first)} from {name(found.second)} ({gain} apart by {by}): "
            "take the cheaper one."
        )
    return (
        f"What would tell {name(found.first)} from {name(found.second)} ({gain} apart by {by}), if they differ by so "
        f"much: {' or '.join(ways)}."
    )


def cheapest_sentence(ranking: Ranking) -> str:
    """The source of the best set that is fastest for one sample."""
    held = best_set(ranking)
    costs = {cost.source: cost for cost in ranking.costs}
    known = [costs[s.source] for s in held if s.source in costs]
    if len(known) < 2:
        return ""
    cheapest = min(known, key=lambda cost: cost.latency if cost.latency is not None else math.inf)
    return f"The fastest of them is {name(cheapest.source)} ({_price(cheapest)})."


def _front(ranking: Ranking) -> str:
    """Sources that none beats in both order and latency."""
    costs = {cost.source: cost for cost in ranking.costs}
    named = [f"{name(source)} ({milliseconds(costs[source].latency)})" for source in ranking.pareto if source in costs]
    if len(named) < 2 or len(named) == len(ranking.standings):
        return ""
    return f"No source is both better and faster than one of {listed(named)}."


def _price(cost: Cost) -> str:
    parts = [f"{large(cost.n_parameters)} parameters"]
    if cost.latency is not None:
        parts.append(f"{milliseconds(cost.latency)} a sample on {cost.device}")
    return ", ".join(parts)


def milliseconds(seconds: float | None) -> str:
    """A latency."""
    if seconds is None:
        return MISSING
    return f"{1000 * seconds:.3g}{NBSP}ms" if seconds < 1 else duration(seconds)


def _lift(ranking: Ranking) -> str:
    """What measuring added over the best control."""
    known = [control for control in ranking.controls if control.lift is not None]
    if not known:
        return ""
    best = min(known, key=lambda control: control.lift or 0.0)
    taken = CONTROL_NAMES.get(best.name, best.name)
    beside = "" if best.name == "raw" else f" ({name(best.first)})"
    if best.lift == 0 and ranking.standings and best.first == ranking.standings[0].source:
        return f"Lift over the best control: none; {taken} is the same source{beside}."
    text = f"Lift over the best control, {taken}{beside}: {with_error(best.lift, best.standard_error)}"
    if best.standard_error is None:
        return f"{text}; its noise is unknown."
    beyond = abs(best.lift or 0.0) > NOISE * best.standard_error
    if not beyond:
        return f"{text}, within noise."
    return f"{text}, beyond noise." if (best.lift or 0.0) > 0 else f"{text}: measuring chose worse, beyond noise."


def _unchanged(ranking: Ranking) -> str:
    """Whether the target's data changed the order that was known without them."""
    orders = [control for control in ranking.controls if control.name in ORDER_NAMES]
    same = [ORDER_NAMES[control.name] for control in orders if control.tau is not None and control.tau >= 1 - 1e-12]
    if same:
        return f"The target's data did not change the order: it is that of {listed(same)}."
    if not ranking.standings:
        return ""
    first = ranking.standings[0].source
    firsts = [ORDER_NAMES[control.name] for control in orders if control.first == first]
    if firsts and len(ranking.standings) > 1:
        return f"The target's data did not change the first choice: {listed(firsts)} would have taken it too."
    return ""


def _consensus(ranking: Ranking) -> str:
    """How the order was made."""
    fusion = ranking.fusion
    if fusion is None:
        return ""
    weights = sorted(fusion.weights.items(), key=lambda pair: -pair[1])
    named = listed([f"{clean(part)} {weight:.2f}" for part, weight in weights if weight > 0])
    said = f"The order is a consensus of ranks, with the weights {named}"
    if fusion.n_targets:
        said += f", learned from {noun(fusion.n_targets, 'earlier target')}"
        checked = fusion.validation
        if "learned" in checked:
            rivals = {part: tau for part, tau in checked.items() if part != "learned"}
            best = max(rivals, key=lambda part: rivals[part], default=None)
            said += f"; on targets left out its weighted \u03c4 is {number(checked['learned'])}"
            said += f", that of {best} {number(rivals[best])}" if best else ""
    else:
        said += "; there is no history to learn them from"
    gone = [f"{clean(part)} ({clean(why)})" for part, why in fusion.left_out.items()]
    return f"{said}. Without a say: {listed(gone)}." if gone else f"{said}."


def _predicted(ranking: Ranking) -> str:
    """The first source's accuracy after training, as the history predicts it."""
    first = ranking.standings[0] if ranking.standings else None
    if first is None or first.predicted is None or first.predicted_low is None or first.predicted_high is None:
        return ""
    low, high = percent(first.predicted_low), percent(first.predicted_high)
    return (
        f"Predicted accuracy of {name(first.source)} after training: {percent(first.predicted)}, between {low} and "
        f"{high} on {chance(BEST_SET)} of targets like those of the history."
    )


def _race(ranking: Ranking) -> str:
    """What the race saved."""
    race = ranking.race
    if race is None:
        return ""
    share = percent(1 - race.passes / race.full_passes) if race.full_passes else percent(0.0)
    if not race.dropped:
        return "Race: no source could be dropped before all training rows were seen."
    first = min(one.n_samples for one in race.dropped)
    full = ranking.split.n_train
    return (
        f"Race: {noun(len(race.dropped), 'source')} dropped, the first after {first} of {full} training rows; "
        f"{share} of the forward passes were saved, at a {chance(1 - race.level)} risk of losing the winner."
    )


def dropped_text(one: Dropped, by: str) -> str:
    """Why a source was dropped."""
    return (
        f"dropped after {one.n_samples} training rows: {number(one.gap)} of {by} behind {name(one.leader)}, and still "
        f"{number(one.bound)} behind with noise and growth in its favour"
    )


def _excluded(ranking: Ranking) -> str:
    """How many sources were left out by choice."""
    if not ranking.excluded:
        return ""
    return "Not ranked: " + listed([f"{name(one.source)} ({clean(one.reason)})" for one in ranking.excluded]) + "."


def tied_with(ranking: Ranking, leader: str) -> tuple[str, ...]:
    """The other sources of the best set."""
    return tuple(s.source for s in best_set(ranking) if s.source != leader)


def intervals_of(standings: Iterable[Standing]) -> dict[str, str]:
    """Rank intervals as text."""
    return {
        s.source: str(s.places[0]) if s.places[0] == s.places[1] else f"{s.places[0]}–{s.places[1]}" for s in standings
    }
