"""Labels keep apart, and numbers stand out from their cells."""

from __future__ import annotations

import itertools

import pytest
from matplotlib import colormaps
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from transferscope.report.labels import SCALE, label_cells, label_points


def labelled(spots: list[tuple[float, float]]) -> dict[str, tuple[float, float, float, float]]:
    """Extents of the labels, once drawn on 400 by 300 pixels."""
    figure = Figure(figsize=(400 / 72, 300 / 72), dpi=72, layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.plot(*zip(*spots, strict=True), "o", markersize=7)
    axes.set(xlim=(0, 10), ylim=(0, 10))
    label_points(axes, spots, [str(k) for k in range(len(spots))], spots)
    figure.draw_without_rendering()
    return {text.get_text(): text.get_window_extent().extents for text in axes.texts}


def test_labels_of_near_points_keep_apart() -> None:
    found = labelled([(2, 5), (2.1, 5.1), (2.2, 4.9), (8, 8)])
    assert set(found) == {"0", "1", "2", "3"}
    for a, b in itertools.combinations(found.values(), 2):
        assert a[2] <= b[0] + 2 or b[2] <= a[0] + 2 or a[3] <= b[1] + 4 or b[3] <= a[1] + 4


def test_what_has_no_room_has_no_label_and_the_first_have_theirs() -> None:
    found = labelled([(5, 5)] * 60)
    assert "0" in found
    assert 8 <= len(found) < 60


def luminance(color: tuple[float, float, float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("value", [k / 50 for k in range(51)])
def test_numbers_contrast_with_their_cells(value: float) -> None:
    axes = Figure().add_subplot()
    label_cells(axes, [[value]])
    [text] = axes.texts
    low, high = sorted((luminance(to_rgb(text.get_color())), luminance(colormaps[SCALE](value)[:3])))
    assert (high + 0.05) / (low + 0.05) >= 4.5
