"""Results in a terminal: tables that fit 100 columns, and the verdict in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ..results import Advised, Candidate, Evaluation, Failure, LayerSimilarity, Ranking, Result, Score, Truth
from .advised import advice_table, sentences
from .choices import alarms, choice_notes, how
from .drawn import new_table, plain, print_parts
from .formats import (
    MISSING,
    clean,
    duration,
    hundredths,
    large,
    listed,
    noun,
    number,
    percent,
    route,
    score_text,
    shorten,
)
from .orders import means_table, order_notes
from .race import race_lines
from .study import Study, gather
from .tables import agreement_key, collapsed, estimate, higher_is_better, ranks
from .trust import cautions, chance, intervals_of
from .verdict import Verdict, decide

LONGEST = 80  # characters of a name; the saved result has it in full
MOST_SKIPPED = 5  # unreadable samples that are named
MOST_NOTES = 5  # sources whose choices are told


def ranking_table(ranking: Ranking) -> Table:
    """Each source at its best layer, best first; controls are dim and named as such, ties are marked."""
    verdict, places, alarmed = decide(ranking), _places(ranking), alarms(ranking)
    chances = {standing.source: chance(standing.p_best) for standing in ranking.standings}
    table = new_table(f"{shorten(ranking.target.name, 60)}: best layer of each source")
    table.add_column("", justify="right")
    table.add_column("source", overflow="fold", min_width=22)
    table.add_column("", no_wrap=True)
    table.add_column("layer", overflow="fold", max_width=14)
    table.add_column(_fold(f"{ranking.rank_by} {_arrow(ranking)}"), justify="right", no_wrap=True)
    if chances:
        table.add_column("best", justify="right", no_wrap=True)
    table.add_column("params", justify="right", no_wrap=True)
    table.add_column("path", overflow="fold", max_width=16)
    for c in ranking.best():
        score, card = c.scores.get(ranking.rank_by), ranking.card(c.source)
        table.add_row(
            places.get(c.source, ""),
            plain(shorten(c.source, LONGEST)),
            plain(_mark(c, verdict, alarmed)),
            plain(", ".join(part for part in (c.layer, how(ranking, c)) if part)),
            score_text(score),
            *([chances.get(c.source, "")] if chances else []),
            large(card.n_parameters) if card else MISSING,
            plain(route(step.converter for step in c.path)),
            style="dim" if c.control else None,
        )
    return table


def truth_table(truth: Truth) -> Table:
    """Measured accuracies, highest first; controls are dim."""
    [study], _ = gather(truth)
    table = new_table(
        f"{shorten(truth.target.name, 60)}: {truth.target.metric} on {noun(truth.split.n_test, 'test sample')}"
    )
    table.add_column("source", overflow="fold", min_width=22)
    table.add_column("strategy", overflow="fold")
    table.add_column("layer", overflow="fold", max_width=18)
    table.add_column(truth.target.metric, justify="right", no_wrap=True)
    table.add_column("seeds ±", justify="right", no_wrap=True)
    table.add_column("test ±", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    for row in study.confirmed:
        table.add_row(
            plain(shorten(row.source, LONGEST)),
            plain(row.strategy + " (quick)" * row.quick + " (collapsed)" * collapsed(row)),
            plain(row.layer),
            percent(row.accuracy),
            percent(row.spread),
            percent(row.standard_error),
            duration(row.seconds),
            style="dim" if row.source in study.controls else None,
        )
    return table


def study_table(study: Study, ranking: Ranking) -> Table:
    """What was estimated of each source beside what training measured, in the order of the ranking."""
    verdict, places = decide(ranking, study.confirmed, study.controls), _places(ranking)
    alarmed = alarms(ranking)
    measured = {(row.source, row.strategy): row for row in study.confirmed}
    strategies = dict.fromkeys(row.strategy for truth in study.truths for row in truth.confirmed)
    tested = f", {study.target.metric} on {noun(study.split.n_test, 'test sample')}" if strategies else ""
    table = new_table(f"{shorten(study.target.name, 50)}: {shorten(ranking.rank_by, 20)}{tested}")
    table.add_column("", justify="right")
    table.add_column("source", overflow="fold", min_width=22)
    table.add_column("", no_wrap=True)
    table.add_column(_fold(f"{ranking.rank_by} {_arrow(ranking)}"), justify="right", no_wrap=True)
    for strategy in strategies:
        table.add_column(_fold(strategy), justify="right", no_wrap=True)
    table.add_column("path", overflow="fold", max_width=16)
    for c in ranking.best():
        score = c.scores.get(ranking.rank_by)
        rows = [measured.get((c.source, strategy)) for strategy in strategies]
        table.add_row(
            places.get(c.source, ""),
            plain(shorten(c.source, LONGEST)),
            plain(_mark(c, verdict, alarmed)),
            score_text(score),
            *(
                MISSING if row is None else f"{percent(row.accuracy)} ± {hundredths(row.standard_error)}"
                for row in rows
            ),
            plain(route(step.converter for step in c.path)),
            style="dim" if c.control else None,
        )
    return table


def agreement_table(evaluation: Evaluation) -> Table:
    """Weighted Kendall, Spearman, Pearson and regret of every order, best first by target and strategy."""
    table = new_table(f"Agreement with measured accuracy ({100 * evaluation.level:.0f} % intervals)")
    table.add_column("order by", overflow="fold")
    table.add_column("n", justify="right", no_wrap=True)
    table.add_column("weighted τ", justify="right", no_wrap=True)
    table.add_column("Spearman", justify="right", no_wrap=True)
    table.add_column("regret, points", justify="right", no_wrap=True)
    above: tuple[str, str] | None = None
    for a in sorted(evaluation.agreements, key=agreement_key):
        if above != (a.target, a.strategy):
            table.add_row(Text(f"{shorten(a.target, 30)}, {shorten(a.strategy, 16)}", style="bold"))
        above = a.target, a.strategy
        table.add_row(
            plain(f"  {a.scorer}"),
            str(a.n_sources),
            estimate(a.weighted_kendall),
            estimate(a.spearman).partition(" ")[0],
            estimate(a.regret_at_1, 100),
        )
    return table


def summary(ranking: Ranking, truth: Truth | None = None) -> str:
    """The verdict as lines of text: the headline, then what it rests on."""
    studies, _ = gather([ranking] if truth is None else [ranking, truth])
    return _sentences(decide(ranking, studies[0].confirmed, studies[0].controls))


def _sentences(verdict: Verdict) -> str:
    return "\n".join([verdict.headline, *(f"- {text}" for text in verdict.details)])


def print_result(result: Result) -> None:
    """Print one result: its table, its sentences, and what went wrong."""
    if isinstance(result, Advised):
        print_parts(advice_table(result), *map(Text, sentences(result)), *_failures(result.failures))
        return
    if isinstance(result, Evaluation):
        parts: list[RenderableType] = []
        if result.agreements:
            parts += [agreement_table(result), *_unmeasured(result)]
        if result.orders:
            parts += [means_table(result), *(Text(clean(f"- {said}")) for said in order_notes(result))]
        print_parts(*parts)
        return
    if isinstance(result, Truth):
        said = decide(None, gather(result)[0][0].confirmed, gather(result)[0][0].controls)
        raced = (Text(f"- {line}") for line in race_lines(result))
        print_parts(truth_table(result), Text(said.headline), *raced, *_failures(result.failures))
        return
    print_parts(ranking_table(result), Text(summary(result)), *_notes(result), *_remarks(result))


def print_study(study: Study) -> None:
    """Print all that is known of one target as one table, the verdict, and what went wrong."""
    if study.ranking is None:
        for truth in study.truths:
            print_result(truth)
        return
    verdict = Text(_sentences(decide(study.ranking, study.confirmed, study.controls)))
    failures = [failure for truth in study.truths for failure in truth.failures]
    print_parts(
        "",
        study_table(study, study.ranking),
        verdict,
        *_notes(study.ranking),
        *_remarks(study.ranking),
        *_failures(failures),
    )


def _notes(ranking: Ranking) -> list[Text]:
    """What mattered within the best sources."""
    notes = choice_notes(ranking)
    shown = [Text(f"- {text}") for text in notes[:MOST_NOTES]]
    more = len(notes) - MOST_NOTES
    return shown + ([Text(f"- {noun(more, 'source')} more: see the report")] if more > 0 else [])


def _remarks(result: Ranking) -> list[Text]:
    """Failed sources, checks, warnings and unreadable samples of a ranking."""
    skipped = [f"unreadable: {shorten(s.sample, 60)} ({shorten(s.reason, 60)})" for s in result.skipped[:MOST_SKIPPED]]
    if len(result.skipped) > MOST_SKIPPED:
        skipped.append(f"unreadable: {len(result.skipped) - MOST_SKIPPED} more, listed in the saved ranking")
    texts = [*cautions(result), *map(clean, result.warnings)]
    warnings = (Text(f"warning: {text}", style="yellow") for text in texts)
    return [*_failures(result.failures), *warnings, *map(Text, skipped)]


def print_scores(scores: Mapping[str, Score]) -> None:
    """Print scores of features that were extracted elsewhere."""
    first = next(iter(scores.values()))
    table = new_table(f"{noun(first.n_samples, 'sample')} x {noun(first.n_features, 'feature')}")
    table.add_column("scorer", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("\u00b1", justify="right", no_wrap=True)
    table.add_column("better", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("warnings", overflow="fold")
    for name, score in scores.items():
        table.add_row(
            plain(name),
            "saturated" if score.saturated else number(score.value),
            number(score.standard_error),
            "higher" if score.higher_is_better else "lower",
            number(score.seconds),
            plain(" ".join((*score.warnings, *([score.error] if score.error else [])))),
        )
    print_parts(table)


def print_layers(found: LayerSimilarity) -> None:
    """Print which layer of the second source each layer of the first is most like."""
    title = f"{found.measure} on {noun(found.n_samples, 'sample')} of {shorten(found.target, 40)}"
    table = new_table(title)
    table.add_column(_fold(found.sources[0]), overflow="fold")
    table.add_column(f"most like, in {shorten(found.sources[1], 40)}", overflow="fold")
    table.add_column("CKA", justify="right", no_wrap=True)
    for layer, row in zip(found.first_layers, found.values, strict=True):
        known = [(value, name) for value, name in zip(row, found.second_layers, strict=True) if value is not None]
        value, name = max(known, default=(None, MISSING))
        table.add_row(plain(layer), plain(name), number(value))
    print_parts(table, "--json prints all pairs of layers.")


def _fold(text: str) -> Text:
    return Text(shorten(text, 22))


def _places(ranking: Ranking) -> dict[str, str]:
    """Rank intervals where they are known, else ranks."""
    return intervals_of(ranking.standings) or {source: str(place) for source, place in ranks(ranking).items()}


def _mark(candidate: Candidate, verdict: Verdict, alarmed: list[str]) -> str:
    if candidate.control:
        return "twin" if candidate.control == "random" else "raw"
    if candidate.dropped:
        return "out"
    warned = "!" if candidate.source in alarmed else ""
    if verdict.leader and candidate.source == verdict.leader.source:
        return f"best {warned}".strip()
    return f"tied {warned}".strip() if candidate.source in verdict.tied else warned


def _arrow(ranking: Ranking) -> str:
    return {True: "↑", False: "↓", None: ""}[higher_is_better(ranking, ranking.rank_by)]


def _failures(failures: Iterable[Failure]) -> list[Text]:
    return [Text(f"failed: {clean(f.source)}: {clean(f.reason)}", style="red") for f in failures]


def _unmeasured(evaluation: Evaluation) -> list[Text]:
    """Why values are missing, each reason once with the orders it concerns."""
    found: dict[str, list[str]] = {}
    for a in evaluation.agreements:
        if a.weighted_kendall.value is None and a.weighted_kendall.note:
            names = found.setdefault(a.weighted_kendall.note, [])
            names += [a.scorer] * (a.scorer not in names)
    return [Text(clean(f"no value for {listed(names)}: {note}"), style="dim") for note, names in found.items()]
