"""The demo as a newcomer runs it, and again where there is no network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transferscope.results import Evaluation, Ranking, Truth, load_result

UNPLUGGED = """
import socket, sys
def refuse(*address, **options):
    raise OSError(101, "Network is unreachable")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
sys.argv = ["transferscope", "demo", "--out", sys.argv[1]]
from transferscope.cli import main
main()
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str], float]:
    """The demo's folder, what it printed and how long it took; nothing but the packages is in its cache."""
    out, cache = tmp_path_factory.mktemp("demo"), tmp_path_factory.mktemp("cache")
    shared = Path.home() / ".cache" / "transferscope" / "packages"
    shared.mkdir(parents=True, exist_ok=True)
    (cache / "packages").symlink_to(shared)
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "transferscope", "demo", "--out", str(out)],
        capture_output=True, text=True, env={**os.environ, "TRANSFERSCOPE_CACHE": str(cache)}, timeout=1200,
    )  # fmt: skip
    print(f"the demo took {time.perf_counter() - started:.0f} s, downloads included")
    assert done.returncode == 0, done.stderr
    return out, done, cache


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_it_covers_what_it_is_for(made: tuple[Path, subprocess.CompletedProcess[str], Path]) -> None:
    out, done, _ = made
    results = [load_result(path) for path in sorted(out.glob("*.json"))]
    rankings = [result for result in results if isinstance(result, Ranking)]
    assert {ranking.target.modality for ranking in rankings} == {"image", "audio", "text"}
    assert len(rankings) >= 3
    pretrained = {c.source for r in rankings for c in r.best() if c.control is None}
    assert len({name.partition("?")[0] for name in pretrained}) >= 5
    paths = set()
    for ranking in rankings:
        assert not ranking.failures
        controls = {c.control for c in ranking.best()}
        assert controls == {None, "random", "raw"}
        twins = {card.twin_of for card in ranking.sources if card.is_random}
        assert twins == {c.source for c in ranking.best() if c.control is None}
        paths |= {tuple(step.converter for step in c.path) for c in ranking.best()}
    assert {("waveform->image", "image->image"), ("text->image", "image->image")} <= paths
    truths = [result for result in results if isinstance(result, Truth)]
    assert {c.strategy for truth in truths for c in truth.confirmed} == {"linear_probe", "full"}
    assert not any(truth.failures for truth in truths)
    assert sum(isinstance(result, Evaluation) for result in results) == 1
    for ranking in rankings:
        assert done.stdout.count(f"{ranking.target.name}: {ranking.rank_by}, accuracy on") == 1  # one table a target
    assert " left" in done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 100


@pytest.mark.slow
def test_its_report_opens(
    made: tuple[Path, subprocess.CompletedProcess[str], Path], open_page: Callable[..., Any]
) -> None:
    html = made[0] / "index.html"
    assert html.stat().st_size <= 2_000_000
    tab = open_page(html)
    rankings = [load_result(path) for path in made[0].glob("*-ranking.json")]
    for ranking in rankings:
        assert tab.get_by_role("heading", name=ranking.target.name, exact=True).count() >= 1
    assert tab.evaluate("document.documentElement.scrollWidth") <= 1280
    assert tab.locator("figure svg").count() >= 3 * len(rankings)


@pytest.mark.slow
def test_again_it_computes_nothing_and_needs_no_network(
    made: tuple[Path, subprocess.CompletedProcess[str], Path], tmp_path: Path
) -> None:
    out, _, cache = made
    environment = {**os.environ, "TRANSFERSCOPE_CACHE": str(cache)}
    subprocess.run([sys.executable, "-c", UNPLUGGED, str(tmp_path)], check=True, capture_output=True, env=environment)
    for path in out.glob("*.json"):
        first, again = (json.loads((folder / path.name).read_text()) for folder in (out, tmp_path))
        for result in (first, again):
            result.pop("stamp")
            for cost in result.get("costs", ()):
                cost.pop("load_seconds")  # sources are loaded again
            for candidate in result.get("candidates", ()):
                for score in candidate["scores"].values():
                    score.pop("seconds")  # scores are computed again, features and training runs are not
        assert again == first
