"""One row per candidate as CSV, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from ..results import Candidate, Ranking
from .study import Study
from .tables import ranks

Cell = str | int | float | bool | None
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet runs a cell that begins with one


def sheet(studies: Iterable[Study]) -> str:
    """Every candidate of every target; columns that another target alone has are empty."""
    rows = [row for study in studies for row in _rows(study)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [_safe(name) for name in columns], lineterminator="\n")
    writer.writeheader()
    writer.writerows({str(_safe(name)): _safe(cell) for name, cell in row.items()} for row in rows)
    return buffer.getvalue()


def _safe(cell: Cell) -> Cell:
    """Names may hold what a spreadsheet would run; numbers cannot."""
    if isinstance(cell, str) and cell.startswith(FORMULA):
        return f"'{cell}"
    return cell


def _rows(study: Study) -> list[dict[str, Cell]]:
    if study.ranking is None:
        return [
            {"target": study.target.name, "source": row.source, "layer": row.layer, **_measured(study, row.source)}
            for row in {row.source: row for row in study.confirmed}.values()
        ]
    places = ranks(study.ranking)
    return [_row(study, study.ranking, candidate, places) for candidate in study.ranking.candidates]


def _row(study: Study, ranking: Ranking, c: Candidate, places: dict[str, int]) -> dict[str, Cell]:
    card = ranking.card(c.source)
    standing = next((s for s in ranking.standings if s.source == c.source), None)
    cost = next((cost for cost in ranking.costs if cost.source == c.source), None)
    row: dict[str, Cell] = {
        "target": study.target.name, "source": c.source, "layer": c.layer, "pooling": c.pooling,
        "choices": "; ".join(c.choices), "path": " > ".join(step.converter for step in c.path),
        "control": c.control, "is_best_layer": c.is_best_layer, "dropped": c.dropped,
        "place": places.get(c.source),
        "p_best": standing.p_best if standing else None,
        "in_best_set": standing.in_best_set if standing else None,
        "place_low": standing.places[0] if standing else None,
        "place_high": standing.places[1] if standing else None,
        "n_features": c.n_features,
        "n_parameters": card.n_parameters if card else None,
        "flops": card.flops if card else None,
        "license": card.license if card else None,
        "latency_seconds": cost.latency if cost else None,
        "tuning_bytes": cost.tuning_bytes if cost else None,
        "tuning_seconds": cost.tuning_seconds if cost else None,
    }  # fmt: skip
    for name in ranking.scorers:
        score = c.scores.get(name)
        row[name] = score.value if score else None
        row[f"{name} standard error"] = score.standard_error if score else None
    return row | (_measured(study, c.source) if c.is_best_layer else {})


def _measured(study: Study, source: str) -> dict[str, Cell]:
    """Accuracies of one source, a column per strategy; they are of the source, not of one layer of it."""
    return {f"accuracy {row.strategy}": row.accuracy for row in study.confirmed if row.source == source}
