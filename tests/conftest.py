"""Small real things that many tests need: pictures, texts and sounds in folders, and tiny models on them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when the hub's client is imported
CHROMIUM = Path("/usr/bin/chromium")
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, request) -> Path | None:
    """Every test has a cache and a history of its own; slow ones share the person's cache, for fetched packages."""
    monkeypatch.setenv("TRANSFERSCOPE_STORE", str(tmp_path_factory.mktemp("store") / "history.db"))
    if request.node.get_closest_marker("slow"):
        return None
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TRANSFERSCOPE_CACHE", str(folder))
    return folder


def draw(kind: int, rng: np.random.Generator, size: int = 24) -> Image.Image:
    """A noisy picture whose class is where the bright half lies."""
    pixels = rng.integers(0, 120, (size, size, 3)).astype(np.uint8)
    half = [np.s_[: size // 2], np.s_[size // 2 :], np.s_[:, : size // 2]][kind]
    pixels[half] += 110
    return Image.fromarray(pixels)


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    """Three classes of ten pictures each."""
    rng = np.random.default_rng(0)
    for kind, name in enumerate(("top", "bottom", "left")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(10):
            draw(kind, rng).save(tmp_path / "pictures" / name / f"{i}.png")
    return tmp_path / "pictures"


@pytest.fixture
def tiny_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module on the path with functions that build tiny networks, for ``python:`` sources."""
    (tmp_path / "tiny_models.py").write_text(
        '''
import torch
from transferscope.sources import ImageInput

SPEC = ImageInput((16, 16), (0.5,) * 3, (0.5,) * 3, "bilinear")


def edges():
    """One fixed layer that sees where brightness lies."""
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 8, stride=8), torch.nn.Flatten(), torch.nn.Linear(16, 8))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return net, SPEC


def deep():
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return (
            torch.nn.Sequential(
                torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
                torch.nn.Conv2d(8, 16, 3, stride=2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 12),
            ),
            SPEC,
        )


def broken():
    raise RuntimeError("these weights are for another machine")
'''
    )
    monkeypatch.delitem(sys.modules, "tiny_models", raising=False)  # another test's, perhaps edited there
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return "tiny_models"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a file with all its details; it must say nothing on the console and fetch nothing but itself."""
    tabs = []

    def open_file(path: Path, *, width: int = 1280, scheme: str = "light") -> Any:
        tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        tabs.append(tab)
        said, asked = [], []
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("dialog", lambda dialog: said.append(dialog.message))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(path.as_uri())
        tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert said == []
        assert asked == [path.as_uri()]
        return tab

    yield open_file
    for tab in tabs:
        tab.close()
