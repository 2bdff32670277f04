"""Freeze or fine-tune in a terminal."""

from __future__ import annotations

from rich.table import Table

from ..advices import signed
from ..results import Advised
from .advice import headline
from .drawn import new_table, plain
from .formats import MISSING, clean, number, percent, shorten


def advice_table(advised: Advised) -> Table:
    """One row a source."""
    table = new_table(f"{shorten(advised.target.name, 60)}: freeze or fine-tune")
    table.add_column("source", overflow="fold", min_width=22)
    table.add_column("advice", overflow="fold")
    table.add_column("frozen", justify="right", no_wrap=True)
    table.add_column("tangent", justify="right", no_wrap=True)
    table.add_column("gain, points", justify="right", no_wrap=True)
    table.add_column("breaks even at", justify="right", no_wrap=True)
    for one in advised.advice:
        point = one.signals.curve[-1]
        table.add_row(
            plain(shorten(one.source, 60)),
            plain(one.way + ("" if one.sure else " (unsure)")),
            percent(point.frozen),
            percent(point.tuned),
            f"{signed(one.gain)} [{signed(one.gain_low)}, {signed(one.gain_high)}]",
            MISSING if one.break_even is None else number(one.break_even),
        )
    return table


def sentences(advised: Advised) -> list[str]:
    """Of each source the advice and its reasons."""
    return [text for one in advised.advice for text in (headline(one), *(f"- {clean(why)}" for why in one.reasons))]
