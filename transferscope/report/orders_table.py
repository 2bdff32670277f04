"""The HTML table of what orders are worth: means over targets, then each target."""

from __future__ import annotations

from ..agreements import OrderScore
from ..results import Evaluation
from .formats import MISSING, clean, count
from .orders import by_agreement, unit_of
from .tables import Column, Row, Table, estimate

TITLES = {
    "weighted_kendall": "Weighted Kendall", "spearman": "Spearman", "pearson": "Pearson", "regret_at_1": "Regret@1",
    "regret_at_3": "Regret@3", "best_in_top_3": "Best in top 3", "top_1_among_3_best": "First among 3 best",
}  # fmt: skip
WITH_INTERVAL = ("weighted_kendall", "regret_at_1")
MOST_TARGETS = 20  # that are shown one by one


def orders_table(evaluation: Evaluation) -> Table:
    """Means first; the saved evaluation holds every measure of every target."""
    targets = list(dict.fromkeys(row.target for row in evaluation.orders if row.target is not None))
    groups: list[tuple[str, list[OrderScore]]] = [
        ("Mean over targets", [row for row in evaluation.orders if row.target is None])
    ]
    if len(targets) <= MOST_TARGETS:
        groups += [(str(target), [row for row in evaluation.orders if row.target == target]) for target in targets]
    shown = [name for name in TITLES if any(name in row.measures for row in evaluation.orders)]
    interval = f"{100 * evaluation.level:.0f} % interval"
    columns = [
        Column("Order by", is_name=True),
        Column("n", "targets or sources", numeric=True),
        *(Column(TITLES[name], interval if name in WITH_INTERVAL else "", numeric=True) for name in shown),
    ]
    unit = unit_of(evaluation)
    bodies = tuple(
        (clean(name), tuple(_row(row, shown, unit) for row in sorted(rows, key=by_agreement))) for name, rows in groups
    )
    return Table("Every order beside measured accuracy; regret in accuracy points", tuple(columns), bodies)


def _row(row: OrderScore, shown: list[str], unit: float) -> Row:
    cells = []
    for name in shown:
        found = row.measures.get(name)
        text = MISSING if found is None else estimate(found, unit if name.startswith("regret") else 1)
        cells.append(text if name in WITH_INTERVAL else text.partition(" ")[0])
    return Row(
        (clean(row.order), count(row.n), *cells),
        tags=("control",) if row.is_control else (),
        is_control=row.is_control,
    )
