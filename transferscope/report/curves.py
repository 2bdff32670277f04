"""The layer curve of each source: score against layer with its noise, a line per adapter and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..choices import NOISE
from ..results import Candidate, Ranking
from .canvas import DIM, INK, LINE, PAPER, SERIES, Plot, draw
from .choices import curve, how, runs, selection_of
from .formats import noun, number, shorten
from .plots import MARKERS, WIDTH, axis_label, calm
from .verdict import twin as twin_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = 5  # adapters and poolings of one source, best first
FEW = 16  # layers up to which each has its own tick

Point = tuple[int, float, float]  # place of the layer, value, half interval


def curve_plot(ranking: Ranking, best: Candidate, key: str) -> Plot | None:
    """The curve of one source; none where there are no two layers to compare."""
    if len(_points(ranking, best)) < 2:
        return None
    lines = _lines(ranking, best)
    shown = lines[:MOST_LINES]
    control = twin_of(ranking, best.source)
    places = _places(ranking, best.source)
    selection = selection_of(ranking, best.source)
    tied = sorted(places[layer] for layer in selection.tied_layers if layer in places) if selection else []

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for first, last in runs(tied) if len(tied) > 1 else ():
            axes.axvspan(first - 0.4, last + 0.4, color=LINE, alpha=0.45, linewidth=0, zorder=0)
        if control and (points := _points(ranking, control)):
            _line(axes, points, DIM, "D", 0.0, f"random twin{_tail(ranking, control)}", twin=True)
        for k, like in enumerate(shown):
            shift = (k - (len(shown) - 1) / 2) * min(0.12, 0.5 / len(shown))
            label, points = how(ranking, like) or "this source", _points(ranking, like)
            bars = not k or len(points) <= FEW  # of many layers, bars of every line would hide the lines
            _line(axes, points, SERIES[k], MARKERS[k], shift, shorten(label, 46), bars=bars)
        _ring(axes, ranking, best, len(shown))
        axes.set_xlabel("layer, counted from the input")
        axes.set_ylabel(axis_label(ranking))
        calm(axes, "y")
        _ticks(axes, list(places.values()))
        figure.legend(loc="outside lower left", handlelength=3)

    finding = _finding(ranking, best, places, tied)
    left_out = f" {noun(len(lines) - len(shown), 'more adapter and pooling')} not drawn." if lines[MOST_LINES:] else ""
    band = " The band holds the layers tied with the best on the same samples." if len(tied) > 1 else ""
    caption = f"{finding}{band} Bars are 90 % intervals of each value where a standard error is known.{left_out}"
    height = 300 + 20 * (len(shown) + bool(control))
    return Plot(
        f"Layers of {shorten(best.source, 60)}", partial(draw, WIDTH, height, paint, key=key, finding=finding), caption
    )


def _lines(ranking: Ranking, best: Candidate) -> list[Candidate]:
    """One candidate of each adapter and pooling, the source's best first, then by their own best layer."""
    found: dict[tuple[tuple[str, ...], str], Candidate] = {}
    for candidate in (best, *(c for c in ranking.candidates if c.source == best.source)):
        found.setdefault((candidate.choices, candidate.pooling), candidate)
    return list(found.values())


def _places(ranking: Ranking, source: str) -> dict[str, int]:
    card = ranking.card(source)
    return {layer: place for place, layer in enumerate(card.layers)} if card else {}


def _points(ranking: Ranking, like: Candidate) -> list[Point]:
    places, found = _places(ranking, like.source), []
    for candidate in curve(ranking, like):
        score = candidate.scores.get(ranking.rank_by)
        if score is not None and score.value is not None and candidate.layer in places:
            found.append((places[candidate.layer], score.value, NOISE * (score.standard_error or 0.0)))
    return found


def _line(
    axes: Axes, points: Sequence[Point], color: str, marker: str, shift: float, label: str, *, bars: bool = True,
    twin: bool = False,
) -> None:  # fmt: skip
    size = 5 if len(points) <= FEW else 3
    x, y, half = ([point[0] + shift for point in points], [p[1] for p in points], [p[2] for p in points])
    if bars:
        low, high = ([v + sign * h for v, h in zip(y, half, strict=True)] for sign in (-1, 1))
        axes.vlines(x, low, high, color=color, linewidth=1, alpha=0.55, zorder=1)
    axes.plot(
        x, y, color=color, marker=marker, markersize=size, linewidth=1 if twin else 1.6,
        linestyle=":" if twin else "-", markerfacecolor=PAPER if twin else color, zorder=2 if twin else 3,
        label=label,
    )  # fmt: skip


def _ring(axes: Axes, ranking: Ranking, best: Candidate, n_lines: int) -> None:
    """A circle around the best candidate, which is on the first line."""
    shift = -(n_lines - 1) / 2 * min(0.12, 0.5 / n_lines)
    value = best.scores[ranking.rank_by].value
    if value is None:
        return
    axes.plot(
        [_places(ranking, best.source)[best.layer] + shift], [value], "o", color=INK, markerfacecolor="none",
        markersize=11, markeredgewidth=1.4, zorder=4,
    )  # fmt: skip


def _ticks(axes: Axes, places: Sequence[int]) -> None:
    from matplotlib.ticker import MaxNLocator

    if len(places) <= FEW:
        axes.set_xticks(list(places))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.set_xlim(min(places) - 0.6, max(places) + 0.6)


def _tail(ranking: Ranking, candidate: Candidate) -> str:
    text = how(ranking, candidate)
    return f", {shorten(text, 30)}" if text else ""


def _finding(ranking: Ranking, best: Candidate, places: dict[str, int], tied: Sequence[int]) -> str:
    told = how(ranking, best)
    value = number(best.scores[ranking.rank_by].value)
    also = f"; {noun(len(tied) - 1, 'other layer')} within noise" if len(tied) > 1 else ""
    with_ = f" with {told}" if told else ""
    return f"Best at layer {places[best.layer]} ({shorten(best.layer, 40)}){with_}: {value}{also}."
