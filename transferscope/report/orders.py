"""What orders of the sources are worth, in a terminal: means over targets first, and sentences on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..agreements import OrderScore
from ..results import Evaluation
from .formats import count, noun, percent, shorten
from .tables import estimate

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = ("weighted_kendall", "spearman", "regret_at_1", "regret_at_3", "best_in_top_3")
TITLES = {
    "weighted_kendall": "weighted τ", "spearman": "Spearman", "regret_at_1": "regret@1", "regret_at_3": "regret@3",
    "best_in_top_3": "best in top 3",
}  # fmt: skip


def order_table(title: str, rows: Sequence[OrderScore], unit: float) -> Table:
    """One row per order, the highest weighted tau first; controls are dim."""
    from .drawn import new_table, plain

    table = new_table(title)
    table.add_column("order by", overflow="fold")
    table.add_column("n", justify="right", no_wrap=True)
    shown = [name for name in SHOWN if any(name in row.measures for row in rows)]
    for name in shown:
        table.add_column(TITLES[name], justify="right", no_wrap=True)
    for row in sorted(rows, key=by_agreement):
        cells = []
        for name in shown:
            found = row.measures.get(name)
            text = "" if found is None else estimate(found, unit if name.startswith("regret") else 1)
            cells.append(text if name in ("weighted_kendall", "regret_at_1") else text.partition(" ")[0])
        name = f"{shorten(row.order, 30)}{' (control)' if row.is_control else ''}"
        table.add_row(plain(name), count(row.n), *cells, style="dim" if row.is_control else None)
    return table


def by_agreement(row: OrderScore) -> tuple[float, str]:
    """For sorting: the highest weighted tau first."""
    value = row.measures["weighted_kendall"].value
    return (2.0 if value is None else -value), row.order


def unit_of(evaluation: Evaluation) -> float:
    """100 where accuracies are shares, so that regret is told in points; 1 where they are in per cent."""
    values = [
        found.value for row in evaluation.orders for name, found in row.measures.items()
        if name.startswith("regret") and found.value is not None
    ]  # fmt: skip
    return 1.0 if max(values, default=0.0) > 1 else 100.0


def means_table(evaluation: Evaluation) -> Table:
    """Means over targets."""
    rows = [row for row in evaluation.orders if row.target is None]
    level = f"{100 * evaluation.level:.0f} % intervals over targets and sources"
    return order_table(f"Means over targets ({level}; regret in points)", rows, unit_of(evaluation))


def print_targets(evaluation: Evaluation) -> None:
    """A table per target."""
    from .drawn import print_parts

    for target in dict.fromkeys(row.target for row in evaluation.orders if row.target is not None):
        rows = [row for row in evaluation.orders if row.target == target]
        print_parts(order_table(shorten(target, 60), rows, unit_of(evaluation)))


def order_notes(evaluation: Evaluation) -> list[str]:
    """Which order is best, and whether it beats the best control beyond noise."""
    means = [row for row in evaluation.orders if row.target is None]
    means.sort(key=lambda row: (-row.n, by_agreement(row)))  # a high mean over fewer targets does not compare
    scorers, controls = ([row for row in means if row.is_control is wanted] for wanted in (False, True))
    if not scorers:
        return list(evaluation.notes)
    best = scorers[0]
    said = [f"Best by mean weighted τ over {noun(best.n, 'target')}: {best.order}."]
    if len(scorers) > 1:
        said.append(_against(evaluation, best, scorers[1]))
    if controls:
        said.append(_against(evaluation, best, controls[0], control=True))
    else:
        said.append("No control stands beside it: a static order needs other targets, a size a column of its own.")
    return [*(text for text in said if text), *evaluation.notes]


def _against(evaluation: Evaluation, best: OrderScore, rival: OrderScore, *, control: bool = False) -> str:
    """Two orders on the same draws."""
    pair = {best.order, rival.order}
    found = next(
        (c for c in evaluation.comparisons if {c.first, c.second} == pair and c.measure == "weighted_kendall"), None
    )
    name = f"the best control, {rival.order}" if control else rival.order
    if found is None or found.difference.value is None:
        return f"How it compares with {name} is not known: they order no target both."
    sign = 1.0 if found.first == best.order else -1.0
    low, high = found.difference.low, found.difference.high
    gap = sign * found.difference.value
    if low is None or high is None or found.first_better is None:
        return f"It is {gap:+.3f} against {name}; {found.difference.note or 'the noise is unknown'}."
    low, high = sorted((sign * low, sign * high))
    share = found.first_better if sign > 0 else 1 - found.first_better
    verdict = "beyond noise" if low > 0 or high < 0 else "within noise"
    gained = f"{gap:+.3f} [{low:+.3f}, {high:+.3f}], {verdict}"
    return f"Against {name}: {gained}; it is ahead in {percent(share)} of the draws."
