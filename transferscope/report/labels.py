"""Short texts beside points and in cells of a picture, where they can be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .canvas import DIM, INK
from .formats import MISSING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCALE = "cividis"  # the same order of lightness for all eyes
AROUND = tuple((dx * k, dy * k) for k in (1, 2, 3) for dx, dy in
               ((8, 6), (8, -6), (-8, 6), (-8, -6), (0, 14), (0, -14), (11, 0), (-11, 0)))  # fmt: skip
NEAR = 14  # pixels; farther away, a line leads to the point
CHARACTER = 8  # pixels of width

Spot = tuple[float, float]


def label_points(axes: Axes, spots: Sequence[Spot], names: Sequence[str], others: Sequence[Spot]) -> None:
    """Each name at the first place around its point where it covers neither a point nor an earlier name, or nowhere.

    To be called when all else is drawn, since places are measured in pixels; `others` are all points.
    """
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    pixels = [axes.transData.transform(spot) for spot in others]
    taken = [(x - 6, x + 6, y - 6, y + 6) for x, y in pixels]
    for spot, name in zip(spots, names, strict=True):
        x, y = axes.transData.transform(spot)
        for dx, dy in AROUND:
            half = CHARACTER / 2 * len(name) + 1
            middle = x + dx + (half if dx > 0 else -half if dx < 0 else 0)
            box = (middle - half, middle + half, y + dy - 7, y + dy + 7)
            if all(box[0] > t[1] or box[1] < t[0] or box[2] > t[3] or box[3] < t[2] for t in taken):
                taken.append(box)
                line = {"arrowstyle": "-", "color": DIM, "linewidth": 0.8, "shrinkB": 4}
                axes.annotate(
                    name, spot, xytext=(dx, dy), textcoords="offset points", va="center", fontweight="bold",
                    ha="left" if dx > 0 else "right" if dx < 0 else "center", zorder=4, in_layout=False,
                    arrowprops=line if abs(dx) + abs(dy) > NEAR else None,
                )  # fmt: skip
                break


def label_cells(axes: Axes, values: Sequence[Sequence[float | None]]) -> None:
    """The number in every cell, black or white, whichever stands out from the cell's colour."""
    from matplotlib import colormaps

    for y, row in enumerate(values):
        for x, v in enumerate(row):
            dark = v is not None and sum(colormaps[SCALE](min(max(v, 0.0), 1.0))[:3]) < 1.38
            color = INK if v is None else "#ffffff" if dark else "#000000"
            text = MISSING if v is None else f"{v:.2f}".replace("-", "\u2212")
            axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", color=color)
