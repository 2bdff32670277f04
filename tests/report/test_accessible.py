"""The report under axe-core in a real browser, by keyboard, and at a size that no one reads whole."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import transferscope as ts
from transferscope.report.compare import compare
from transferscope.report.html import LARGEST
from transferscope.results import Evaluation, Ranking, Truth

pytestmark = pytest.mark.slow
AXE = "axe-core@4.14.1"
ROOT = Path(__file__).resolve().parents[2]
DEMO, SHOTS = ROOT / "reports" / "demo", ROOT / "build" / "screenshots"
ASK = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations.map(v => v.id + ": " + v.nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join(" "));
}"""


@pytest.fixture(scope="session")
def axe(pytestconfig: pytest.Config) -> str:
    """The script of axe-core, fetched once into pytest's own cache."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("axe")
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        if not (npm := shutil.which("npm")):
            pytest.skip("npm is not installed")
        made = subprocess.run(
            [npm, "install", "--silent", "--no-save", "--prefix", str(folder), AXE], capture_output=True, text=True
        )
        if made.returncode or not script.exists():
            pytest.skip(f"{AXE} cannot be fetched: {made.stderr[-200:]}")
    return script.read_text()


def violations(tab: Any, axe: str) -> list[str]:
    tab.evaluate(axe)
    return tab.evaluate(ASK)


@pytest.mark.parametrize("study", ["demo", "plain", "examples", "hostile", "large", "changes"])
def test_axe_finds_nothing(
    open_page: Callable[..., Any], axe: str, study: str, ranking: Ranking, truth: Truth, evaluation: Evaluation,
    large_ranking: Ranking, hostile: Ranking, make: SimpleNamespace, tmp_path: Path,
) -> None:  # fmt: skip
    """On a phone and on a desk, light and dark; a picture of each is left in build/screenshots to look at."""
    path = tmp_path / "r.html"
    if study == "changes":
        compare(ranking, ranking).write(path)
    else:
        results: dict[str, list[Any]] = {
            "demo": sorted(DEMO.glob("*.json")), "plain": [ranking, truth, evaluation], "hostile": [hostile],
            "large": [large_ranking], "examples": [replace(ranking, examples=make.examples(*"abcde"))],
        }  # fmt: skip
        ts.report(results[study], out=path)
    for width, scheme in itertools.product((390, 1280), ("light", "dark")):
        tab = open_page(path, width=width, scheme=scheme)
        tab.screenshot(path=SHOTS / f"{study}-{width}-{scheme}.png", full_page=study in ("plain", "examples"))
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, "the page is wider than the screen"
        assert violations(tab, axe) == [], (width, scheme)


def test_every_part_can_be_reached_by_keyboard(
    open_page: Callable[..., Any], ranking: Ranking, truth: Truth, tmp_path: Path
) -> None:
    tab = open_page(ts.report([ranking, truth], out=tmp_path / "r.html"))
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = false)")
    seen = set()
    for _ in range(60):
        tab.keyboard.press("Tab")
        seen.add(tab.evaluate("(e => e.tagName + ' ' + e.className + ' ' + e.type)(document.activeElement)"))
    assert {"SUMMARY  undefined", "INPUT  search", "BUTTON  button", "DIV scroll undefined"} <= seen
    summary = tab.locator("details.source summary").first
    summary.focus()
    tab.keyboard.press("Enter")
    assert tab.locator("details.source").first.get_attribute("open") is not None


def test_three_hundred_candidates_on_twenty_targets(
    open_page: Callable[..., Any], make: SimpleNamespace, tmp_path: Path
) -> None:
    """Even if each candidate is a source of its own, with a twin."""
    entrants = [
        make.entrant(
            f"timm:some_rather_long_model_name_{k:03}.with_a_long_recipe_in1k",
            [(0.3 + 0.002 * ((k * 7) % 300), 0.01), (0.2, 0.02)],
            (0.2 + 0.0001 * k, 0.02),
        )
        for k in range(300)
    ]
    one = make.ranking(
        entrants, examples=make.examples(*(entrant.name for entrant in entrants[:9]), text="word " * 800)
    )
    many = [replace(one, target=make.target(f"imagefolder:photos/{k}", content_sha256=f"{k:064}")) for k in range(20)]
    started = time.perf_counter()
    path = ts.report(many, out=tmp_path / "r.html")
    took = time.perf_counter() - started
    assert path.stat().st_size <= LARGEST
    started = time.perf_counter()
    tab = open_page(path)
    print(f"\n{path.stat().st_size:,} bytes, made in {took:.1f} s, loaded in {time.perf_counter() - started:.2f} s")
    assert tab.locator("section h2").count() >= 20
