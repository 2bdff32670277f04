"""The report in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import transferscope as ts
from transferscope.results import Evaluation, Ranking, Truth


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("study", ["plain", "hostile", "large"])
def test_in_a_browser(
    open_page: Callable[..., Any], width: int, scheme: str, study: str, ranking: Ranking, truth: Truth,
    evaluation: Evaluation, large_ranking: Ranking, hostile: Ranking, tmp_path: Path,
) -> None:  # fmt: skip
    """No message on the console, nothing fetched, no sideways scrolling of the page, no label outside its picture."""
    results = {"plain": [ranking, truth, evaluation], "hostile": [hostile], "large": [large_ranking]}
    tab = open_page(ts.report(results[study], out=tmp_path / "r.html"), width=width, scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    outside = tab.evaluate(
        """[...document.querySelectorAll('svg text')].filter(t => {
             const a = t.getBoundingClientRect(), b = t.closest('svg').getBoundingClientRect();
             return a.left < b.left - 1 || a.right > b.right + 1 || a.top < b.top - 1 || a.bottom > b.bottom + 1;
           }).map(t => t.textContent)"""
    )
    assert outside == []


@pytest.mark.slow
def test_the_table_is_sorted_and_filtered_within_its_bands(
    open_page: Callable[..., Any], large_ranking: Ranking, tmp_path: Path
) -> None:
    tab = open_page(ts.report(large_ranking, out=tmp_path / "r.html"))
    table = tab.locator("table.sortable")
    values = (
        "t => [...t.tBodies].map(b => [...b.rows].filter(r => r.cells.length > 1).map(r => r.cells[1].textContent))"
    )
    given = table.evaluate(values)
    head = table.locator("thead button").nth(1)

    def number(text: str) -> float:
        return float(text.partition("\u00a0")[0])

    head.focus()
    tab.keyboard.press("Enter")
    assert table.locator("thead th").nth(1).get_attribute("aria-sort") == "descending"
    assert [sorted(band, key=number, reverse=True) for band in given] == table.evaluate(values)
    tab.keyboard.press("Enter")
    assert [sorted(band, key=number) for band in given] == table.evaluate(values)
    tab.keyboard.press("Enter")
    assert given == table.evaluate(values)
    tab.get_by_label("Show rows with").fill("name_07 random")
    assert table.locator("tbody tr:visible .name").all_inner_texts()[-1].endswith("weights=random")
    assert tab.get_by_role("status").inner_text() == "1 of 81 rows"


@pytest.mark.slow
def test_without_a_script_nothing_is_missing(browser: Any, ranking: Ranking, truth: Truth, tmp_path: Path) -> None:
    path = ts.report([ranking, truth], out=tmp_path / "r.html")
    words: list[list[str]] = []
    for runs in (True, False):
        context = browser.new_context(java_script_enabled=runs)
        tab = context.new_page()
        tab.goto(path.as_uri())
        lines = [" ".join(line.split()) for line in tab.locator("main").inner_text().splitlines()]
        words.append([line for line in lines if line and line != "Show rows with"])
        assert (tab.locator("th button, input").count() > 0) is runs
        context.close()
    assert words[0] == words[1]
