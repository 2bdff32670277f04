"""Progress as a log shows it, and as a terminal does."""

from __future__ import annotations

import pytest

from transferscope.cli import drawing
from transferscope.cli.drawing import DrawnProgress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(drawing.time, "monotonic", lambda: now[0])
    return now


def test_a_log_line_says_what_runs_how_far_and_how_long_still(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with DrawnProgress() as progress:
        progress("ranking", 0, 4)
        for done, seconds in ((0, 100.0), (20, 110.0), (40, 112.0), (60, 130.0)):
            clock[0] = seconds
            progress("resnet on photos", done, 100)
        progress("resnet on photos", 100, 100)
        clock[0] = 400.0
        progress("ranking", 1, 4)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "ranking: 0 of 4",
        "ranking: 0 of 4 | resnet on photos: 20 of 100, 40 s left",  # 20 in 10 s
        "ranking: 0 of 4 | resnet on photos: 60 of 100, 20 s left",  # 60 in 30 s; nothing within 5 s of a line
        "ranking: 1 of 4, 15 min left",
    ]


def test_a_task_that_failed_half_way_is_over_when_the_outer_one_goes_on(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    progress = DrawnProgress()
    progress("ranking", 0, 3)
    progress("resnet on photos", 2, 10)
    clock[0] += 10
    progress("ranking", 1, 3)
    assert capsys.readouterr().err.splitlines()[1] == "ranking: 1 of 3, 20 s left"


def test_a_finished_task_starts_anew(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    progress = DrawnProgress()
    progress("probe", 2, 2)
    clock[0] += 1000
    progress("probe", 0, 2)
    clock[0] += 10
    progress("probe", 1, 2)
    assert capsys.readouterr().err.splitlines()[1:] == ["probe: 0 of 2", "probe: 1 of 2, 10 s left"]


def test_a_terminal_gets_bars_that_vanish(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with DrawnProgress() as progress:
        progress("ranking [photos]", 0, 2)
        progress("ranking [photos]", 1, 2)
        progress._bars.refresh()
        shown = capsys.readouterr().err
        assert "ranking [photos]" in shown  # brackets are no markup
        assert "1/2" in shown
        progress("ranking [photos]", 2, 2)
    assert not progress._bars.tasks
