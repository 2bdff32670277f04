"""Pictures of what was spent: score against cost, who was dropped when by a race, and how training went."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..choices import NOISE
from ..results import Confirmed, Ranking, Run
from .canvas import DIM, LINE, PAPER, SERIES, Plot, draw
from .formats import count, listed, noun, number, percent, shorten
from .labels import label_points
from .plots import DASHES, MARKERS, MOST_CURVES, WIDTH, axis_label, calm, plain_ticks
from .study import Study
from .tables import ranks
from .trust import milliseconds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_RACERS = 40  # sources in the picture of a race, those that ran longest first
WIDE = 20  # times the cheapest: beyond that the axis of costs is logarithmic

Point = tuple[str, float, float, float]  # source, cost, value, half interval


def front_plot(ranking: Ranking, key: str) -> Plot | None:
    """The score that ranks against the latency of one sample; the front is drawn through."""
    by, places = ranking.rank_by, ranks(ranking)
    latency = {cost.source: cost.latency for cost in ranking.costs if cost.latency}
    points: list[Point] = []
    for c in ranking.best():
        score = c.scores.get(by)
        if c.source in places and c.source in latency and score and score.value is not None:
            half = NOISE * (score.standard_error or 0.0)
            points.append((c.source, latency[c.source] or 0.0, score.value, half))
    if len(points) < 2:
        return None
    front = sorted((p for p in points if p[0] in ranking.pareto), key=lambda p: p[1])

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if max(p[1] for p in points) > WIDE * min(p[1] for p in points):
            axes.set_xscale("log")
        axes.plot(
            [1000 * p[1] for p in front],
            [p[2] for p in front],
            color=SERIES[0],
            linewidth=1.2,
            drawstyle="steps-post",
            zorder=1,
        )
        for source, cost, value, half in points:
            on_front = source in ranking.pareto
            color = SERIES[0] if on_front else DIM
            axes.plot([1000 * cost] * 2, [value - half, value + half], color=color, linewidth=1, alpha=0.5, zorder=2)
            face = color if on_front else PAPER
            axes.plot([1000 * cost], [value], "o", color=color, markerfacecolor=face, markersize=7, zorder=3)
        calm(axes, "both")
        axes.margins(x=0.1)
        plain_ticks(axes)
        axes.set_xlabel("latency of one sample, ms")
        axes.set_ylabel(axis_label(ranking))
        told = [p for p in points if len(points) <= MOST_RACERS or p[0] in ranking.pareto]
        told.sort(key=lambda p: places[p[0]])
        label_points(axes, _spots(told), [str(places[p[0]]) for p in told], _spots(points))

    named = [f"{shorten(p[0], 60)} ({milliseconds(p[1])}, {number(p[2])})" for p in front]
    finding = f"On the front of score and latency: {listed(named)}."
    drawing = partial(draw, WIDTH, 330, paint, key=key, finding=finding)
    rest = " Filled points are on it: no other source is both better and faster." if len(front) < len(points) else ""
    return Plot("Score against cost", drawing, f"{finding}{rest} Bars are 90 % intervals, numbers the ranks above.")


def _spots(points: list[Point]) -> list[tuple[float, float]]:
    return [(1000 * cost, value) for _, cost, value, _ in points]


def race_plot(ranking: Ranking, key: str) -> Plot | None:
    """A line per source, as far as it ran."""
    race = ranking.race
    if race is None or not race.stages:
        return None
    fallen = {one.source: one.n_samples for one in race.dropped}
    everyone = list(dict.fromkeys(source for stage in race.stages for source in stage.running))
    everyone += [source for source in fallen if source not in everyone]
    if not fallen or len(everyone) < 2:
        return None
    end = ranking.split.n_train
    places = ranks(ranking)
    rows = sorted(everyone, key=lambda s: (-fallen.get(s, end + 1), places.get(s, len(places)), s))[:MOST_RACERS]

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for stage in race.stages:
            axes.axvline(stage.n_samples, color=LINE, linewidth=1, zorder=0)
        for y, source in enumerate(rows):
            out = source in fallen
            color = SERIES[1] if out else SERIES[0]
            axes.plot([0, fallen.get(source, end)], [y, y], color=color, linewidth=2, zorder=1)
            axes.plot([fallen.get(source, end)], [y], "X" if out else "o", color=color, markersize=8, zorder=2)
            place = f"{places[source]}  " if source in places else ""
            axes.text(0, y - 0.38, f"{place}{shorten(source, 46)}", va="center", backgroundcolor=PAPER, zorder=3)
        axes.set_yticks([])
        axes.set_ylim(len(rows) - 0.5, -0.9)
        calm(axes, "x")
        axes.grid(visible=False)
        axes.set_xlim(0, end * 1.03)
        axes.set_xlabel("training rows scored; lines are the stages of the race")

    first = min(fallen.values())
    finding = (
        f"{noun(len(fallen), 'source')} of {len(everyone)} dropped, the first after {count(first)} of {count(end)} "
        f"training rows."
    )
    more = f" The {len(rows)} that ran longest are drawn." if len(rows) < len(everyone) else ""
    drawing = partial(draw, WIDTH, 70 + 36 * len(rows), paint, key=key, finding=finding)
    return Plot("The race", drawing, f"{finding} A cross is where a source was dropped.{more}")


def learning_plots(study: Study, key: str) -> list[Plot]:
    """One picture per strategy that trains in epochs: validation accuracy of each source's runs that count."""
    strategies = dict.fromkeys(row.strategy for row in study.confirmed)
    made = (_learning(study, strategy, f"{key}-{place}") for place, strategy in enumerate(strategies))
    return [plot for plot in made if plot]


def _learning(study: Study, strategy: str, key: str) -> Plot | None:
    places = ranks(study.ranking) if study.ranking else {}
    rows = [row for row in study.confirmed if row.strategy == strategy and any(len(r.epochs) > 1 for r in _kept(row))]
    if not rows:
        return None
    shown = sorted(rows, key=lambda row: (row.source in study.controls, -row.accuracy))[:MOST_CURVES]

    def paint(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.add_subplot()
        for k, row in enumerate(shown):
            place = f"{places[row.source]}  " if row.source in places else ""
            for run in _kept(row):
                axes.plot(
                    range(1, len(run.epochs) + 1), [100 * epoch.validation_accuracy for epoch in run.epochs],
                    color=SERIES[k], marker=MARKERS[k], markersize=4, linestyle=DASHES[k], linewidth=1.6,
                )  # fmt: skip
            axes.plot(
                [], [], color=SERIES[k], marker=MARKERS[k], linestyle=DASHES[k],
                label=f"{place}{shorten(row.source, 42)}",
            )  # fmt: skip
        calm(axes, "both")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"validation {study.target.metric}, %")
        figure.legend(loc="outside lower left", handlelength=3)

    finding = f"{_peak(shown[0])}."
    still = [row.source for row in shown if any(_rising(run) for run in _kept(row))]
    if still:
        finding += f" Best at the last epoch, so more might help: {listed([shorten(s, 60) for s in still])}."
    more = f" {noun(len(rows) - len(shown), 'more source')} not drawn." if len(rows) > len(shown) else ""
    drawing = partial(draw, WIDTH, 310 + 20 * (len(shown) + 1), paint, key=key, finding=finding)
    return Plot(f"Learning curves: {strategy}", drawing, f"{finding} A line per run that counts.{more}")


def _kept(row: Confirmed) -> list[Run]:
    """Runs at the rate that validation chose."""
    return [run for run in row.runs if run.test_accuracy is not None and run.epochs]


def _peak(row: Confirmed) -> str:
    """Where the best source's best run peaks."""
    run = max(_kept(row), key=lambda run: max(epoch.validation_accuracy for epoch in run.epochs))
    values = [epoch.validation_accuracy for epoch in run.epochs]
    best = max(values)
    return f"{shorten(row.source, 60)} peaks at {percent(best)} after {noun(values.index(best) + 1, 'epoch')}"


def _rising(run: Run) -> bool:
    """Whether its best epoch is the last alone."""
    values = [epoch.validation_accuracy for epoch in run.epochs]
    return len(values) > 1 and values[-1] > max(values[:-1])
