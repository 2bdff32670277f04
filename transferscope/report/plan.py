"""What a ranking would cost, in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from ..spending import Planned
from .drawn import new_table, plain, print_parts
from .formats import count, duration, large, percent, shorten


def print_plan(planned: Sequence[Planned]) -> None:
    """A row per source, and the sum."""
    table = new_table("What this ranking would cost (nothing was ranked)")
    table.add_column("source", overflow="fold", min_width=24)
    for name in ("passes", "cached", "FLOPs", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for one in planned:
        cached = percent(one.cached / one.passes) if one.passes else ""
        table.add_row(
            plain(shorten(one.source, 60)), count(one.passes), cached, large(one.flops), duration(one.seconds),
            plain(one.note),
        )  # fmt: skip
    seconds = sum(one.seconds or 0.0 for one in planned)
    missing = sum(one.passes - one.cached for one in planned)
    print_parts(
        table,
        f"In all {count(missing)} forward passes and about {duration(seconds)}, scoring not counted; a race "
        "(--race) makes it less.",
    )
