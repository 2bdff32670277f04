"""A training process that is killed loses one epoch at most, and the next one ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import transferscope as ts
from transferscope.confirm import Recipe
from transferscope.storage import cache_dir

RECIPE = Recipe(learning_rates=(1e-2,), n_seeds=1, epochs=120, patience=120, batch_size=8, min_steps=0)
SCRIPT = """
import sys, transferscope as ts
from transferscope.confirm import Recipe
ts.confirm(ts.load_result(sys.argv[1]), top=1, strategy="l2_sp", recipe={recipe!r}, store=False)
"""


@pytest.mark.slow
def test_a_killed_process_goes_on_where_it_was(
    picture_folder: Path, tiny_models: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "python:tiny_models:deep"
    ranking = ts.rank(f"imagefolder:{picture_folder}", [source], twins=False, store=False)
    ranking.to_json(tmp_path / "r.json")
    monkeypatch.setenv("TRANSFERSCOPE_CACHE", str(tmp_path / "killed"))
    command = [sys.executable, "-c", SCRIPT.format(recipe=RECIPE), str(tmp_path / "r.json")]
    process = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    while not list(cache_dir().glob("runs/*/*/checkpoint.pt")):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.3)  # somewhere in the middle of an epoch or of a checkpoint
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert list(cache_dir().glob("runs/*/*/checkpoint.pt"))  # it had not ended by itself
    (resumed,) = ts.confirm(ranking, strategy="l2_sp", recipe=RECIPE, store=False).confirmed
    monkeypatch.setenv("TRANSFERSCOPE_CACHE", str(tmp_path / "straight"))
    (straight,) = ts.confirm(ranking, strategy="l2_sp", recipe=RECIPE, store=False).confirmed
    assert resumed.runs[0].epochs == straight.runs[0].epochs
    assert resumed.accuracy == straight.accuracy
