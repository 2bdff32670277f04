"""Layers beside layers: the best source's with each other, and with those of the second."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..results import LayerSimilarity, Ranking
from .canvas import INK, Plot, draw
from .formats import MISSING, clean, noun, number, shorten
from .labels import SCALE, label_cells
from .plots import WIDTH
from .tables import Column, Row, Table, ranks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 8  # layers up to which each cell holds its number

Pair = tuple[float, str, str]  # value, and the layers of the two sources


def layer_similarity_plot(ranking: Ranking, found: LayerSimilarity, key: str) -> Plot | None:
    """A cell per pair of layers; a frame around the pair of the two best ones."""
    first, second = found.sources
    rows, columns = (_places(ranking, *side) for side in ((first, found.first_layers), (second, found.second_layers)))
    finding = _finding(ranking, found)
    if not finding:
        return None
    framed = [
        layers.index(layer) if (layer := _best(ranking, source)) in layers else None
        for source, layers in ((first, found.first_layers), (second, found.second_layers))
    ]

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        _draw(axes, found, numbers=max(len(rows), len(columns)) <= FEW)
        axes.set_yticks([k + 0.5 for k in range(len(rows))], rows)
        axes.set_xticks([k + 0.5 for k in range(len(columns))], columns)
        axes.set_ylabel(f"layers of {_named(ranking, first)}")
        axes.set_xlabel(f"layers of {_named(ranking, second)}, counted from the input")
        y, x = framed
        if x is not None and y is not None:
            axes.plot([x, x + 1, x + 1, x, x], [y, y, y + 1, y + 1, y], color=INK, linewidth=3.2, clip_on=False)
            axes.plot([x, x + 1, x + 1, x, x], [y, y, y + 1, y + 1, y], color="#ffffff", linewidth=1.2, clip_on=False)
        _legend(figure)

    height = 150 + min(WIDTH - 60, 44 * len(rows))
    title = f"Layers of {shorten(first, 40)} beside {'each other' if first == second else shorten(second, 40)}"
    caption = f"{finding} CKA on {noun(found.n_samples, 'training sample')}; {_sampled(ranking, found)}"
    return Plot(title, partial(draw, WIDTH, height, paint, key=key, finding=finding), caption)


def _draw(axes: Axes, found: LayerSimilarity, *, numbers: bool) -> None:
    grid = [[float("nan") if v is None else v for v in row] for row in found.values]
    axes.pcolormesh(grid, cmap=SCALE, vmin=0, vmax=1, edgecolors="none")
    if numbers:
        label_cells(axes, found.values)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _legend(figure: Figure) -> None:
    """Five steps say as much as a bar of colours, and are few bytes."""
    from matplotlib import colormaps
    from matplotlib.patches import Patch

    steps = (0.0, 0.25, 0.5, 0.75, 1.0)
    handles = [Patch(facecolor=colormaps[SCALE](v), edgecolor=INK, linewidth=0.5, label=f"{v:g}") for v in steps]
    figure.legend(
        handles=handles, loc="outside upper left", ncols=len(steps), title="CKA (1: alike)", alignment="left",
        handlelength=1.2, handletextpad=0.4, columnspacing=1.2,
    )  # fmt: skip


def layer_similarity_table(ranking: Ranking, found: LayerSimilarity) -> Table:
    """Every pair of layers that was measured."""
    first, second = found.sources
    columns = [
        Column(f"Layer of {clean(_named(ranking, first))}", is_name=True),
        *(Column(clean(shorten(layer, 40)), numeric=True) for layer in found.second_layers),
    ]
    rows = [
        Row((clean(layer), *(MISSING if v is None else f"{v:.2f}".replace("-", "\u2212") for v in row)))
        for layer, row in zip(found.first_layers, found.values, strict=True)
    ]
    beside = "each other" if first == second else clean(second)
    return Table.of(f"CKA of the layers of {clean(first)} (rows) with {beside}", columns, rows)


def _finding(ranking: Ranking, found: LayerSimilarity) -> str:
    """The most and the least alike pair, and the pair of the best layers; empty where nothing is known."""
    first, second = found.sources
    pairs = [
        (value, a, b)
        for y, (a, row) in enumerate(zip(found.first_layers, found.values, strict=True))
        for x, (b, value) in enumerate(zip(found.second_layers, row, strict=True))
        if value is not None and not (first == second and x <= y)
    ]
    if not pairs:
        return ""
    if first == second:
        best = _best(ranking, first)
        near = [(value, b if a == best else a) for value, a, b in pairs if best in (a, b)]
        said = f"; its best layer, {shorten(best, 40)}, is most like {_like(max(near))}" if near else ""
        return f"Layers of {shorten(first, 60)}: most alike {_told(max(pairs))}, least {_told(min(pairs))}{said}."
    both = next((p for p in pairs if p[1:] == (_best(ranking, first), _best(ranking, second))), None)
    said = f"Best layer with best layer, {_told(both)}; most" if both else "Most"
    names = f"{shorten(first, 60)} and {shorten(second, 60)}"
    return f"{said} alike of {names}: {_told(max(pairs))}; least: {_told(min(pairs))}."


def _told(pair: Pair) -> str:
    return f"{shorten(pair[1], 40)} and {shorten(pair[2], 40)} ({number(pair[0])})"


def _like(near: tuple[float, str]) -> str:
    return f"{shorten(near[1], 40)} ({number(near[0])})"


def _best(ranking: Ranking, source: str) -> str:
    return next((c.layer for c in ranking.best() if c.source == source), "")


def _named(ranking: Ranking, source: str) -> str:
    place = ranks(ranking).get(source)
    return f"source {place}" if place else shorten(source, 20)


def _places(ranking: Ranking, source: str, layers: tuple[str, ...]) -> list[str]:
    card = ranking.card(source)
    order = {layer: place for place, layer in enumerate(card.layers)} if card else {}
    return [str(order.get(layer, MISSING)) for layer in layers]


def _sampled(ranking: Ranking, found: LayerSimilarity) -> str:
    """Whether layers are missing, and what the frame is."""
    pairs = zip(dict.fromkeys(found.sources), (found.first_layers, found.second_layers), strict=False)
    fewer = [
        f"{len(layers)} of {len(card.layers)} layers of {shorten(source, 40)}"
        for source, layers in pairs
        if (card := ranking.card(source)) and len(layers) < len(card.layers)
    ]
    drawn = f" Drawn are {' and '.join(fewer)}." if fewer else ""
    return f"the frame is around the best layers.{drawn}"
