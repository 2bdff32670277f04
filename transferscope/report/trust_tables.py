"""Tables of the HTML report on what a ranking says of itself: controls, ties, costs, the race, what was left out."""

from __future__ import annotations

from ..results import Ranking
from .formats import MISSING, NBSP, clean, count, duration, large, number, percent, with_error
from .tables import NAME, Column, Row, Table, ranks
from .trust import CONTROL_NAMES, milliseconds


def trust_tables(ranking: Ranking) -> tuple[tuple[str, Table], ...]:
    """Headings and tables, those only that have rows."""
    made = (
        ("Controls", _controls(ranking)),
        ("What would separate ties", _separations(ranking)),
        ("Costs", _costs(ranking)),
        ("Race", _race(ranking)),
        ("Not ranked", _excluded(ranking)),
    )
    return tuple((heading, table) for heading, table in made if table.bodies[0][1])


def _controls(ranking: Ranking) -> Table:
    columns = [
        Column("Control", is_text=True),
        Column("Would take", is_name=True),
        Column("Lift", f"of the first, by {clean(ranking.rank_by)}", numeric=True),
        Column("Weighted τ", "of the two orders", numeric=True),
    ]
    rows = [
        Row(
            (
                CONTROL_NAMES.get(control.name, clean(control.name)),
                clean(control.first),
                with_error(control.lift, control.standard_error),
                number(control.tau),
            )
        )
        for control in ranking.controls
    ]
    return Table.of("Choices that need no features, and what the ranking's first adds over them", columns, rows)


def _separations(ranking: Ranking) -> Table:
    columns = [
        Column("Tied", is_name=True),
        Column("With", is_name=True),
        Column("Difference", f"by {clean(ranking.rank_by)}", numeric=True),
        Column("Training samples", "that would show it", numeric=True),
        Column("Test samples", "if both are trained", numeric=True),
        Column("Time", "to train both", numeric=True),
    ]
    rows = [
        Row(
            (
                clean(one.first),
                clean(one.second),
                with_error(one.gain, one.standard_error),
                MISSING if one.n_needed is None else count(one.n_needed),
                MISSING if one.n_test is None else count(one.n_test),
                duration(one.seconds),
            )
        )
        for one in ranking.separations
    ]
    caption = "What would tell tied sources apart, if they differ by as much as they seem to"
    return Table.of(caption, columns, rows)


def _costs(ranking: Ranking) -> Table:
    places = ranks(ranking)
    columns = [
        NAME,
        Column("Latency", "one sample", numeric=True),
        Column("Throughput", "samples a second", numeric=True),
        Column("Parameters", numeric=True),
        Column("FLOPs", "per sample", numeric=True),
        Column("Fine-tuning", "memory, estimated", numeric=True),
        Column("Fine-tuning", "an epoch, estimated", numeric=True),
        Column("Licence", is_text=True),
    ]
    rows = [
        Row(
            (
                clean(cost.source),
                milliseconds(cost.latency),
                large(cost.throughput),
                large(cost.n_parameters),
                large(cost.flops),
                MISSING if cost.tuning_bytes is None else f"{cost.tuning_bytes / 2**30:.2g}{NBSP}GiB",
                duration(cost.tuning_seconds),
                clean(cost.license or "not stated"),
            ),
            places.get(cost.source),
            ("on the front",) if cost.source in ranking.pareto else (),
        )
        for cost in sorted(ranking.costs, key=lambda cost: places.get(cost.source, len(places) + 1))
    ]
    devices = ", ".join(dict.fromkeys(clean(cost.device) for cost in ranking.costs))
    caption = (
        f"What each source costs on {devices or 'this machine'}. On the front: no other source is both better and "
        "faster"
    )
    return Table.of(caption, columns, rows)


def _race(ranking: Ranking) -> Table:
    columns = [
        NAME,
        Column("Dropped after", "training rows", numeric=True),
        Column("Behind", is_name=True),
        Column("By", clean(ranking.rank_by), numeric=True),
        Column("Still behind by", "with noise and growth in its favour", numeric=True),
    ]
    race = ranking.race
    if race is None:
        return Table.of("", columns, [])
    rows = [
        Row((clean(d.source), count(d.n_samples), clean(d.leader), number(d.gap), number(d.bound)))
        for d in race.dropped
    ]
    saved = percent(1 - race.passes / race.full_passes) if race.full_passes else MISSING
    stages = ", ".join(f"{len(stage.running)} after {count(stage.n_samples)}" for stage in race.stages)
    return Table.of(
        f"Sources dropped by the race. Running: {stages} rows. Forward passes saved: {saved}", columns, rows
    )


def _excluded(ranking: Ranking) -> Table:
    rows = [Row((clean(one.source), clean(one.reason))) for one in ranking.excluded]
    return Table.of("Sources that were left out by choice", [NAME, Column("Why", is_text=True)], rows)
