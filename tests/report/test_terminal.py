"""Tables and sentences in a terminal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from transferscope.report.drawn import print_file
from transferscope.report.study import gather
from transferscope.report.tables import training_remark
from transferscope.report.terminal import (
    agreement_table,
    print_result,
    print_scores,
    print_study,
    ranking_table,
    study_table,
    summary,
    truth_table,
)  # fmt: skip
from transferscope.results import Evaluation, Ranking, Score, Skipped, Truth


def lines(table: Table) -> list[str]:
    console = Console(width=100, highlight=False)
    with console.capture() as caught:
        console.print(table)
    return caught.get().replace("\u00a0", " ").splitlines()


def words(table: Table, head: str) -> list[str]:
    """The cells of the line that holds `head`."""
    return next(line for line in lines(table) if head in line).split()


def test_ranking(ranking: Ranking, make: SimpleNamespace) -> None:
    table = ranking_table(ranking)
    first, second, third = make.sources
    assert " ".join(words(table, f"{first} ")) == f"1 {first} best blocks.2 0.860 ± 0.020 11.7 M image"
    assert words(table, f"{second} ")[:3] == ["2", second, "tied"]
    assert words(table, f"{third} ")[:3] == ["3", third, "blocks.3"]
    assert words(table, "raw:image")[:4] == ["raw:image", "raw", "blocks.0", "0.550"]
    assert words(table, f"{first}?weights=random")[1:3] == ["twin", "blocks.0"]
    order = [line.split()[0] for line in lines(table)[4:] if line.strip()]
    assert order == ["1", "2", "3", f"{third}?weights=random", "raw:image", f"{first}?weights=random",
                     f"{second}?weights=random", "4"]  # fmt: skip
    dim = [row.style for row in table.rows]
    assert dim == [None, None, None, "dim", "dim", "dim", "dim", None]


def test_truth(truth: Truth, make: SimpleNamespace) -> None:
    table = truth_table(truth)
    assert " ".join(words(table, "full")) == f"{make.sources[0]} full blocks.3 93.0 % 0.6 % 2.6 % 21.7 s"
    assert [row.style for row in table.rows] == [None, None, None, None, "dim", "dim"]


def test_quick_and_collapsed_training_is_told(truth: Truth, make: SimpleNamespace) -> None:
    row = truth.confirmed[0]
    runs = tuple(replace(run, collapsed=True, note="again at a third of 0.003, which collapsed") for run in row.runs)
    marked = replace(row, quick=True, runs=runs)
    shown = " ".join(" ".join(lines(truth_table(replace(truth, confirmed=(marked,))))).split())
    assert "(quick)" in shown
    assert "(collapsed)" in shown
    said = training_remark(marked)
    assert said.startswith("quick: one rate, one seed, few epochs; collapsed: one class")
    assert said.endswith("again at a third of 0.003, which collapsed")
    assert training_remark(row) == ""


def test_study(ranking: Ranking, truth: Truth, make: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    [study], _ = gather([ranking, truth])
    table = study_table(study, ranking)
    first, second, _ = make.sources
    assert [str(column.header) for column in table.columns][3:-1] == ["ridge_loo ↑", "full", "linear_probe"]
    cells = " ".join(words(table, f"{first} "))
    measured = {row.strategy: row for row in truth.confirmed if row.source == first}
    for row in measured.values():
        assert f"{100 * row.accuracy:.1f} % ± {100 * row.standard_error:.1f}" in cells
    assert words(table, f"{second} ")[:3] == ["2", second, "tied"]
    print_study(study)
    printed = capsys.readouterr().out
    assert "Best confirmed by training" in printed
    for text in ("failed: hf:someone/else: no network", "failed: hf:./my-local-vit: full: out of memory"):
        assert text in printed
    assert max(map(len, printed.splitlines())) <= 100
    print_study(gather([truth])[0][0])
    assert "accuracy on" in capsys.readouterr().out


def test_agreement(evaluation: Evaluation) -> None:
    table = agreement_table(evaluation)
    assert "0.61 [0.31, 0.81]" in " ".join(words(table, "logme"))
    assert words(table, "n_parameters")[1:4] == ["6", "–", "–"]


def test_summary_is_the_verdict(ranking: Ranking, truth: Truth) -> None:
    said = summary(ranking, truth).splitlines()
    assert "is among the best sources by ridge_loo" in said[0]
    assert all(line.startswith("- ") for line in said[1:])
    assert any("Best confirmed by training" in line for line in said)
    assert not any("training" in line for line in summary(ranking).splitlines())


def test_printed_results_fit_100_columns(
    ranking: Ranking, truth: Truth, evaluation: Evaluation, large_ranking: Ranking, capsys: pytest.CaptureFixture[str]
) -> None:
    skipped = tuple(Skipped(f"{k}.png", "truncated") for k in range(9))
    for result in (replace(ranking, skipped=skipped), truth, evaluation, large_ranking):
        print_result(result)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 100
    for text in (
        "failed: hf:someone/else: no network", "warning: 2 unreadable samples were left out.",
        "unreadable: 4 more, listed in the saved ranking", "failed: hf:./my-local-vit: full: out of memory",
        "no value for n_parameters: the order is constant",
    ):  # fmt: skip
        assert text in printed


def test_scores(capsys: pytest.CaptureFixture[str]) -> None:
    scores = {
        "logme": Score("logme", -0.25, True, 10, 20, 0.0, 0.01, ("few samples",)),
        "leep": Score("leep", None, True, 10, 20, 0.0, error="no source head"),
        "gap": Score("gap", 0.5, False, 10, 20, 0.0),
        "h_score": Score("h_score", 2.0, True, 10, 20, 1.5, warnings=("all alike",), saturated=True),
    }
    print_scores(scores)
    printed = capsys.readouterr().out.replace("\u00a0", " ").replace("\u2212", "-")
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in printed.splitlines() if line.split()}
    assert rows["10"] == "samples x 20 features"
    assert rows["scorer"] == "value ± better seconds warnings"
    assert rows["logme"] == "-0.250 0.010 higher 0.000 few samples"
    assert rows["leep"] == "– – higher 0.000 no source head"
    assert rows["gap"] == "0.500 – lower 0.000"
    assert rows["h_score"] == "saturated – higher 1.500 all alike"


def test_names_are_no_markup_and_steer_no_terminal(make: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["[red]a[/red]", "[/nonsense]", "\x1b[2Jclear", "b" * 200]
    ranking = make.ranking([make.entrant(name, [(0.5, 0.01)]) for name in names], warnings=("[bold]w[/bold]",))
    print_result(ranking)
    printed = capsys.readouterr().out
    assert "[red]a[/red]" in printed
    assert "[/nonsense]" in printed
    assert "warning: [bold]w[/bold]" in printed
    assert "\x1b[2J" not in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_cells_are_text_not_markup(ranking: Ranking) -> None:
    assert all(isinstance(cell, Text) for cell in ranking_table(ranking).columns[1]._cells)


def test_a_path_is_printed_whole_and_as_a_link_where_terminals_know_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ("long name [bold] " * 8) / "r.html"
    print_file("saved: ", path)
    assert capsys.readouterr().out == f"saved: {path}\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    print_file("saved: ", path)
    told = capsys.readouterr().out
    assert path.as_uri() in told
    assert "r.html" in told
