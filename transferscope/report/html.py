"""The report as one self-contained HTML page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from html import escape
from itertools import zip_longest
from typing import TYPE_CHECKING

from ..results import Agreement, Candidate, Evaluation, Ranking, Step
from ..stamp import Stamp, version_differences
from ..tasks import ANSWERS
from .advice import advice_plot
from .alike import layer_similarity_plot, layer_similarity_table
from .answer import Answer, answer
from .canvas import Plot
from .details import Detail, details
from .examples import Sample, sample_notes, samples
from .formats import arrows, clean, count, duration, listed, noun, shorten, written_edits
from .glossary import entries
from .maps import alignment_table, discrepancy_plot, map_plot
from .orders import order_notes
from .orders_table import orders_table
from .plots import confirmation_plots, layer_plot, ranking_plot, similarity_plot
from .race import race_notes
from .raced import training_race_plot, training_race_table
from .ranked import FEW_ROWS, layer_table, ranking_table, score_notes, scores_table
from .spent import front_plot, learning_plots, race_plot
from .study import Study
from .tables import (
    Table,
    agreement_table,
    card_table,
    confirmation_table,
    discrepancy_table,
    ranks,
)
from .trust import cautions
from .trust_tables import trust_tables
from .verdict import Verdict, decide
from .views import view_plots

if TYPE_CHECKING:
    from jinja2 import Environment

FRAME = 120  # bytes of markup around a picture
LARGEST = 2_000_000  # bytes
MOST_LAYER_ROWS = 5000  # of the tables of all layers; more would not fit whatever else is left out
WAYS_TO_SHRINK = (  # what is widest goes first when a report is larger; pictures take the room that is left
    frozenset[str](),
    frozenset({"layers"}),
    frozenset({"layers", "scores"}),
    frozenset({"layers", "scores", "details"}),
    frozenset({"layers", "scores", "details", "rows"}),
)


Drawn = Plot | Sample


@dataclass(frozen=True)
class Road:
    """An adapter path and the sources that take it."""

    sources: str
    steps: tuple[Step, ...]
    edits: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """One target, ready for the template."""

    key: str
    study: Study
    verdict: Verdict
    answer: Answer
    facts: str
    classes: str
    answers: str
    ranking: Table | None
    first_rows: Table | None  # of the ranking, where all of them are too many
    scores: Table | None
    notes: tuple[str, ...]
    details: tuple[Detail, ...]
    cautions: tuple[str, ...]
    trust: tuple[tuple[str, Table], ...]
    layers: Table | None
    lacks_layers: bool  # there would be such a table, were there not too many rows in it
    alike: tuple[Table, ...]  # layers, and sources and the classes
    plots: tuple[Plot, ...]
    samples: tuple[Sample, ...]
    sample_notes: tuple[str, ...]
    roads: tuple[Road, ...]
    confirmed: Table | None
    races: tuple[tuple[tuple[str, ...], Table], ...]  # of training: what is said of each, and its arms
    agreement: Table | None
    discrepancy: Table | None
    cards: Table | None
    stamps: tuple[tuple[str, Stamp], ...]

    def pictures(self, with_curves: bool) -> list[Drawn]:
        """All pictures and samples, those that say most first."""
        curves = [detail.curve for detail in self.details if detail.curve and with_curves]
        return [*self.plots[:1], *self.samples[:1], *self.plots[1:], *self.samples[1:], *curves]


def page(studies: list[Study], evaluations: list[Evaluation]) -> str:
    """The page, at most `LARGEST` bytes where leaving out what is widest makes it so."""
    level = evaluations[0].level if evaluations else 0.9
    n_layers = sum(len(study.ranking.candidates) for study in studies if study.ranking)
    with_layers = n_layers <= MOST_LAYER_ROWS
    sections = [_section(f"t{place}", study, level, with_layers) for place, study in enumerate(studies, 1)]
    fill = _template(studies, evaluations, sections)
    none: frozenset[Drawn] = frozenset()
    for left_out in WAYS_TO_SHRINK:
        text = fill(left_out, none)
        if (size := len(text.encode())) <= LARGEST:
            break
    drawn = _that_fit(sections, LARGEST - size, "details" not in left_out)
    return fill(left_out, drawn) if drawn else text


def _that_fit(sections: list[Section], room: int, with_curves: bool) -> frozenset[Drawn]:
    """Pictures for which there is room, the first of every target before the second of any."""
    drawn = set[Drawn]()
    columns = [section.pictures(with_curves) for section in sections]
    for one in (one for row in zip_longest(*columns) for one in row if one):
        room -= _weight(one) + FRAME
        if room < 0:
            break
        drawn.add(one)
    return frozenset(drawn)


def _weight(one: Drawn) -> int:
    """Bytes."""
    if isinstance(one, Plot):
        return len(one.svg.encode()) + len(escape(one.title + one.caption).encode())
    return len(environment().get_template("examples.html").module.sample(one).encode())  # type: ignore[attr-defined]


@cache
def environment() -> Environment:
    """Templates that escape whatever they are given."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("transferscope.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters |= {"clean": clean, "duration": duration, "count": count, "shorten": shorten, "arrows": arrows}
    script = made.get_template("sort.js").render()
    made.globals |= {"script": script, "script_hash": _hash(script), "few_rows": FEW_ROWS}
    return made


def _hash(script: str) -> str:
    """What lets this one script run and no other, whatever a name smuggles in."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _template(
    studies: list[Study], evaluations: list[Evaluation], sections: list[Section]
) -> Callable[[frozenset[str], frozenset[Drawn]], str]:
    """The page as a function of the parts to leave out and the pictures to show."""
    template = environment().get_template("report.html")
    shown = {row for study in studies for row in study.agreements}
    strangers = [row for evaluation in evaluations for row in evaluation.agreements if row not in shown]
    level = evaluations[0].level if evaluations else 0.9
    parts = {
        "title": _title(studies),
        "sections": sections,
        "agreement": _agreement(strangers, None, level, with_target=True),
        "orders": [
            (orders_table(evaluation), order_notes(evaluation)) for evaluation in evaluations if evaluation.orders
        ],
        "evaluations": [("Evaluation", evaluation.stamp) for evaluation in evaluations],
        "glossary": entries(studies, evaluations),
    }
    return lambda left_out, drawn: template.render(parts, left_out=left_out, drawn=drawn)


def _title(studies: list[Study]) -> str:
    names = [shorten(study.target.name, 60) for study in studies]
    return f"{names[0] if len(names) == 1 else noun(len(names), 'target') if names else 'Agreement'} · TransferScope"


def _section(key: str, study: Study, level: float, with_layers: bool) -> Section:
    ranking = study.ranking
    verdict = decide(ranking, study.confirmed, study.controls)
    ranked = ranking if ranking and ranking.candidates else None
    return Section(
        key=key,
        study=study,
        verdict=verdict,
        answer=answer(study, verdict),
        facts=_facts(study),
        classes=_classes(study),
        answers=ANSWERS[study.target.task].capitalize(),
        ranking=ranking_table(ranked, verdict) if ranked else None,
        first_rows=ranking_table(ranked, verdict, FEW_ROWS) if ranked else None,
        scores=scores_table(ranked) if ranked and len(ranked.scorers) > 1 else None,
        notes=tuple(score_notes(ranking)) if ranking else (),
        details=details(ranking, key) if ranking else (),
        cautions=(*(cautions(ranking) if ranking else ()), *_mixed(study)),
        trust=trust_tables(ranking) if ranking else (),
        layers=layer_table(ranking) if ranking and with_layers and _has_layers(ranking) else None,
        lacks_layers=ranking is not None and not with_layers and _has_layers(ranking),
        alike=tuple(_alike(ranking)) if ranking else (),
        plots=tuple(_plots(key, study, verdict)),
        samples=samples(ranking) if ranking else (),
        sample_notes=tuple(sample_notes(ranking)) if ranking else (),
        roads=tuple(_roads(ranking)) if ranking else (),
        confirmed=confirmation_table(study) if study.confirmed else None,
        races=tuple(_races(study)),
        agreement=_agreement(study.agreements, ranking.rank_by if ranking else None, level, with_target=False),
        discrepancy=discrepancy_table(ranking) if ranking and ranking.discrepancy else None,
        cards=card_table(ranking) if ranking and ranking.sources else None,
        stamps=(
            *((("Ranking", ranking.stamp),) if ranking else ()),
            *(("Training", t.stamp) for t in study.truths),
            *(("Advice", made.stamp) for made in study.advised),
        ),
    )


def _agreement(rows: Iterable[Agreement], rank_by: str | None, level: float, *, with_target: bool) -> Table | None:
    found = list(rows)
    return agreement_table(found, rank_by, level, with_target) if found else None


def _has_layers(ranking: Ranking) -> bool:
    """Whether the full table would say more than the best layers alone."""
    return len(ranking.best()) < len(ranking.candidates)


def _alike(ranking: Ranking) -> Iterable[Table]:
    if made := alignment_table(ranking):
        yield made
    yield from (layer_similarity_table(ranking, found) for found in ranking.layer_similarity)


def _plots(key: str, study: Study, verdict: Verdict) -> Iterable[Plot]:
    if ranking := study.ranking:
        found = [
            ranking_plot(ranking, verdict, f"{key}-rank"),
            front_plot(ranking, f"{key}-front"),
            race_plot(ranking, f"{key}-race"),
            layer_plot(ranking, f"{key}-layers"),
        ]
        found += view_plots(ranking, f"{key}-view")
        found += [map_plot(ranking, f"{key}-map"), discrepancy_plot(ranking, f"{key}-data")]
        found += [
            layer_similarity_plot(ranking, s, f"{key}-pairs-{i}") for i, s in enumerate(ranking.layer_similarity)
        ]
        found += [similarity_plot(ranking, s, f"{key}-alike-{i}") for i, s in enumerate(ranking.similarity)]
        yield from (plot for plot in found if plot)
    yield from confirmation_plots(study, f"{key}-confirmed")
    places = ranks(ranking) if ranking else {}
    trained = (training_race_plot(truth, places, f"{key}-arms-{i}") for i, truth in enumerate(study.truths))
    yield from (plot for plot in trained if plot)
    yield from learning_plots(study, f"{key}-learning")
    advice = [one for made in study.advised for one in made.advice]
    yield from (advice_plot(one, f"{key}-advice-{place}") for place, one in enumerate(advice))


def _races(study: Study) -> Iterable[tuple[tuple[str, ...], Table]]:
    places = ranks(study.ranking) if study.ranking else {}
    for truth in study.truths:
        if truth.race:
            yield tuple(race_notes(truth.race)), training_race_table(truth, truth.race, places)


def _mixed(study: Study) -> list[str]:
    """Whether the results of one target were made by different versions."""
    stamps = [*([study.ranking.stamp] if study.ranking else []), *(truth.stamp for truth in study.truths)]
    said = version_differences(stamp.versions for stamp in stamps)
    return [clean(f"These results were made by {said}: they may not belong together.")] if said else []


def _facts(study: Study) -> str:
    """Size, classes and split in one line."""
    target, split = study.target, study.split
    named = {"image": "image", "audio": "sound", "text": "text"}[target.modality]
    n = len(target.classes)
    told = ANSWERS[target.task] if n > 1 else ANSWERS[target.task].removesuffix("s")  # there is no single class
    facts = f"{noun(target.n_samples, named)}, {n} {told}{' to predict' if target.task == 'regression' else ''}"
    if target.class_counts:
        low, high = min(target.class_counts), max(target.class_counts)
        facts += f" of {count(low)}" + (f" to {count(high)}" if high > low else "")
    if target.n_groups is not None:
        facts += f", {noun(target.n_groups, 'group')}"
    train, validation, test = map(count, (split.n_train, split.n_validation, split.n_test))
    sizes = f"{train} to score and train, {validation} to validate, {test} to test"
    kept = "; groups stay on one side" if split.grouped else ""
    sampled = "" if split.max_samples is None else f", from a sample of at most {count(split.max_samples)}"
    return f"{facts}. Split: {sizes}{sampled}{kept}."


def _classes(study: Study) -> str:
    """Class names and sizes; the tail of a long list is counted."""
    target = study.target
    if target.task == "regression":
        spans = zip(target.classes, target.ranges, strict=True)
        return listed([f"{shorten(name, 60)} ({low:g} to {high:g})" for name, (low, high) in spans], most=50)
    pairs = zip(target.classes, target.class_counts, strict=True)
    return listed([f"{shorten(name, 60)} ({count(n)})" for name, n in pairs], most=50)


def _roads(ranking: Ranking) -> Iterable[Road]:
    """Paths of the best layers, each once with all that take it; twins take their source's."""
    found: dict[tuple[object, ...], tuple[list[str], Candidate]] = {}
    for c in ranking.best():
        if c.control == "random":
            continue
        steps = tuple((s.converter, tuple(s.settings.items()), s.reference) for s in c.path)
        found.setdefault((steps, tuple(c.edits.items())), ([], c))[0].append(c.source)
    for names, c in found.values():
        warnings = tuple(clean(loss.warning) for loss in c.losses if loss.warning)
        yield Road(clean(listed(names)), c.path, tuple(written_edits(c.edits, c.losses)), warnings)
