"""One source in full: its layers, each score in plain words, what its adapter changed, and what it is."""

from __future__ import annotations

from dataclasses import dataclass

from ..results import Candidate, Ranking
from ..scorers.combine import COMBINATIONS, MEANING
from ..scorers.registry import SCORERS
from .canvas import Plot
from .choices import how, source_note
from .curves import curve_plot
from .formats import clean, count, listed, noun, percent, score_text, shorten, written_edits
from .tables import Column, Row, Table, higher_is_better, ranks
from .trust import chance, dropped_text

MOST_SOURCES = 12  # that are told in full, best first
MOST_CURVES = 6  # of them get a curve


@dataclass(frozen=True)
class Detail:
    """A source at its best layer, ready for the template."""

    source: str
    place: int | None
    summary: str  # what stands beside its name while it is closed
    note: str  # what mattered within it
    curve: Plot | None
    scores: Table
    ledger: Table | None
    facts: tuple[tuple[str, str], ...]


def details(ranking: Ranking, key: str) -> tuple[Detail, ...]:
    """The best `MOST_SOURCES`; all others are in the tables."""
    shown = [c for c in ranking.best() if not c.control][:MOST_SOURCES]
    return tuple(_detail(ranking, c, f"{key}-curve-{k}", k <= MOST_CURVES) for k, c in enumerate(shown, 1))


def _detail(ranking: Ranking, best: Candidate, key: str, with_curve: bool) -> Detail:
    standing = next((s for s in ranking.standings if s.source == best.source), None)
    score = score_text(best.scores.get(ranking.rank_by))
    chances = f", best with {chance(standing.p_best)} probability" if standing else ""
    fallen = next((one for one in ranking.race.dropped if one.source == best.source), None) if ranking.race else None
    note = source_note(ranking, best)
    if fallen:
        note = clean(f"It was {dropped_text(fallen, ranking.rank_by)}. {note}".strip())
    return Detail(
        clean(best.source),
        ranks(ranking).get(best.source),
        f"{clean(ranking.rank_by)} {score} at layer {shorten(best.layer, 40)}{chances}",
        note,
        curve_plot(ranking, best, key) if with_curve else None,
        _scores(ranking, best),
        _ledger(best),
        tuple(_facts(ranking, best)),
    )


def _scores(ranking: Ranking, best: Candidate) -> Table:
    """Every score with what it means and when not to believe it."""
    columns = [
        Column("Score", is_name=True),
        Column("Value", "± standard error", numeric=True),
        Column("Better"),
        Column("What it means", is_text=True),
        Column("When it misleads", is_text=True),
    ]
    rows = []
    for name, score in best.scores.items():
        higher = higher_is_better(ranking, name)
        better = "" if higher is None else "higher" if higher else "lower"
        meaning, misleads = meanings(name)
        remarks = [sentence(clean(text)) for text in (*score.warnings, score.error) if text]
        said = " ".join([misleads, *remarks]).strip()
        tags = ("ranks here",) if name == ranking.rank_by else ()
        rows.append(Row((clean(name), score_text(score), better, meaning, said), tags=tags))
    return Table.of("Scores at its best layer; remarks on these very values follow what is always so", columns, rows)


def meanings(name: str) -> tuple[str, str]:
    """What a scorer measures and when it misleads, from the registry; empty for one that is not installed here."""
    if name in SCORERS:
        spec = SCORERS[name]
        return sentence(spec.meaning), sentence(spec.misleads)
    if name in COMBINATIONS:
        return MEANING, sentence(COMBINATIONS[name].misleads)
    return "Not installed here, so its description is not known.", ""


def sentence(text: str) -> str:
    """With a capital and an end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith((".", "!", "?")) else ".")


def _ledger(best: Candidate) -> Table | None:
    """What the adapter did to the samples, as shares."""
    columns = [Column("Mismatch", is_name=True), Column("Share", numeric=True), Column("Warning", is_text=True)]
    remarks = any(loss.warning for loss in best.losses)
    rows = [
        Row((clean(loss.name), percent(loss.share), *([clean(loss.warning or "none")] if remarks else [])))
        for loss in best.losses
    ]
    caption = "What does not fit between the samples and what it was trained on"
    return Table.of(caption, columns if remarks else columns[:2], rows) if rows else None


def _facts(ranking: Ranking, best: Candidate) -> list[tuple[str, str]]:
    card = ranking.card(best.source)
    steps = listed([clean(step.converter).replace("->", " to ") for step in best.path])
    found = [
        ("Features", f"{count(best.n_features)}, {clean(best.pooling)} pooling of layer {clean(best.layer)}"),
        ("Choices", how(ranking, best)),
        ("Adapter", steps),
        ("Changed", "" if best.losses else listed(written_edits(best.edits))),
    ]
    if card:
        found += [
            ("Architecture", f"{card.architecture}, {noun(len(card.layers), 'layer')} that can be read"),
            ("Pretrained on", card.pretraining or ""),
            ("Licence", card.license or "not stated"),
            ("Weights", f"SHA-256 {card.weights_sha256}"),
        ]
    return [(term, clean(text)) for term, text in found if text]
