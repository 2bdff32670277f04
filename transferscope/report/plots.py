"""The report's pictures: ranking, layers, similarity, and the estimate against measured accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..choices import NOISE
from ..results import Candidate, Confirmed, Ranking, Similarity
from .canvas import DIM, LINE, PAPER, SERIES, Plot, draw
from .choices import curve
from .formats import MISSING, listed, number, percent, shorten
from .labels import SCALE, label_cells
from .study import Study
from .tables import higher_is_better, ranks
from .verdict import Verdict, raw_input, twin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 420  # fits a phone, and two beside each other on a desk
MOST_CURVES = len(SERIES)  # lines told apart by colour, marker and dash; the rest are drawn in grey
MOST_ROWS = 40  # sources in the picture of the ranking
MOST_ALIKE = 24  # sources in the similarity matrix
MARKERS = "osD^vPX"
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)))


def _score(candidate: Candidate | None, by: str) -> tuple[float, float] | None:
    """Value and half interval (0 where not known)."""
    found = candidate.scores.get(by) if candidate else None
    if found is None or found.value is None:
        return None
    return found.value, NOISE * (found.standard_error or 0.0)


def axis_label(ranking: Ranking) -> str:
    higher = higher_is_better(ranking, ranking.rank_by)
    direction = "" if higher is None else f" ({'higher' if higher else 'lower'} is better)"
    return f"{shorten(ranking.rank_by, 40)}{direction}"


def plain_ticks(axes: Axes, steps: Sequence[float] = (1, 3)) -> None:
    """Powers of ten read worse than numbers, and few of either are enough."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if axes.get_xscale() == "log":
        axes.xaxis.set_major_locator(LogLocator(subs=steps, numticks=8))
        axes.xaxis.set_minor_formatter(NullFormatter())


def ranking_plot(ranking: Ranking, verdict: Verdict, key: str) -> Plot | None:
    """A row per source: its value with its 90 % interval, its random twin, and the raw input as a line."""
    by, places = ranking.rank_by, ranks(ranking)
    scored = [c for c in ranking.best() if not c.control and _score(c, by)]
    rows = scored[:MOST_ROWS]
    if not rows or verdict.leader is None:
        return None
    leading = {verdict.leader.source, *verdict.tied}

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for y, candidate in enumerate(rows):
            other = twin(ranking, candidate.source)
            if found := _score(other, by):  # a little lower, so that equal values are both seen
                _dot(axes, found, y + 0.18, SERIES[1], "D", filled=False)
            _dot(axes, _score(candidate, by), y, SERIES[0] if candidate.source in leading else DIM, "o")
        if raw := _score(raw_input(ranking), by):
            axes.axvline(raw[0], color=SERIES[2], linestyle="--", linewidth=1.5, zorder=0, label="raw input")
        for y, candidate in enumerate(rows):  # names stand above their rows, so that bars get the whole width
            label = f"{places[candidate.source]}  {shorten(candidate.source, 46)}"
            axes.text(0, y - 0.42, label, transform=axes.get_yaxis_transform(), va="center", backgroundcolor=PAPER)
        axes.set_yticks([])
        axes.set_ylim(len(rows) - 0.5, -0.75)
        axes.set_xlabel(axis_label(ranking))
        calm(axes, "x")
        _ranking_legend(figure, ranking, bool(raw))

    best = _score(rows[0], by)
    assert best is not None
    lead = "is the only source scored" if len(scored) == 1 else f"is the first of {len(scored)} sources"
    finding = f"{rows[0].source} {lead} ({by} {number(best[0])})"
    if other := _score(twin(ranking, rows[0].source), by):
        finding += f"; its random twin has {number(other[0])}"
    if raw := _score(raw_input(ranking), by):
        finding += f"; the raw input has {number(raw[0])}"
    svg = partial(draw, WIDTH, 104 + 40 * len(rows), paint, key=key, finding=f"{finding}.")
    caption = f"{finding}. Bars are 90 % intervals where a standard error is known; numbers are the ranks above."
    if len(rows) < len(scored):
        caption += f" The first {len(rows)} are drawn."
    return Plot("Best layer of each source", svg, caption)


def _ranking_legend(figure: Figure, ranking: Ranking, raw: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=SERIES[0], marker="o", linestyle="", label="best, and tied with it")]
    handles.append(Line2D([], [], color=DIM, marker="o", linestyle="", label="other sources"))
    if any(c.control == "random" for c in ranking.best()):
        handles.append(
            Line2D([], [], color=SERIES[1], marker="D", linestyle="", markerfacecolor=PAPER, label="random twin")
        )
    if raw:
        handles.append(Line2D([], [], color=SERIES[2], linestyle="--", label="raw input"))
    figure.legend(handles=handles, loc="outside upper left", ncols=2, handletextpad=0.4, columnspacing=1.4)


def _dot(
    axes: Axes, at: tuple[float, float] | None, y: float, color: str, marker: str, *, filled: bool = True
) -> None:
    if at is None:
        return
    value, half = at
    if half:
        axes.plot([value - half, value + half], [y, y], color=color, linewidth=1.8, zorder=2, alpha=0.75)
    face = color if filled else PAPER
    axes.plot([value], [y], marker, color=color, markerfacecolor=face, markersize=7 if filled else 6, zorder=3)


def layer_plot(ranking: Ranking, key: str) -> Plot | None:
    """The primary score of every layer against its depth; one line per source, at its best adapter and pooling."""
    by, places = ranking.rank_by, ranks(ranking)
    curves = []
    for best in ranking.best():
        card = ranking.card(best.source)
        if best.control or card is None or len(card.layers) < 2:
            continue
        depth = {layer: place / (len(card.layers) - 1) for place, layer in enumerate(card.layers)}
        found = [(depth[c.layer], _score(c, by)) for c in curve(ranking, best) if c.layer in depth]
        points = sorted((x, s[0]) for x, s in found if s)
        if len(points) > 1:
            curves.append((best, points))
    if not curves:
        return None
    named, rest = curves[:MOST_CURVES], curves[MOST_CURVES:]

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for _, points in rest:
            axes.plot(*zip(*points, strict=True), color=LINE, linewidth=1, zorder=1)
        for k, (best, points) in enumerate(named):
            axes.plot(
                *zip(*points, strict=True), color=SERIES[k], marker=MARKERS[k], markersize=5, linestyle=DASHES[k],
                linewidth=1.8, zorder=3, label=f"{places[best.source]}  {shorten(best.source, 42)}",
            )  # fmt: skip
        if raw := _score(raw_input(ranking), by):
            axes.axhline(raw[0], color=DIM, linestyle=":", linewidth=1.2, label="raw input")
        if rest:
            axes.plot([], [], color=LINE, label=f"{len(rest)} more sources")
        axes.set_xlabel("depth of the layer (0: nearest the input, 1: last)")
        axes.set_ylabel(axis_label(ranking))
        calm(axes, "both")
        figure.legend(loc="outside lower left", handlelength=3)

    best = curves[0][0]
    early = sum(not _is_last(ranking, best) for best, _ in curves)
    finding = f"{early} of {len(curves)} sources score best before their last layer."
    if len(curves) == 1:
        finding = f"{best.source} scores best {'before' if early else 'at'} its last layer."
    height = 310 + 20 * (len(named) + 2)
    return Plot("Layers", partial(draw, WIDTH, height, paint, key=key, finding=finding), finding)


def _is_last(ranking: Ranking, best: Candidate) -> bool:
    card = ranking.card(best.source)
    return card is not None and card.layers[-1] == best.layer


def similarity_plot(ranking: Ranking, found: Similarity, key: str) -> Plot | None:
    """How alike the sources are; a matrix of the best-ranked `MOST_ALIKE`."""
    places = ranks(ranking)
    order = sorted(range(len(found.sources)), key=lambda i: places.get(found.sources[i], len(places) + 1))[:MOST_ALIKE]
    if len(order) < 2:
        return None
    names = [found.sources[i] for i in order]
    values = [[found.values[i][j] for j in order] for i in order]

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        grid = [[float("nan") if v is None else v for v in row] for row in values]
        axes.pcolormesh(grid, cmap=SCALE, vmin=0, vmax=1, edgecolors="none")
        if len(names) <= 12:
            label_cells(axes, values)
        labels = [str(places.get(name, MISSING)) for name in names]
        axes.set_yticks([k + 0.5 for k in range(len(names))], labels)
        axes.set_xticks([k + 0.5 for k in range(len(names))], labels)
        axes.invert_yaxis()
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)

    pairs = sorted(
        (v, names[i], names[j]) for i, row in enumerate(values) for j, v in enumerate(row[:i]) if v is not None
    )
    if not pairs:
        return None
    (low, *apart), (high, *alike) = pairs[0], pairs[-1]
    finding = f"Most alike: {listed(alike)} ({number(high)})"
    if len(pairs) > 1:
        finding += f"; least alike: {listed(apart)} ({number(low)})"
    size = 20 + min(WIDTH - 20, 64 * len(names))
    svg = partial(draw, size, size * 0.8, paint, key=key, finding=f"{finding}.")
    left_out = len(found.sources) - len(names)
    note = f" The {len(names)} best-ranked of {len(found.sources)} sources are shown." if left_out else ""
    return Plot(f"Similarity of the sources: {found.measure}", svg, f"{finding}. Numbers are the ranks above.{note}")


def confirmation_plots(study: Study, key: str) -> list[Plot]:
    """One picture per strategy: the estimate of each source against its measured accuracy."""
    if study.ranking is None:
        return []
    strategies = dict.fromkeys(row.strategy for row in study.confirmed)
    plots = (
        _confirmation_plot(study, study.ranking, strategy, f"{key}-{place}")
        for place, strategy in enumerate(strategies)
    )
    return [plot for plot in plots if plot]


def _confirmation_plot(study: Study, ranking: Ranking, strategy: str, key: str) -> Plot | None:
    by, places = ranking.rank_by, ranks(ranking)
    best = {c.source: c for c in ranking.best()}
    points: list[tuple[Confirmed, tuple[float, float]]] = []
    for row in study.confirmed:
        at = _score(best.get(row.source), by)
        if row.strategy == strategy and at:
            points.append((row, at))
    if len(points) < 2:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        labels: dict[tuple[float, float], list[int]] = {}
        for row, at in points:
            _cross(axes, row, at, control=row.source in study.controls)
            if row.source in places:
                labels.setdefault((at[0], 100 * row.accuracy), []).append(places[row.source])
        for spot, numbers in labels.items():
            text = ", ".join(map(str, sorted(numbers)))
            axes.annotate(text, spot, xytext=(6, 5), textcoords="offset points", zorder=4, fontweight="bold")
        axes.set_ylim(top=min(axes.get_ylim()[1], 101))
        axes.set_xlabel(f"estimate: {axis_label(ranking)}")
        axes.set_ylabel(f"measured test {study.target.metric}, %")
        calm(axes, "both")

    top = max(points, key=lambda point: point[0].accuracy)[0]
    finding = f"{top.source} measured best of {len(points)} with {strategy}: {percent(top.accuracy)}."
    controls = " Open diamonds are controls." if any(row.source in study.controls for row, _ in points) else ""
    caption = (
        f"{finding} {_agreement(study, ranking, strategy)} Bars are 90 % intervals, numbers the ranks above.{controls}"
    )
    return Plot(
        f"Estimate and measured {study.target.metric}: {strategy}",
        partial(draw, WIDTH, 340, paint, key=key, finding=finding),
        caption,
    )


def _cross(axes: Axes, row: Confirmed, at: tuple[float, float], *, control: bool) -> None:
    """One source with its two intervals."""
    (x, half), color = at, SERIES[1] if control else SERIES[0]
    y, error = 100 * row.accuracy, 100 * NOISE * row.standard_error
    axes.plot([x - half, x + half], [y, y], color=color, linewidth=1, alpha=0.5, zorder=1)
    axes.plot([x, x], [y - error, y + error], color=color, linewidth=1, alpha=0.5, zorder=1)
    face = PAPER if control else color
    axes.plot([x], [y], "D" if control else "o", color=color, markerfacecolor=face, markersize=7, zorder=3)


def _agreement(study: Study, ranking: Ranking, strategy: str) -> str:
    """The weighted Kendall tau as the evaluation measured it."""
    for row in study.agreements:
        if (row.strategy, row.scorer) == (strategy, ranking.rank_by):
            tau = row.weighted_kendall
            if tau.value is None:
                return f"Weighted Kendall τ is not defined ({tau.note or 'no reason given'})."
            bounds = "" if tau.low is None or tau.high is None else f" [{tau.low:.2f}, {tau.high:.2f}]"
            said = f"{tau.value:.2f}{bounds}".replace("-", "\u2212")
            return f"Weighted Kendall τ {said} over {row.n_sources} sources."
    return "For the agreement of the two orders, run transferscope evaluate."


def calm(axes: Axes, grid: str) -> None:
    """Light grid lines behind the data, few ticks."""
    from matplotlib.ticker import MaxNLocator

    axes.grid(axis=grid, alpha=0.7)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
