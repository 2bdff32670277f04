"""Tables of what was ranked: sources in bands that noise does not order, all their scores, all their layers."""

from __future__ import annotations

from collections.abc import Callable

from ..results import Candidate, Ranking, SourceCard
from ..trust import BEST_SET
from .choices import alarms, compares, how
from .formats import MISSING, clean, count, duration, large, noun, percent, route, score_text, shorten
from .tables import NAME, Column, Row, Table, higher_is_better, ranks
from .trust import chance, intervals_of, milliseconds
from .verdict import Verdict

CONTROL_TAGS = {"random": "random twin", "raw": "raw input"}
FEW_ROWS = 40  # of a target, where a report of many targets must stay small


def ranking_table(ranking: Ranking, verdict: Verdict, most: int | None = None) -> Table:
    """Each source at its best layer, in bands; of a long list the first `most`, and the best set whole."""
    places, alarmed = ranks(ranking), alarms(ranking)
    columns, fill = _columns(ranking)
    bands = _bands(ranking, verdict)
    left = most
    bodies = []
    for heading, candidates, whole in bands:
        shown = candidates if whole or left is None else candidates[: max(left, 0)]
        left = None if left is None else left - len(shown)
        rows = [
            Row(
                fill(c),
                places.get(c.source),
                (*_tags(c, verdict), *(["no better than its twin"] if c.source in alarmed else [])),
                bool(c.control),
            )
            for c in shown
        ]
        if rows:
            bodies.append((heading if len(bands) > 1 else "", tuple(rows)))
    n_left = sum(len(candidates) for _, candidates, _ in bands) - sum(len(rows) for _, rows in bodies)
    order = clean(ranking.ordered_by or ranking.rank_by)
    more = f". {noun(n_left, 'more row')} in the saved results" if n_left else ""
    caption = f"Best layer of each source, best first by {order}{more}"
    return Table(caption, tuple(columns), tuple(bodies), is_sortable=True)


def _bands(ranking: Ranking, verdict: Verdict) -> list[tuple[str, list[Candidate], bool]]:
    """Heading, candidates in order, and whether it is shown whole: the best set, the rest, what a race dropped.

    Controls stay where they rank, so that a source behind one is seen to be.
    """
    order = list(ranking.best())
    held = {s.source for s in ranking.standings if s.in_best_set}
    if not held and verdict.leader:
        held = {verdict.leader.source, *verdict.tied}
    last = max((place for place, c in enumerate(order) if c.source in held), default=-1)
    best = [c for place, c in enumerate(order) if c.source in held or (c.control and place < last)]
    dropped = [c for c in order if c.dropped and c not in best]
    rest = [c for c in order if c not in best and c not in dropped]
    named = f"Best set: the best is one of these with {chance(BEST_SET)} probability"
    if not ranking.standings:
        named = "Within noise of the first" if verdict.tied else "First"
    made = [(named, best, True), ("Behind", rest, False)]
    made.append(("Dropped by the race: scored on fewer samples", dropped, False))
    return [(heading, found, whole) for heading, found, whole in made if found]


Cells = Callable[[Candidate], str]


def _columns(ranking: Ranking) -> tuple[list[Column], Callable[[Candidate], tuple[str, ...]]]:
    """Columns of the ranking that have something in them, and what fills a row."""
    standing = {one.source: one for one in ranking.standings}
    intervals = intervals_of(ranking.standings)
    costs = {cost.source: cost for cost in ranking.costs}
    cards = {card.name: card for card in ranking.sources}
    predicted = {s.source: percent(s.predicted) for s in ranking.standings if s.predicted is not None}
    chances = {source: chance(one.p_best) for source, one in standing.items()}
    latency = {source: milliseconds(cost.latency) for source, cost in costs.items()}
    layer = Column("Layer", is_name=True)
    made: list[tuple[bool, Column, Cells]] = [
        (True, NAME, lambda c: clean(c.source)),
        (True, _score_columns(ranking)[0], lambda c: score_text(c.scores.get(ranking.rank_by))),
        (bool(standing), Column("Best", "probability", numeric=True), lambda c: chances.get(c.source, MISSING)),
        (bool(standing), Column("Places", f"{chance(BEST_SET)} interval", numeric=True),
         lambda c: intervals.get(c.source, MISSING)),
        (bool(predicted), Column("Predicted", "accuracy", numeric=True), lambda c: predicted.get(c.source, MISSING)),
        (True, layer, lambda c: clean(c.layer)),
        (compares(ranking), Column("Choices", is_name=True), lambda c: how(ranking, c)),
        (True, Column("Adapter path"), lambda c: route(step.converter for step in c.path)),
        (not costs, Column("Time", "extraction", numeric=True), lambda c: duration(c.seconds)),
        (bool(costs), Column("Latency", "one sample", numeric=True), lambda c: latency.get(c.source, MISSING)),
        (True, Column("Parameters", numeric=True), lambda c: _of(cards.get(c.source), _size)),
        (not costs, Column("FLOPs", "per sample", numeric=True), lambda c: _of(cards.get(c.source), _flops)),
        (True, Column("Licence"), lambda c: _of(cards.get(c.source), _license)),
    ]  # fmt: skip
    shown = [(column, cell) for is_shown, column, cell in made if is_shown]
    return [column for column, _ in shown], lambda c: tuple(cell(c) for _, cell in shown)


def _of(card: SourceCard | None, text: Callable[[SourceCard], str]) -> str:
    """What a card says; the raw input of an old result has none."""
    return text(card) if card else MISSING


def _size(card: SourceCard) -> str:
    return large(card.n_parameters)


def _flops(card: SourceCard) -> str:
    return large(card.flops)


def _license(card: SourceCard) -> str:
    return MISSING if card.is_random else shorten(card.license or "not stated", 32)


def scores_table(ranking: Ranking, most: int | None = None) -> Table:
    """Every scorer's value of each source at its best layer."""
    places = ranks(ranking)
    rows = [
        Row(
            (clean(c.source), *_score_cells(ranking, c)),
            places.get(c.source),
            (CONTROL_TAGS[c.control],) if c.control else (),
            bool(c.control),
        )
        for c in ranking.best()[:most]
    ]
    return Table.of("Every score of the best layers", [NAME, *_score_columns(ranking)], rows)


def layer_table(ranking: Ranking) -> Table:
    """Every layer of every source, from input to output."""
    told = compares(ranking)
    columns = [
        Column("Layer", is_name=True),
        *([Column("Choices", is_name=True)] if told else []),
        Column("Features", numeric=True),
        *_score_columns(ranking),
    ]
    bodies = []
    for best in ranking.best():
        card = ranking.card(best.source)
        order = {layer: place for place, layer in enumerate(card.layers)} if card else {}
        layers = sorted(
            (c for c in ranking.candidates if c.source == best.source), key=lambda c: order.get(c.layer, len(order))
        )
        rows = tuple(
            Row(
                (clean(c.layer), *([how(ranking, c)] if told else []), count(c.n_features), *_score_cells(ranking, c)),
                tags=("best",) if c.is_best_layer and len(layers) > 1 else (),
                is_control=bool(c.control),
            )
            for c in layers
        )
        bodies.append((clean(best.source), rows))
    return Table("All layers, from input to output", tuple(columns), tuple(bodies))


def score_notes(ranking: Ranking) -> list[str]:
    """Warnings and errors of the shown scores, each said once with those it concerns."""
    found: dict[tuple[str, str], list[str]] = {}
    for candidate in ranking.best():
        for name, score in candidate.scores.items():
            for text in (*score.warnings, *([score.error] if score.error else [])):
                found.setdefault((clean(name), clean(text)), []).append(clean(candidate.source))
    return [
        f"{name}: {text} ({names[0] if len(names) == 1 else f'{len(names)} sources'})"
        for (name, text), names in found.items()
    ]


def _tags(candidate: Candidate, verdict: Verdict) -> tuple[str, ...]:
    if candidate.control:
        return (CONTROL_TAGS[candidate.control],)
    if candidate.dropped:
        return ("dropped",)
    if verdict.leader and candidate.source == verdict.leader.source:
        return ("best",)
    return ("tied",) if candidate.source in verdict.tied else ()


def _score_columns(ranking: Ranking) -> list[Column]:
    """One column per scorer, the one that ranks first, with its direction."""
    columns = []
    for name in _scorers(ranking):
        higher = higher_is_better(ranking, name)
        hint = "" if higher is None else "↑ higher is better" if higher else "↓ lower is better"
        columns.append(Column(clean(name), hint, numeric=True))
    return columns


def _scorers(ranking: Ranking) -> tuple[str, ...]:
    return ranking.rank_by, *(name for name in ranking.scorers if name != ranking.rank_by)


def _score_cells(ranking: Ranking, candidate: Candidate) -> list[str]:
    scores = (candidate.scores.get(name) for name in _scorers(ranking))
    return [score_text(score) for score in scores]
