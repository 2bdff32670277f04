"""Tables of a benchmark run: printed, and written to the file that ``BENCHMARK_REPORT`` names, if it is set."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Section = Callable[[str, Sequence[str], Sequence[Sequence[object]]], None]
TURNS, REST = 5, 0.3


def best_seconds(*calls: Callable[[], Any], turns: int = TURNS) -> list[float]:
    """The best time of each over a few rounds, side by side: what slower rounds add is other people's load.

    Libraries bring thread pools of their own, which wait busily after their turn: each starts once they sleep.
    """
    best = [np.inf] * len(calls)
    for _ in range(turns):
        for place, call in enumerate(calls):
            time.sleep(REST)
            started = time.perf_counter()
            call()
            best[place] = min(best[place], time.perf_counter() - started)
    return best


@pytest.fixture(scope="session")
def timed() -> Callable[..., list[float]]:
    return best_seconds


@pytest.fixture(scope="session")
def written(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Sections in the order they were measured, and where and with what."""
    sections: list[str] = []
    yield sections
    path = os.environ.get("BENCHMARK_REPORT")
    if path and sections:
        import scipy
        import torch

        command = f"BENCHMARK_REPORT={path} pytest {measured(request)} -m benchmark -s"
        machine = f"{os.cpu_count()} cores ({platform.machine()}), Python {sys.version.split()[0]}, NumPy "
        machine += f"{np.__version__}, SciPy {scipy.__version__}, torch {torch.__version__}"
        title = "Speed of extraction" if "extraction" in command else "Speed of scorers and measures"
        head = f"# {title}\n\nMade by `{command}` on {machine}. Times in seconds, best of a few.\n"
        Path(path).write_text("\n".join([head, *sections]))


def measured(request: pytest.FixtureRequest) -> str:
    """The benchmarks that this run was asked for."""
    asked = [arg for arg in request.config.args if "benchmarks" in arg]
    return " ".join(os.path.relpath(arg) for arg in asked) or "tests/benchmarks"


@pytest.fixture
def section(written: list[str], capsys: pytest.CaptureFixture[str]) -> Section:
    """Print a table and keep it for the report."""

    def add(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        cells = [[f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
        lines = [" | ".join(line) for line in [columns, ["---"] * len(columns), *cells]]
        text = f"## {title}\n\n" + "".join(f"| {line} |\n" for line in lines)
        written.append(text)
        with capsys.disabled():
            print(f"\n{text}")

    return add
