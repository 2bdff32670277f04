"""A real study in which every free text is written to do harm."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import transferscope as ts
from transferscope.report.compare import compare
from transferscope.report.publish import SUFFIXES
from transferscope.results import Ranking, Result, load_result

DEMO = Path(__file__).resolve().parents[2] / "reports" / "demo"
HARM = "\"'><script>alert(1)</script><img src=x onerror=alert(2)></svg></style>]]>--><!--{{ 7 * 7 }}&amp;$x$"
FIXED = {"kind", "format", "control", "modality", "level", "task", "state", "data"}  # of a few words, or pictures


def harmed(value: Any, key: str = "") -> Any:
    """Every text with harm after it, the same wherever it stands; in mappings whose keys are names, keys too."""
    if isinstance(value, dict):
        named = key in ("scores", "settings", "edits", "input", "weights", "left_out", "versions", "layer_shares")
        return {(f"{name}{HARM}" if named else name): harmed(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [harmed(item, key) for item in value]
    return f"{value}{HARM}" if isinstance(value, str) and key not in FIXED else value


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    folder = tmp_path_factory.mktemp("harm")
    found: list[Result] = []
    for path in (*sorted(DEMO.glob("instruments-*.json")), DEMO / "digits-full.json", DEMO / "evaluation.json"):
        (folder / path.name).write_text(json.dumps(harmed(json.loads(path.read_text()))))
        found.append(load_result(folder / path.name))
    return found


def test_no_text_becomes_markup_or_script(study: list[Result], tmp_path: Path) -> None:
    ranking = next(result for result in study if isinstance(result, Ranking))
    pages = [ts.report(study, out=tmp_path / "r.html"), compare(ranking, ranking).write(tmp_path / "c.html")]
    for html in (path.read_text() for path in pages):
        assert html.count("<script") == html.count("</script") == 1
        assert not re.search(r"<img(?! alt=\"[^\"]*\" src=\"data:image/)|\sonerror=alert\(2\)[^&]*>|\]\]>|<!--", html)
        assert "&lt;script&gt;alert(1)" in html
        assert "{{ 7 * 7 }}" in html


@pytest.mark.parametrize("format", SUFFIXES)
def test_every_format_can_be_made_of_it(study: list[Result], tmp_path: Path, format: str) -> None:
    text = ts.report(study, out=tmp_path / "r", format=format).read_text()
    assert text
    if format == "md":
        assert "<" not in text


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_runs_in_a_browser(
    open_page: Callable[..., Any], study: list[Result], tmp_path: Path, width: int
) -> None:
    tab = open_page(ts.report(study, out=tmp_path / "r.html"), width=width)
    assert tab.locator('img:not([src^="data:image/"]), [onerror]').count() == 0
    assert tab.locator("script").count() == 1
    assert tab.evaluate("document.documentElement.scrollWidth") == width
