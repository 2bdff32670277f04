"""Freeze or fine-tune, as a sentence and a picture."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..advices import Advice
from .canvas import SERIES, Plot, draw
from .formats import clean, noun, percent, shorten
from .plots import WIDTH, calm, plain_ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def headline(advice: Advice) -> str:
    """One sentence: what to do with the source."""
    name = shorten(advice.source, 60)
    if advice.way == "frozen":
        done = f"Freeze {name} and train a linear probe on {shorten(advice.layer, 40)}"
    else:
        done = f"Fine-tune {name} with {advice.way}"
    if not advice.sure:
        done += ", but measure the other way too: the numbers do not settle it"
    return clean(f"{done}.")


def advice_plot(advice: Advice, key: str) -> Plot:
    """Learning curves of frozen features and of the tangent kernel, the former extrapolated."""
    points = advice.signals.curve
    n = [point.n for point in points]

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.set_xscale("log")
        for name, values, errors, color, style in (
            ("frozen features", [p.frozen for p in points], [p.frozen_error for p in points], SERIES[0], "o-"),
            (
                "gradients of the last blocks",
                [p.tuned for p in points],
                [p.tuned_error for p in points],
                SERIES[1],
                "s--",
            ),
        ):
            axes.errorbar(
                n, [100 * v for v in values], [100 * e for e in errors], fmt=style, color=color, capsize=2, label=name
            )
        ahead = advice.extrapolated
        axes.plot([a[0] for a in ahead], [100 * a[1] for a in ahead], ":", color=SERIES[0])
        low, high = [100 * a[2] for a in ahead], [100 * a[3] for a in ahead]
        axes.fill_between([a[0] for a in ahead], low, high, color=SERIES[0], alpha=0.15, linewidth=0)
        if advice.break_even is not None:
            axes.axvline(advice.break_even, color=SERIES[2], linewidth=1)
        calm(axes, "both")
        plain_ticks(axes, (1, 2, 5))
        axes.legend(loc="lower right", frameon=False)
        axes.set_xlabel("training samples")
        axes.set_ylabel("accuracy on left-out samples, %")

    even = "does not break even within sight" if advice.break_even is None else (
        f"breaks even at about {noun(advice.break_even, 'sample')} (upright line)"
    )  # fmt: skip
    finding = (
        f"With {noun(n[-1], 'sample')}: {percent(points[-1].frozen)} from frozen features, "
        f"{percent(points[-1].tuned)} from gradients of the last blocks; fine-tuning {even}."
    )
    title = f"Freeze or fine-tune: {shorten(advice.source, 50)}"
    drawing = partial(draw, WIDTH, 300, paint, key=key, finding=finding)
    return Plot(title, drawing, f"{finding} Bars are standard errors, the band a 90 % interval of more samples.")
