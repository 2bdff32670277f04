"""The target's features under the best and the worst source, classes coloured."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..results import Ranking
from ..views import View
from .canvas import DIM, SERIES, Plot, draw
from .formats import percent, shorten
from .plots import MARKERS, WIDTH
from .tables import ranks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CLASSES = len(SERIES)  # told apart by colour and marker; the rest are grey


def view_plots(ranking: Ranking, key: str) -> list[Plot]:
    """One picture a source."""
    return [_plot(ranking, view, f"{key}-{place}") for place, view in enumerate(ranking.views)]


def _plot(ranking: Ranking, view: View, key: str) -> Plot:
    names = [shorten(str(name), 24) for name in view.groups or ranking.target.classes]
    largest = sorted(set(view.labels), key=lambda code: (-view.labels.count(code), code))[:MOST_CLASSES]

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        rest = [point for point, code in zip(view.points, view.labels, strict=True) if code not in largest]
        if rest:
            axes.plot(*zip(*rest, strict=True), ".", color=DIM, markersize=4, label="other classes")
        for k, code in enumerate(sorted(largest)):
            own = [point for point, label in zip(view.points, view.labels, strict=True) if label == code]
            axes.plot(*zip(*own, strict=True), MARKERS[k], color=SERIES[k], markersize=4, alpha=0.8, label=names[code])
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel("first principal component")
        axes.set_ylabel("second")
        columns = 3 if max(len(names[code]) for code in largest) <= 12 else 2
        figure.legend(loc="outside lower left", ncols=columns)

    place = ranks(ranking).get(view.source)
    kinds = "groups" if view.groups else "classes"
    finding = (
        f"{percent(view.between)} of the variance in these two dimensions lies between {kinds}; they hold "
        f"{percent(view.explained)} of all variance of the features."
    )
    title = f"Features under {shorten(view.source, 50)}" + (f" (rank {place})" if place else "")
    drawing = partial(draw, WIDTH, 380, paint, key=key, finding=finding)
    return Plot(title, drawing, f"{finding} A point is a training sample.")
