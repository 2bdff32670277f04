"""Freeze or fine-tune in every form of the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from transferscope.advice.curve import Curve
from transferscope.advice.verdict import Calibration, decide
from transferscope.advices import CurvePoint, Signals
from transferscope.report import report
from transferscope.report.answer import answer
from transferscope.report.study import gather
from transferscope.report.verdict import decide as judge
from transferscope.results import Advised, Ranking, Truth

SIZES = np.array([20, 40, 80, 160])
FROZEN, TUNED = (0.6, 0.66, 0.7, 0.72), (0.5, 0.65, 0.78, 0.88)
KNOWN = Calibration({"lora": (0.0, 1.0, 0.0, 0.0, 0.0)}, 0.01, 40, 5)


def curve(accuracies: tuple[float, ...]) -> Curve:
    hits = np.zeros((4, 1000))
    for row, accuracy in enumerate(accuracies):
        hits[row, : round(1000 * accuracy)] = 1
    return Curve(SIZES, hits)


@pytest.fixture
def advised(ranking: Ranking) -> Advised:
    source = next(c for c in ranking.best() if c.control is None)
    points = tuple(CurvePoint(int(n), a, 0.01, b, 0.01) for n, a, b in zip(SIZES, FROZEN, TUNED, strict=True))
    signals = Signals(200, 4, points, 0.7, 0.01, 0.5, 0.1, None, 1.0)
    found = decide(source.source, source.layer, signals, (curve(FROZEN), curve(TUNED)), known=KNOWN)
    return Advised(ranking.target, ranking.split, (found,), ranking.stamp)


def test_advice_says_how_where_nothing_was_trained(ranking: Ranking, advised: Advised) -> None:
    [study], _ = gather([ranking, advised])
    said = dict(answer(study, judge(ranking)).rows)["Transfer it by"]
    assert said[0].startswith("Fine-tune ")
    assert said[0].endswith("with lora.")
    assert "+16.0 points" in said[1]


def test_training_comes_before_advice(ranking: Ranking, truth: Truth, advised: Advised) -> None:
    [study], _ = gather([ranking, truth, advised])
    said = dict(answer(study, judge(ranking, study.confirmed)).rows)["Transfer it by"]
    assert not said[0].startswith("Fine-tune ")
    if study.advice_on(study.confirmed[0].source):
        assert said[-1].startswith("Advice before training: ")


def test_every_form_holds_it(ranking: Ranking, advised: Advised, tmp_path: Path) -> None:
    page = report([ranking, advised], tmp_path / "r.html").read_text()
    assert "Freeze or fine-tune: " in page
    assert "breaks even at about" in page
    card = report([ranking, advised], tmp_path / "r.yaml").read_text()
    assert 'strategy: "lora"' in card
    data = json.loads(report([ranking, advised], tmp_path / "r.json").read_text())
    assert data["studies"][0]["advised"][0]["advice"][0]["way"] == "lora"
    assert "with lora" in report([ranking, advised], tmp_path / "r.md").read_text()


def test_advice_alone_is_a_report_too(advised: Advised, tmp_path: Path) -> None:
    assert "Freeze or fine-tune: " in report(advised, tmp_path / "r.html").read_text()
