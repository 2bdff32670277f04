"""Tables of the HTML report: every cell is text that the template escapes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from ..agreements import Agreement, Estimate
from ..results import Confirmed, Ranking, Setting
from ..scorers.registry import SCORERS
from ..tasks import METRICS
from .formats import MISSING, NBSP, capital, clean, count, duration, hundredths, large, noun, number, percent
from .study import Study

PAPER_NAMES = {"weighted_kendall": "Weighted Kendall", "kendall": "Kendall", "spearman": "Spearman",
               "pearson": "Pearson", "regret_at_1": "Regret"}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column; the first of a table holds the row headers."""

    title: str
    hint: str = ""
    numeric: bool = False
    is_name: bool = False
    is_text: bool = False


@dataclass(frozen=True)
class Row:
    """Cells in the order of the columns, and marks beside the first."""

    cells: tuple[str, ...]
    place: int | None = None  # rank, which the pictures show in place of names
    tags: tuple[str, ...] = ()
    is_control: bool = False


@dataclass(frozen=True)
class Table:
    """Rows in named bodies; a body without a name has no heading row."""

    caption: str
    columns: tuple[Column, ...]
    bodies: tuple[tuple[str, tuple[Row, ...]], ...]
    is_sortable: bool = False  # where scripts run; in the order given it is complete

    @classmethod
    def of(cls, caption: str, columns: Sequence[Column], rows: Iterable[Row]) -> Table:
        """A table of one body, its cells cleaned."""
        return cls(caption, tuple(columns), (("", tuple(rows)),))

    def first(self, most: int) -> Table:
        """The first `most` rows, and how many more there are."""
        bodies, left, more = [], most, 0
        for name, rows in self.bodies:
            bodies.append((name, rows[:left]))
            more += max(0, len(rows) - left)
            left = max(0, left - len(rows))
        if not more:
            return self
        kept = tuple((name, rows) for name, rows in bodies if rows)
        return replace(self, caption=f"{self.caption}. {noun(more, 'more row')} in the saved results", bodies=kept)


NAME = Column("Source", is_name=True)


def ranks(ranking: Ranking) -> dict[str, int]:
    """Places of the sources, controls and dropped ones left out: the numbers that tables and plots share."""
    running = (c for c in ranking.best() if not c.control and not c.dropped)
    return {c.source: place for place, c in enumerate(running, 1)}


def higher_is_better(ranking: Ranking, scorer: str) -> bool | None:
    """A scorer's direction; None where it is neither in the results nor installed."""
    found = next((c.scores[scorer] for c in ranking.candidates if scorer in c.scores), None)
    if found is None and scorer not in SCORERS:
        return None
    return (found or SCORERS[scorer]).higher_is_better


def confirmation_table(study: Study) -> Table:
    """What training measured."""
    places = ranks(study.ranking) if study.ranking else {}
    remarks, metric = any(training_remark(row) for row in study.confirmed), study.target.metric
    columns = [
        NAME,
        Column("Strategy"),
        Column("Layer", "of the head", is_name=True),
        Column(capital(metric), "± over seeds", numeric=True),
        Column("Test error", "standard error", numeric=True),
        Column("Test", "samples", numeric=True),
        Column("Seeds", numeric=True),
        Column("Learning rates", "tried", numeric=True),
        Column("Kept", "on validation", numeric=True),
        Column("Validation", metric, numeric=True),
        Column("Time", "training", numeric=True),
        *([Column("Remark", is_text=True)] if remarks else []),
    ]
    rows = [_confirmed_row(row, places, row.source in study.controls, remarks) for row in study.confirmed]
    return Table.of(f"Measured {metric} on test samples that no score saw, highest first", columns, rows)


def _confirmed_row(row: Confirmed, places: dict[str, int], is_control: bool, remarks: bool) -> Row:
    kept = [run for run in row.runs if run.test_accuracy is not None]
    spread = "" if row.spread is None else f"{NBSP}±{NBSP}{hundredths(row.spread)}"
    cells = (
        clean(row.source),
        clean(row.strategy),
        clean(row.layer),
        f"{hundredths(row.accuracy)}{spread}{NBSP}%",
        percent(row.standard_error),
        count(row.n_test),
        str(len({run.seed for run in kept})),
        _rates(run.learning_rate for run in row.runs),
        _rates(run.learning_rate for run in kept),
        percent(fmean(run.validation_accuracy for run in kept)) if kept else MISSING,
        duration(row.seconds),
        *([training_remark(row)] if remarks else []),
    )
    return Row(cells, places.get(row.source), ("control",) if is_control else (), is_control)


def collapsed(row: Confirmed) -> bool:
    """Whether a run that counts learned nothing."""
    return any(run.collapsed for run in row.runs if run.test_accuracy is not None)


def training_remark(row: Confirmed) -> str:
    """What departed from the recipe in the runs that count."""
    kept = [run for run in row.runs if run.test_accuracy is not None]
    said = ["quick: one rate, one seed, few epochs"] if row.quick else []
    same = "one class" if row.metric == METRICS["classification"] else "the same answer"
    said += [f"collapsed: {same} for all validation samples"] if collapsed(row) else []
    return "; ".join(dict.fromkeys([*said, *(clean(run.note) for run in kept if run.note)]))


def _rates(rates: Iterable[float | None]) -> str:
    """Learning rates, lowest first; a strategy without any is fitted, not descended."""
    found = sorted({rate for rate in rates if rate is not None})
    return ", ".join(f"{rate:g}" for rate in found).replace("-", "\u2212") or "none"


def agreement_table(agreements: Sequence[Agreement], rank_by: str | None, level: float, with_target: bool) -> Table:
    """How well each scorer's order agrees with measured accuracy; best weighted Kendall first."""
    remarks = any(_remark(a) for a in agreements)
    interval = f"{100 * level:.0f}{NBSP}% interval"
    columns = [
        Column("Order by", is_name=True),
        *([Column("Target", is_name=True)] if with_target else []),
        Column("Strategy"),
        Column("Sources", numeric=True),
        *(Column(title, interval, numeric=True) for title in PAPER_NAMES.values()),
        *([Column("Remark", is_text=True)] if remarks else []),
    ]
    in_order = sorted(agreements, key=agreement_key)
    rows = [
        Row(
            (
                clean(a.scorer),
                *([clean(a.target)] if with_target else []),
                clean(a.strategy),
                str(a.n_sources),
                *(estimate(getattr(a, name), 100 if name == "regret_at_1" else 1) for name in PAPER_NAMES),
                *([_remark(a)] if remarks else []),
            ),
            tags=("ranks here",) if a.scorer == rank_by else (),
        )
        for a in in_order
    ]
    return Table.of("Agreement of each order with measured accuracy; regret in accuracy points", columns, rows)


def agreement_key(row: Agreement) -> tuple[str, str, float]:
    """By target and strategy, best weighted Kendall first."""
    value = row.weighted_kendall.value
    return row.target, row.strategy, float("inf") if value is None else -value


def _remark(row: Agreement) -> str:
    """Why values are missing, each reason once."""
    notes = (getattr(row, name).note for name in PAPER_NAMES)
    return clean("; ".join(dict.fromkeys(note for note in notes if note)))


def estimate(found: Estimate, factor: float = 1) -> str:
    """A value and its interval."""
    if found.value is None:
        return MISSING
    digits = 1 if factor == 100 else 2
    value, *bounds = (
        f"{factor * v:.{digits}f}".replace("-", "\u2212")
        for v in (found.value, found.low, found.high)
        if v is not None
    )
    return f"{value} [{bounds[0]}, {bounds[1]}]" if len(bounds) == 2 else value


def card_table(ranking: Ranking) -> Table:
    """What is known of each source; random twins are their source but for the weights."""
    columns = [
        NAME,
        Column("Architecture", is_name=True),
        Column("Input", is_text=True),
        Column("Pretrained on"),
        Column("Classes", "of its head", numeric=True),
        Column("Layers", numeric=True),
        Column("Parameters", numeric=True),
        Column("FLOPs", "per sample", numeric=True),
        Column("Licence", is_text=True),
        Column("Weights", "SHA-256", is_name=True),
    ]
    rows = [
        Row(
            (
                clean(card.name),
                clean(card.architecture),
                clean(", ".join(_plain(key, value) for key, value in card.input.items() if value is not None)),
                clean(card.pretraining or "not stated"),
                MISSING if card.n_source_classes is None else str(card.n_source_classes),
                str(len(card.layers)),
                large(card.n_parameters),
                large(card.flops),
                clean(card.license or "not stated"),
                clean(card.weights_sha256[:12]),
            )
        )
        for card in ranking.sources
        if not card.is_random
    ]
    return Table.of("What is known of each source", columns, rows)


def _plain(key: str, value: Setting) -> str:
    return str(value) if key == "kind" else f"{key} {value}"


def discrepancy_table(ranking: Ranking) -> Table:
    """How far each source's own data lie from the target."""
    columns = [
        NAME,
        Column("Its own data", is_name=True),
        Column("Measure"),
        Column("Distance", numeric=True),
        Column("p", "same distribution", numeric=True),
    ]
    rows = [
        Row((clean(d.source), clean(d.source_data), clean(d.measure), number(d.value), number(d.p_value)))
        for d in ranking.discrepancy
    ]
    return Table.of("Distance between a source's own data and the target, in its features", columns, rows)
