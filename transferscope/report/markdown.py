"""A summary in Markdown, short enough for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..results import Evaluation
from .answer import answer
from .formats import clean
from .orders import order_notes
from .ranked import ranking_table
from .study import Study
from .tables import Table, confirmation_table
from .trust import cautions
from .verdict import decide

MOST_ROWS = 10  # of a table
# within a word _ is plain, and so is a colon that begins no address
_SPECIAL = re.compile(
    r"([\\`*\[\]#|~!]|(?<!\w)_|_(?!\w)|:(?=//)|^[+-]|(?<=^\d)[.)](?=\s))"
)  # within a word _ is plain
SHOWN = ("Source", "Best", "Places", "Layer", "Latency", "Parameters", "Licence")  # and the score that ranks
TRAINED = ("Source", "Strategy", "Layer", "Test error", "Time")  # and what was measured


def markdown(studies: Iterable[Study], evaluations: Iterable[Evaluation]) -> str:
    """The summary."""
    parts = [part for study in studies for part in _study(study)]
    notes = [note for evaluation in evaluations for note in order_notes(evaluation)]
    if notes:
        parts += ["## What the orders are worth", _bullets(notes)]
    return "\n\n".join(["# Which pretrained model to start from", *parts]) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown, HTML inside it, and a forge's mentions take for nothing else."""
    text = _SPECIAL.sub(r"\\\1", clean(re.sub(r"[ \t\r\n]+", " ", text)))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")


def table_text(table: Table, titles: Sequence[str], most: int = MOST_ROWS) -> str:
    """The columns with these titles, of the first rows; bands are told by their names in a column."""
    kept = [k for k, column in enumerate(table.columns) if column.title in titles]
    heads = [escaped(table.columns[k].title) for k in kept]
    lines = [_line(heads), _line(["--:" if table.columns[k].numeric else ":--" for k in kept])]
    rows = [row for _, body in table.bodies for row in body]
    for row in rows[:most]:
        cells = [escaped(row.cells[k]) for k in kept]
        place = f"{row.place}. " if row.place else ""
        cells[0] = f"{place}{cells[0]}{''.join(f' _({escaped(tag)})_' for tag in row.tags)}"
        lines.append(_line(cells))
    text = "\n".join(lines)
    return text if len(rows) <= most else f"{text}\n\n{len(rows) - most} more rows are in the saved results."


def _study(study: Study) -> list[str]:
    ranking = study.ranking
    verdict = decide(ranking, study.confirmed, study.controls)
    found = answer(study, verdict)
    parts = [f"## {escaped(study.target.name)}"]
    if found.vetoes:
        parts += ["> **The order means nothing before this is mended:**\n>\n" + _bullets(found.vetoes, "> ")]
    else:
        parts.append(f"**{escaped(verdict.headline)}**")
    if found.rows:
        parts.append("\n".join(f"- **{question}:** {escaped(' '.join(texts))}" for question, texts in found.rows))
    if ranking and ranking.candidates:
        table = ranking_table(ranking, verdict)
        parts += ["### Ranking", table_text(table, [*SHOWN, table.columns[1].title])]
    if study.confirmed:
        trained = confirmation_table(study)
        parts += ["### Confirmed by training", table_text(trained, [*TRAINED, trained.columns[3].title])]
    noted = [*(cautions(ranking) if ranking else []), *(f"failed: {f.source}: {f.reason}" for f in study.failures)]
    return [*parts, *(["### Warnings", _bullets(noted)] if noted else [])]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _bullets(texts: Sequence[str], before: str = "") -> str:
    return "\n".join(f"{before}- {escaped(text)}" for text in texts)
