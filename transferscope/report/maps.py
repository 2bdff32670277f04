"""Distances: sources and the target's classes on one map, and each source's own data from the target."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..results import Discrepancy, Ranking
from ..tasks import ANSWERS
from ..views import SourceMap
from .canvas import DIM, INK, PAPER, SERIES, Plot, draw
from .formats import MISSING, clean, listed, number, percent, shorten
from .labels import SCALE, label_points
from .plots import WIDTH, calm
from .tables import NAME, Column, Row, Table, ranks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 24  # sources on the map that have their number, best first
MOST_LISTED = 8  # names beneath the map; of more, the table of the ranking tells them
MOST_BARS = 30
FAITHFUL = 0.5  # of the spread: below, most of it is not on the map


def map_plot(ranking: Ranking, key: str) -> Plot | None:
    """Sources where classical scaling put them, the higher the score the lighter, and the classes as a star."""
    found, places = ranking.source_map, ranks(ranking)
    if found is None:
        return None
    scores = {c.source: c.scores.get(ranking.rank_by) for c in ranking.best()}
    values = [score.value if (score := scores.get(source)) else None for source in found.sources]
    finding = _finding(ranking, found)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        _points(axes, found, values)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_aspect("equal", adjustable="datalim")
        axes.margins(0.12)
        _legend(figure, ranking, found, values)
        order = sorted(range(len(found.sources)), key=lambda k: places.get(found.sources[k], len(places) + 1))
        spots = [found.points[k] for k in order[:MOST_NAMED]]
        names = [str(places.get(found.sources[k], MISSING)) for k in order[:MOST_NAMED]]
        label_points(axes, spots, names, [*found.points, *([found.classes] if found.classes else [])])

    named = " Numbers are the ranks above"
    if len(found.sources) > MOST_NAMED:
        named += f"; the first {MOST_NAMED} of {len(found.sources)} sources have theirs, where there is room"
    caption = f"{finding}{named}. Near means that samples are arranged alike, not that both are useful."
    height = 440 + (20 * len(found.sources) if len(found.sources) <= MOST_LISTED else 0)
    return Plot("A map of the sources", partial(draw, WIDTH, height, paint, key=key, finding=finding), caption)


def alignment_table(ranking: Ranking) -> Table | None:
    """How near each source is to the classes, nearest first."""
    found, places = ranking.source_map, ranks(ranking)
    if found is None or found.classes is None:
        return None
    answers = ANSWERS[ranking.target.task]
    pairs = sorted(zip(found.alignment, found.sources, strict=True), key=lambda pair: (-(pair[0] or 0.0), pair[1]))
    rows = [Row((clean(source), number(value)), places.get(source)) for value, source in pairs]
    columns = [NAME, Column("CKA", f"with the {answers}", numeric=True)]
    return Table.of(
        f"How far a source arranges samples by their {answers}: 1 where nothing else tells them apart", columns, rows
    )


def _points(axes: Axes, found: SourceMap, values: Sequence[float | None]) -> None:
    size = 10 if len(values) <= MOST_LISTED else 7
    for at, value in zip(found.points, values, strict=True):
        axes.plot(*at, "o", color=INK, markerfacecolor=_shade(value, values), markersize=size, zorder=2)
    if found.classes:
        axes.plot(*found.classes, "*", color=INK, markerfacecolor=SERIES[1], markersize=15, zorder=3)


def _shade(value: float | None, values: Sequence[float | None]) -> str:
    """The lighter the higher; paper where there is no score."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    known = [v for v in values if v is not None]
    if value is None:
        return PAPER
    low, high = min(known), max(known)
    return to_hex(colormaps[SCALE]((value - low) / (high - low) if high > low else 1.0))


def _legend(figure: Figure, ranking: Ranking, found: SourceMap, values: Sequence[float | None]) -> None:
    """Steps of the score's colour and the star above; of few sources their names below."""
    from matplotlib.lines import Line2D

    known = sorted({v for v in values if v is not None})
    steps = list(dict.fromkeys([known[0], known[-1]])) if known else []
    handles = [
        Line2D([], [], linestyle="", marker="o", color=INK, markerfacecolor=_shade(v, values), markersize=9,
               label=f"{shorten(ranking.rank_by, 20)} {number(v)}")
        for v in steps
    ]  # fmt: skip
    if found.classes:
        handles.append(
            Line2D([], [], linestyle="", marker="*", color=INK, markerfacecolor=SERIES[1], markersize=13,
                   label=f"the {ANSWERS[ranking.target.task]}")
        )  # fmt: skip
    figure.legend(handles=handles, loc="outside upper left", ncols=3, handletextpad=0.3, columnspacing=1.0)
    places = ranks(ranking)
    order = sorted((places[source], source) for source in found.sources if source in places)
    if len(order) <= MOST_LISTED:
        names = [Line2D([], [], linestyle="", label=f"{place}  {shorten(source, 48)}") for place, source in order]
        figure.legend(handles=names, loc="outside lower left", handlelength=0, handletextpad=0)


def _finding(ranking: Ranking, found: SourceMap) -> str:
    """What lies near the classes, and how much of the distances the map holds."""
    known = sorted((value, source) for value, source in zip(found.alignment, found.sources, strict=True)
                   if value is not None)  # fmt: skip
    said = ""
    if found.classes and known:
        (low, far), (high, near) = known[0], known[-1]
        said = f"Nearest to the {ANSWERS[ranking.target.task]} of the target: {shorten(near, 60)} (CKA {number(high)})"
        said += f"; farthest: {shorten(far, 60)} ({number(low)}). " if len(known) > 1 else ". "
    held = f"Two dimensions hold {percent(found.held)} of the spread of the distances (stress {found.stress:.2f})"
    return f"{said}{held}{', so nearness here is a hint only' if found.held < FAITHFUL else ''}."


def discrepancy_plot(ranking: Ranking, key: str) -> Plot | None:
    """A bar per source whose own data were given, nearest first, and the p-value beside it."""
    rows = sorted(ranking.discrepancy, key=lambda one: one.value)[:MOST_BARS]
    if not rows:
        return None
    places = ranks(ranking)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for y, one in enumerate(rows):
            place = f"{places[one.source]}  " if one.source in places else ""
            axes.barh([y], [one.value], height=0.34, color=SERIES[0] if _differs(one) else DIM, zorder=2)
            axes.text(0, y - 0.36, f"{place}{shorten(one.source, 46)}", va="center", zorder=3)
            text = f"{number(one.value)}" + ("" if one.p_value is None else f", p {number(one.p_value)}")
            axes.annotate(text, (max(one.value, 0.0), y), xytext=(6, 0), textcoords="offset points", va="center")
        axes.set_yticks([])
        axes.set_ylim(len(rows) - 0.5, -0.8)
        low, high = min(0.0, *(one.value for one in rows)), max(one.value for one in rows)
        axes.set_xlim(low, low + 1.45 * (high - low) if high > low else 1.0)
        calm(axes, "x")
        axes.set_xlabel(shorten(rows[0].measure, 50))

    finding = f"The data of {_nearest(rows[0])} lie nearest to the target"
    if len(rows) > 1:
        finding += f", those of {_nearest(rows[-1])} farthest"
    same = [shorten(one.source, 60) for one in rows if not _differs(one)]
    told = f" Not told from the target (p above 0.05, grey): {listed(same)}." if same else ""
    caption = (
        f"{finding}.{told} p: the share of random divisions of both samples that lie as far apart. Each distance is "
        "in the source's own features, so bars of different sources compare only roughly."
    )
    if len(ranking.discrepancy) > len(rows):
        caption += f" The nearest {len(rows)} are drawn."
    drawing = partial(draw, WIDTH, 80 + 42 * len(rows), paint, key=key, finding=f"{finding}.{told}")
    return Plot("From the sources' own data to the target", drawing, caption)


def _differs(one: Discrepancy) -> bool:
    return one.p_value is None or one.p_value <= 0.05


def _nearest(one: Discrepancy) -> str:
    chance = "" if one.p_value is None else f", p {number(one.p_value)}"
    return f"{shorten(one.source, 60)} ({number(one.value)}{chance})"
