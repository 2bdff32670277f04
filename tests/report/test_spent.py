"""Pictures of cost, of the race and of training: what they say, and that they are there only when they can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import transferscope as ts
from transferscope.report.spent import front_plot, learning_plots, race_plot
from transferscope.report.study import gather
from transferscope.results import Confirmed, Epoch, Ranking
from transferscope.spending import Cost, Dropped, Race, Stage


def costly(ranking: Ranking, latencies: dict[str, float | None], front: tuple[str, ...]) -> Ranking:
    costs = tuple(
        Cost(source, "cpu", "MIT", 10, 1e6, seconds, 10.0, 1.0, 1e9, 2.0) for source, seconds in latencies.items()
    )
    return replace(ranking, costs=costs, pareto=front)


def raced(ranking: Ranking, first: str, second: str, third: str) -> Ranking:
    stages = (Stage(75, (first, second, third)), Stage(150, (first, second)), Stage(300, (first,)))
    dropped = (Dropped(third, 75, first, 0.2, 0.1), Dropped(second, 150, first, 0.1, 0.01))
    return replace(ranking, race=Race(0.95, stages, dropped, 1000, 2000))


def trained(row: Confirmed, *values: float) -> Confirmed:
    epochs = tuple(Epoch(0.5, value) for value in values)
    return replace(row, runs=tuple(replace(run, epochs=epochs) for run in row.runs))


def test_the_front_is_named(ranking: Ranking, make: SimpleNamespace) -> None:
    first, second, third = make.sources
    plot = front_plot(costly(ranking, {first: 0.009, second: None, third: 0.0004}, (third, first)), "f")
    assert plot is not None
    assert plot.caption.replace("\u00a0", " ").startswith(
        f"On the front of score and latency: {third} (0.4 ms, 0.710) and {first} (9 ms, 0.860). Bars are"
    )
    assert "latency of one sample, ms" in plot.svg


def test_who_was_dropped_when(ranking: Ranking, make: SimpleNamespace) -> None:
    plot = race_plot(raced(ranking, *make.sources), "r")
    assert plot is not None
    assert plot.caption.startswith("2 sources of 3 dropped, the first after 75 of 300 training rows.")
    names = [plot.svg.index(f"{place}  {source}") for place, source in enumerate(make.sources, 1)]
    assert names == sorted(names)


def test_learning_curves_say_where_more_might_help(make: SimpleNamespace, ranking: Ranking) -> None:
    first, second, _ = make.sources
    truth = make.truth(
        trained(make.confirmed(first, "full", 0.9), 0.5, 0.8, 0.7),
        trained(make.confirmed(second, "full", 0.8), 0.2, 0.4, 0.6),
        make.confirmed(first, "linear_probe", 0.7),
    )
    [study], _ = gather([ranking, truth])
    [plot] = learning_plots(study, "l")
    assert plot.title == "Learning curves: full"
    said = plot.caption.replace("\u00a0", " ")
    assert said.startswith(f"{first} peaks at 80.0 % after 2 epochs. Best at the last epoch, so more might help:")
    assert said.endswith(f"{second}. A line per run that counts.")


def test_there_is_no_picture_of_nothing(ranking: Ranking, make: SimpleNamespace) -> None:
    assert front_plot(ranking, "f") is None
    assert race_plot(ranking, "r") is None
    assert race_plot(replace(ranking, race=Race(0.95, (Stage(300, make.sources),), (), 5, 5)), "r") is None
    [study], _ = gather([ranking, make.truth(make.confirmed(make.sources[0], "full", 0.9))])
    assert learning_plots(study, "l") == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("is_hostile", [False, True])
def test_in_a_browser(
    open_page: Callable[..., Any], ranking: Ranking, hostile: Ranking, make: SimpleNamespace, tmp_path: Path,
    width: int, is_hostile: bool,
) -> None:  # fmt: skip
    """No label outside its picture, and no tick on another."""
    found = hostile if is_hostile else ranking
    first, second, third = [c.source for c in found.best() if not c.control][:3]
    found = raced(costly(found, {first: 0.2, second: 0.03, third: 0.0004}, (third, first)), first, second, third)
    truth = replace(make.truth(trained(make.confirmed(first, "full", 0.9), 0.5, 0.8, 0.7)), target=found.target)
    tab = open_page(ts.report([found, truth], out=tmp_path / "r.html"), width=width)
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    titles = tab.locator("figure h4").all_inner_texts()
    assert {"Score against cost", "The race", "Learning curves: full"} <= set(titles)
    wrong = tab.evaluate(
        """[...document.querySelectorAll('figure svg')].flatMap(svg => {
             const boxes = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
             const whole = svg.getBoundingClientRect();
             const ticks = boxes.filter(([t]) => /^[\\d.]+$/.test(t));
             const over = ticks.filter(([, a], i) => ticks.some(([, b], j) => i < j &&
               Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
               Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4));
             const outside = boxes.filter(([, a]) => a.left < whole.left - 1 || a.right > whole.right + 1);
             return [...outside, ...over].map(([t]) => t);
           })"""
    )
    assert wrong == []
