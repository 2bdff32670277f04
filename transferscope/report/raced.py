"""The race of a confirmation on the page: every arm as far as it was trained, what the race cost, and a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from ..results import Truth
from ..spending import Arm, TrainingRace
from .canvas import DIM, INK, LINE, PAPER, SERIES, Plot, draw
from .formats import MISSING, NBSP, clean, duration, noun, percent, shorten
from .plots import WIDTH, calm
from .race import price_sentence, winner_sentence
from .tables import NAME, Column, Row, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LANES = 40  # arms in the picture; the table has all
ENDS = {  # marker and colour of where a line ends
    "winner": ("*", SERIES[2]),
    "stayed": ("o", SERIES[0]),
    "behind": ("X", SERIES[1]),
    "budget": ("s", DIM),
}
WORDS = {
    "winner": "winner", "stayed": "not dropped", "behind": "dropped as behind",
    "budget": "left for want of time",
}  # fmt: skip
REASONS = {
    "asked": "asked for", "best set": "best set", "first": "ranked first", "history": "history's favourite",
    "random": "at random", "results": "by results",
}  # fmt: skip


@dataclass(frozen=True)
class Lane:
    """One arm: how far it came in the race, how it ended, and what the finals added."""

    arm: Arm
    end: Literal["winner", "stayed", "behind", "budget"]
    epochs: int
    accuracies: Mapping[int, float]  # best so far on the validation rows, by the epoch a stage ended at
    gap: float | None = None  # behind the last arm that went on
    error: float | None = None
    final_epochs: int = 0  # of the longest run that the test rows measured
    test: float | None = None

    @property
    def accuracy(self) -> float | None:
        """The last that is known."""
        return list(self.accuracies.values())[-1] if self.accuracies else None


def lanes(truth: Truth, race: TrainingRace) -> list[Lane]:
    """The winner, then arms that were not dropped, then those that were, the last dropped first."""
    accuracies: dict[Arm, dict[int, float]] = {}
    epochs: dict[Arm, int] = {}
    for rung in race.rungs:
        for one in rung.ran:
            accuracies.setdefault(one.arm, {})[rung.until] = one.accuracy
            epochs[one.arm] = one.epochs
    dropped = {one.arm: one for rung in race.rungs for one in rung.dropped}
    found = []
    for arm in dict.fromkeys([*epochs, *dropped]):
        out = dropped.get(arm)
        end = "winner" if arm == race.winner else out.reason if out else "stayed"
        came = out.epochs if out else epochs[arm]
        gap, error = (out.gap, out.standard_error) if out else (None, None)
        found.append(Lane(arm, end, came, accuracies.get(arm, {}), gap, error, *_final(truth, arm)))
    return sorted(found, key=lambda lane: (list(WORDS).index(lane.end) > 1, lane.end != "winner", *_worth(lane)))


def _worth(lane: Lane) -> tuple[float, float]:
    went = 0 if lane.end in ("winner", "stayed") else lane.epochs
    return -went, -(lane.accuracy or 0.0)


def _final(truth: Truth, arm: Arm) -> tuple[int, float | None]:
    """Epochs and test accuracy of an arm that went into the finals."""
    for row in truth.confirmed:
        kept = [run for run in row.runs if run.test_accuracy is not None]
        if (row.source, row.strategy) == (arm.source, arm.strategy) and arm.learning_rate in {
            run.learning_rate for run in kept
        }:
            return max(len(run.epochs) for run in kept), row.accuracy
    return 0, None


def training_race_plot(truth: Truth, places: Mapping[str, int], key: str) -> Plot | None:
    """A line per arm as long as its training, and beneath it the seconds beside those of training everything."""
    race = truth.race
    if race is None or not race.rungs:
        return None
    everyone = lanes(truth, race)
    begun = [lane for lane in everyone if lane.accuracies]
    if not begun:
        return None
    shown = begun[:MOST_LANES]
    last = max([rung.until for rung in race.rungs] + [lane.final_epochs for lane in shown])

    def paint(figure: Figure) -> None:
        bars = 2 if race.full_seconds else 1
        rows, below = figure.subplots(2, 1, height_ratios=[36 * len(shown) + 30, 30 + 34 * bars])
        _draw_lanes(rows, race, shown, places, last)
        _draw_price(below, race)

    finding = f"{_finding(race, everyone)} {winner_sentence(race)} {price_sentence(race)}"
    caption = f"{_finding(race, everyone)} {winner_sentence(race)} Numbers at the ends are of the validation rows."
    if any(_further(lane) for lane in shown):
        caption += " A dotted line is what a finalist was trained further."
    if len(shown) < len(begun):
        caption += f" The first {len(shown)} are drawn; the table has all."
    height = 214 + 36 * len(shown)
    return Plot("The race of training", partial(draw, WIDTH, height, paint, key=key, finding=finding), caption)


def _further(lane: Lane) -> bool:
    return lane.final_epochs > lane.epochs


def _draw_lanes(axes: Axes, race: TrainingRace, shown: list[Lane], places: Mapping[str, int], last: int) -> None:
    from matplotlib.lines import Line2D

    for until in _stages(race):
        axes.axvline(until, color=LINE, linewidth=1, zorder=0)
    for y, lane in enumerate(shown):
        marker, color = ENDS[lane.end]
        axes.plot([0, lane.epochs], [y, y], color=color, linewidth=2, zorder=1)
        if _further(lane):
            axes.plot([lane.epochs, lane.final_epochs], [y, y], color=color, linewidth=1.4, linestyle=":", zorder=1)
        axes.plot([lane.epochs], [y], marker, color=color, markersize=11 if marker == "*" else 8, zorder=3)
        place = f"{places[lane.arm.source]}  " if lane.arm.source in places else ""
        axes.text(0, y - 0.4, place + _short(lane.arm), va="center", backgroundcolor=PAPER, zorder=2)
        axes.annotate(
            percent(lane.accuracy), (max(lane.epochs, lane.final_epochs), y), xytext=(10, 0),
            textcoords="offset points", va="center", color=INK, zorder=4,
        )  # fmt: skip
    handles = [
        Line2D([], [], color=color, marker=marker, linestyle="", label=WORDS[end], markersize=8)
        for end, (marker, color) in ENDS.items()
        if any(lane.end == end for lane in shown)
    ]
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, handletextpad=0.4)
    axes.set_yticks([])
    axes.set_ylim(len(shown) - 0.5, -0.9)
    calm(axes, "x")
    axes.grid(visible=False)
    axes.set_xticks(list(_stages(race)))
    axes.set_xlim(-0.02 * max(last, 1), 1.2 * max(last, 1))
    axes.set_xlabel("epochs; lines are the stages of the race")


def _short(arm: Arm) -> str:
    rate = "" if arm.learning_rate is None else f" at {arm.learning_rate:g}"
    return f"{shorten(arm.source, 36)}, {shorten(arm.strategy, 14)}{rate}"


def _draw_price(axes: Axes, race: TrainingRace) -> None:
    """Seconds of each stage and of the finals, one after the other, above the estimate for everything."""
    parts = [rung.seconds for rung in race.rungs]
    parts.append(max(0.0, race.seconds - sum(parts)))
    start = 0.0
    for place, seconds in enumerate(parts):
        axes.barh([0], [seconds], left=start, height=0.5, color=SERIES[place % 2 * 5], edgecolor=PAPER, linewidth=1)
        start += seconds
    bars = [(start, f"the race: {duration(race.seconds)}")]
    if race.full_seconds:
        axes.barh([1], [race.full_seconds], height=0.5, color=LINE)
        bars.append((race.full_seconds, f"training everything, estimated: {duration(race.full_seconds)}"))
    for y, (_, text) in enumerate(bars):
        axes.text(0, y - 0.44, text, va="center")
    axes.set_yticks([])
    axes.set_ylim(len(bars) - 0.6, -0.75)
    longest = max(end for end, _ in bars)
    axes.set_xlim(-0.02 * longest, 1.02 * longest)
    calm(axes, "x")
    axes.set_xlabel("seconds of training")


def _finding(race: TrainingRace, everyone: list[Lane]) -> str:
    begun, sources = [lane for lane in everyone if lane.accuracies], {lane.arm.source for lane in everyone}
    ran = (
        noun(len(everyone), "arm") if len(begun) == len(everyone) else f"{len(begun)} of {noun(len(everyone), 'arm')}"
    )
    said = f"{ran} (a source, a strategy, a rate) of {noun(len(sources), 'source')} ran"
    behind = [lane for lane in everyone if lane.end == "behind"]
    if behind:
        first = min(behind, key=lambda lane: lane.epochs)
        said += f"; {len(behind)} dropped as behind, the first after {noun(first.epochs, 'epoch')}"
    if late := sum(lane.end == "budget" for lane in begun):
        said += f"; {late} left for want of time"
    return f"{said}."


def training_race_table(truth: Truth, race: TrainingRace, places: Mapping[str, int]) -> Table:
    """Every arm at every stage: nothing of the picture is in the picture alone."""
    everyone = lanes(truth, race)
    has_strength = any(lane.arm.strength is not None for lane in everyone)
    why = {one.source: REASONS[one.reason] for one in race.entrants}
    stages = _stages(race)
    columns = [
        NAME,
        Column("Why it ran"),
        Column("Strategy"),
        Column("Rate", numeric=True),
        *([Column("Strength", numeric=True)] if has_strength else []),
        *(Column(_stage(until), f"in {duration(seconds)}", numeric=True) for until, seconds in stages.items()),
        Column("End", is_text=True),
        Column("Test", "of finalists", numeric=True),
    ]
    rows = []
    for lane in everyone:
        arm = lane.arm
        cells = (
            clean(arm.source),
            why.get(arm.source, MISSING),
            clean(arm.strategy),
            _plain(arm.learning_rate),
            *([_plain(arm.strength)] if has_strength else []),
            *(percent(lane.accuracies.get(until)) for until in stages),
            _end(lane),
            percent(lane.test),
        )
        rows.append(Row(cells, places.get(arm.source)))
    caption = "Every arm of the race: its best on the validation rows when each stage ended, and how it ended"
    return Table.of(caption, columns, rows)


def _stages(race: TrainingRace) -> dict[int, float]:
    """Seconds of each, in order; sources that came in late ran those that the others had behind them once more."""
    seconds: dict[int, float] = {}
    for rung in race.rungs:
        seconds[rung.until] = seconds.get(rung.until, 0.0) + rung.seconds
    return dict(sorted(seconds.items()))


def _stage(until: int) -> str:
    return f"Epoch {until}" if until else "No epochs"


def _plain(value: float | None) -> str:
    return MISSING if value is None else f"{value:g}".replace("-", "\u2212")


def _end(lane: Lane) -> str:
    said = WORDS[lane.end]
    if not lane.accuracies:
        return "never begun, for want of time"
    if lane.end == "behind" and lane.gap is not None:
        noise = "" if lane.error is None else f"{NBSP}±{NBSP}{100 * lane.error:.1f}"
        return f"{said}, by {100 * lane.gap:.1f}{noise} points"
    return f"{said}, after {noun(lane.epochs, 'epoch')}" if lane.end == "budget" else said
