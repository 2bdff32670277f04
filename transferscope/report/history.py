"""The history in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..tasks import METRICS
from .drawn import new_table, plain, print_parts
from .formats import duration, number, percent, shorten

MOST = 200  # rows that are printed; an export has all


def print_history(rows: Sequence[Mapping[str, Any]]) -> None:
    """Accuracies or scores, newest last."""
    if not rows:
        print_parts(
            "The history is empty: `rank` and `confirm` fill it, and `history import` takes in published tables."
        )
        return
    shown = rows[-MOST:]
    drawn = new_table(None if len(shown) == len(rows) else f"The newest {MOST} of {len(rows)} rows; export has all")
    is_scores = "scorer" in rows[0]
    for name in ("when", "target", "source", "scorer" if is_scores else "strategy"):
        drawn.add_column(name, overflow="fold", no_wrap=name == "when")
    for name in ("value", "±") if is_scores else ("accuracy", "±", "time"):
        drawn.add_column(name, justify="right", no_wrap=True)
    for row in shown:
        names = (str(row["created"])[:10], shorten(row["target"], 40), shorten(row["source"], 40))
        if is_scores:
            cells: tuple[str, ...] = (row["scorer"], number(row["value"]), number(row["standard_error"]))
        else:
            accuracy = row["accuracy"] / (100 if row["accuracy"] > 1.5 else 1)
            metric = row.get("metric") or METRICS["classification"]
            told = percent(accuracy) if metric == METRICS["classification"] else f"{metric} {percent(accuracy)}"
            cells = (row["strategy"], told, percent(row["standard_error"]), duration(row["seconds"]))
        drawn.add_row(*(plain(cell) for cell in (*names, *cells)))
    print_parts(drawn)
