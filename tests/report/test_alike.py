"""Pictures and tables of likeness and distance: what they say, and that labels keep apart."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import transferscope as ts
from transferscope.report.alike import layer_similarity_plot, layer_similarity_table
from transferscope.report.maps import MOST_NAMED, alignment_table, discrepancy_plot, map_plot
from transferscope.results import Discrepancy, LayerSimilarity, Ranking


def said(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u2212", "-")


def test_layers_beside_each_other_and_beside_those_of_the_second(ranking: Ranking, make: SimpleNamespace) -> None:
    first, second, _ = make.sources
    own, both = (layer_similarity_plot(ranking, found, "k") for found in ranking.layer_similarity)
    assert own is not None
    assert both is not None
    assert own.title == f"Layers of {first} beside each other"
    assert said(own.caption) == (
        f"Layers of {first}: most alike blocks.0 and blocks.1 (0.900), least blocks.0 and blocks.2 (0.500); its best "
        "layer, blocks.2, is most like blocks.1 (0.700). CKA on 300 training samples; the frame is around "
        "the best layers."
    )
    assert said(both.caption).startswith(
        f"Most alike of {first} and {second}: blocks.2 and blocks.2 (1.000); least: blocks.0 and blocks.2 (0.500). CKA"
    )
    assert both.caption.endswith(f"Drawn are 3 of 4 layers of {second}.")
    assert "layers of source 2, counted from the input" in both.svg
    assert own.svg.count(">0.90<") == 2


def test_the_table_has_every_pair(ranking: Ranking) -> None:
    table = layer_similarity_table(ranking, ranking.layer_similarity[1])
    assert [column.title for column in table.columns] == ["Layer of source 1", "blocks.1", "blocks.2", "blocks.3"]
    rows = [row.cells for _, rows in table.bodies for row in rows]
    assert rows[0] == ("blocks.0", "0.90", "0.50", "–")


def test_many_layers_have_colours_and_no_numbers(ranking: Ranking, make: SimpleNamespace) -> None:
    names = tuple(f"l{k}" for k in range(9))
    deep = LayerSimilarity("cka", "t", 9, make.sources[:2], names, names, ((0.37,) * 9,) * 9)
    plot = layer_similarity_plot(ranking, deep, "k")
    assert plot is not None
    assert ">0.37<" not in plot.svg
    unknown = replace(deep, values=((None,) * 9,) * 9)
    assert layer_similarity_plot(ranking, unknown, "k") is None


def test_the_map_says_what_is_near_and_what_it_holds(ranking: Ranking, make: SimpleNamespace) -> None:
    first, _, third = make.sources
    plot = map_plot(ranking, "k")
    assert plot is not None
    assert said(plot.caption).startswith(
        f"Nearest to the classes of the target: {first} (CKA 0.800); farthest: {third} (0.467). Two dimensions hold "
        "80.0 % of the spread of the distances (stress 0.10). Numbers are the ranks above."
    )
    for label in (f"1  {first}", f"3  {third}", "ridge_loo 0.860", "the classes"):
        assert label in plot.svg
    assert ranking.source_map is not None
    poor = map_plot(replace(ranking, source_map=replace(ranking.source_map, held=0.3, classes=None)), "k")
    assert poor is not None
    assert poor.caption.startswith("Two dimensions hold 30.0")
    assert "so nearness here is a hint only" in poor.caption
    assert "the classes" not in poor.svg
    assert map_plot(replace(ranking, source_map=None), "k") is None


def test_the_table_of_the_map_is_ordered_by_nearness(ranking: Ranking, make: SimpleNamespace) -> None:
    table = alignment_table(ranking)
    assert table is not None
    assert [row.cells for _, rows in table.bodies for row in rows] == [
        (source, value) for source, value in zip(make.sources, ("0.800", "0.633", "0.467"), strict=True)
    ]
    assert alignment_table(replace(ranking, source_map=None)) is None


def test_of_many_sources_the_best_have_numbers(large_ranking: Ranking) -> None:
    plot = map_plot(large_ranking, "k")
    assert plot is not None
    assert f"the first {MOST_NAMED} of 40 sources have theirs" in plot.caption
    numbers = [int(text) for text in re.findall(r">(\d+)</text>", plot.svg)]
    assert set(numbers) <= set(range(1, MOST_NAMED + 1))
    assert len(numbers) > MOST_NAMED / 2


def test_distances_of_own_data_have_their_p_values(ranking: Ranking, make: SimpleNamespace) -> None:
    first, second, third = make.sources
    near, far, unknown = (
        Discrepancy(first, "x", "mmd", -0.002, 0.9), Discrepancy(second, "y", "mmd", 0.4, 0.005),
        Discrepancy(third, "z", "mmd", 0.1, None),
    )  # fmt: skip
    plot = discrepancy_plot(replace(ranking, discrepancy=(far, unknown, near)), "k")
    assert plot is not None
    assert said(plot.caption).startswith(
        f"The data of {first} (-0.002, p 0.900) lie nearest to the target, those of {second} (0.400, p 0.005) "
        f"farthest. Not told from the target (p above 0.05, grey): {first}."
    )
    assert [plot.svg.index(f"  {source}") for source in (first, third, second)] == sorted(
        plot.svg.index(f"  {source}") for source in make.sources
    )
    assert "0.400, p 0.005" in plot.svg
    assert discrepancy_plot(replace(ranking, discrepancy=()), "k") is None


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("study", ["plain", "hostile", "large"])
def test_no_label_lies_on_another(
    open_page: Callable[..., Any], ranking: Ranking, hostile: Ranking, large_ranking: Ranking, tmp_path: Path,
    width: int, study: str,
) -> None:  # fmt: skip
    found = {"plain": ranking, "hostile": hostile, "large": large_ranking}[study]
    tab = open_page(ts.report(found, out=tmp_path / "r.html"), width=width)
    for title in ("A map of the sources", "own data to the target", "Layers of"):
        for figure in tab.locator("figure", has=tab.locator("h4", has_text=title)).all():
            over = figure.evaluate(
                """f => {
                     const b = f.querySelector('svg').getBoundingClientRect();
                     const all = [...f.querySelectorAll('svg text')]
                       .map(t => [t.textContent, t.getBoundingClientRect()]);
                     const apart = (p, q) => p.right <= q.left + 1 || q.right <= p.left + 1
                                             || p.bottom <= q.top + 5 || q.bottom <= p.top + 5;
                     return [
                       ...all.filter(([_, r]) => r.left < b.left - 1 || r.right > b.right + 1).map(([t]) => t),
                       ...all.flatMap(([t, r], i) =>
                         all.slice(i + 1).filter(([_, q]) => !apart(r, q)).map(([u]) => t + ' on ' + u))];
                   }"""
            )
            assert over == []
