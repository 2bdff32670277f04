"""`transferscope evaluate` on tables, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from transferscope.cli.app import app
from transferscope.results import Evaluation, load_result


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["evaluate", *words], env={"COLUMNS": "100"})
    return done.exit_code, done.output


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    """Scores, and accuracies with sizes; `otdd` falls where accuracy rises."""
    rng = np.random.default_rng(0)
    scores, truth = ["target,source,logme,noise"], ["target,source,accuracy,params"]
    for target in "abcde":
        for source in range(8):
            accuracy = rng.random()
            scores.append(f"{target},s{source},{accuracy + 0.05 * rng.standard_normal()},{rng.random()}")
            truth.append(f"{target},s{source},{accuracy},{source}")
    paths = tmp_path / "scores.csv", tmp_path / "truth.csv"
    for path, lines in zip(paths, (scores, truth), strict=True):
        path.write_text("\n".join(lines) + "\n")
    return paths


def test_two_tables_give_means_controls_and_sentences(tables: tuple[Path, Path], tmp_path: Path) -> None:
    scores, truth = map(str, tables)
    code, said = run("--scores", scores, "--truth", truth, "--k", "2", "--out", str(tmp_path / "e.json"))
    assert code == 0
    assert max(map(len, said.splitlines())) <= 100
    assert "Best by mean weighted τ over 5 targets: logme." in said
    assert "params" in said
    saved = load_result(tmp_path / "e.json")
    assert isinstance(saved, Evaluation)
    assert {row.order for row in saved.orders if row.is_control} == {"static order", "params"}
    assert "regret_at_2" in saved.orders[0].measures
    assert "regret_at_3" not in saved.orders[0].measures


def test_json_is_the_saved_result_and_targets_are_printed_on_request(
    tables: tuple[Path, Path], tmp_path: Path
) -> None:
    words = "--scores", str(tables[0]), "--truth", str(tables[1]), "--seed", "3", "--out", str(tmp_path / "e.json")
    code, said = run(*words, "--json")
    assert code == 0
    printed = json.loads(said)
    assert printed["kind"] == "evaluation"
    assert printed["stamp"]["seed"] == 3
    code, said = run(*words, "--per-target")
    assert code == 0
    assert [line.strip() for line in said.splitlines() if line.strip() in set("abcde")] == list("abcde")


def test_what_is_missing_is_named(tables: tuple[Path, Path], tmp_path: Path) -> None:
    scores, truth = map(str, tables)
    for words, message in (
        (("--scores", scores), "expected accuracy among them"),
        (("--scores", scores, "--truth", scores), "expected accuracy among them"),
        ((), "got neither; expected either saved results, or --scores and --truth"),
        ((scores, "--scores", scores, "--truth", truth), "got both; expected either saved results"),
    ):
        code, said = run(*words, "--out", str(tmp_path / "e.json"))
        assert code != 0
        assert message in " ".join(said.split())
    assert not (tmp_path / "e.json").exists()
