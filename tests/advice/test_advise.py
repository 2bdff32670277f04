"""Advice on a ranking, end to end, and the rule that turns signals into it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import transferscope as ts
from transferscope.advice.curve import Curve
from transferscope.advice.verdict import NAMES, Calibration, calibration, decide, inputs
from transferscope.advices import CurvePoint, Signals
from transferscope.errors import ResultError, TransferScopeError, UnknownNameError
from transferscope.results import Advised, Ranking, SplitCard, Stamp, TargetCard, load_result
from transferscope.targets import Target
from transferscope.targets.arrays import from_arrays

SIZES = np.array([20, 40, 80, 160])
STEADY = Calibration({"full": (0.0, 1.0, -0.5, 0.0, 0.0), "lora": (-0.02, 1.0, -0.5, 0.0, 0.0)}, 0.01, 40, 5)


def curve(accuracies: Any, n: int = 2000) -> Curve:
    hits = np.zeros((len(accuracies), n))
    for row, accuracy in enumerate(accuracies):
        hits[row, : round(accuracy * n)] = 1
    return Curve(SIZES, hits)


def signals(frozen: Any, tuned: Any, last: float | None = None, **known: Any) -> Signals:
    points = tuple(
        CurvePoint(int(n), one, 0.01, other, 0.01) for n, one, other in zip(SIZES, frozen, tuned, strict=True)
    )
    at_last = frozen[-1] if last is None else last
    return Signals(200, 4, points, at_last, 0.01, 1.0, known.get("twin"), known.get("distance"), 0.1)


RISING, FLAT = (0.5, 0.65, 0.78, 0.88), (0.6, 0.66, 0.7, 0.72)


def test_a_large_gain_is_advised_and_sure_and_a_small_one_is_not_worth_training() -> None:
    tuned = decide("a", "last", signals(FLAT, RISING), (curve(FLAT), curve(RISING)), known=STEADY)
    assert (tuned.way, tuned.sure) == ("full", True)
    assert tuned.gain == pytest.approx(0.16)
    assert tuned.gain_low < tuned.gain < tuned.gain_high
    frozen = decide("a", "last", signals(RISING, FLAT), (curve(RISING), curve(FLAT)), known=STEADY)
    assert (frozen.way, frozen.sure) == ("frozen", True)
    same = decide("a", "last", signals(FLAT, FLAT), (curve(FLAT), curve(FLAT)), known=STEADY)
    assert (same.way, same.sure) == ("frozen", False)
    assert "train both ways" in same.reasons[-1]


def test_it_breaks_even_where_the_curves_cross() -> None:
    crossing = (0.45, 0.6, 0.72, 0.82)
    found = decide("a", "last", signals(FLAT, crossing), (curve(FLAT), curve(crossing)), known=STEADY)
    assert found.break_even is not None
    assert 40 < found.break_even < 80
    never = decide("a", "last", signals(RISING, FLAT), (curve(RISING), curve(FLAT)), known=STEADY)
    assert never.break_even is None


def test_a_last_layer_that_is_behind_speaks_against_fine_tuning() -> None:
    near = decide("a", "x", signals(FLAT, RISING), (curve(FLAT), curve(RISING)), known=STEADY)
    far = decide("a", "x", signals(FLAT, RISING, last=0.5), (curve(FLAT), curve(RISING)), known=STEADY)
    assert far.gain < near.gain


def test_reasons_are_the_numbers() -> None:
    told = signals(FLAT, RISING, twin=0.123, distance=4.5)
    found = " ".join(decide("a", "x", replace(told, depth=0.5), (curve(FLAT), curve(RISING)), known=STEADY).reasons)
    for text in ("+16.0 points", "72.0 %", "88.0 %", "50 labels a class", "+12.3 points", "4.5 apart", "50 % of the"):
        assert text in found


def test_the_shipped_calibration_is_that_of_the_confirmed_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(__file__).parents[2] / "reports" / "advice"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "fit", raising=False)
    import fit

    assert fit.calibrate(fit.read()) == calibration()
    assert all(len(weights) == len(NAMES) for weights in calibration().weights.values())


def test_inputs_are_as_they_are_called() -> None:
    found = dict(zip(NAMES, inputs(signals(FLAT, RISING, last=0.6)), strict=True))
    assert found["tangent gain"] == pytest.approx(0.16)
    assert found["last layer behind"] == pytest.approx(0.12)
    assert found["headroom"] == pytest.approx(0.28)


@pytest.fixture
def pictures() -> Target:
    """Two classes that differ in where it is bright."""
    rng = np.random.default_rng(0)
    labels = [place % 2 for place in range(80)]
    found = rng.integers(0, 120, (80, 16, 16, 3)).astype(np.uint8)
    for place, label in enumerate(labels):
        found[place, :, 8 * label : 8 * label + 8] += 90
    return from_arrays(list(found), labels, modality="image")


@pytest.fixture
def ranking(pictures: Target, tiny_models: str) -> Ranking:
    names = [f"python:{tiny_models}:deep", f"python:{tiny_models}:edges"]
    return ts.rank(pictures, names, store=False, costs=False)


def test_a_ranking_is_advised_on_and_read_back(ranking: Ranking, pictures: Target, tmp_path: Path) -> None:
    found = ts.advise(ranking, top=2, target=pictures)
    assert [one.source for one in found.advice] == [c.source for c in ranking.best() if not c.control]
    for one in found.advice:
        assert one.way in ("frozen", "lp_ft", "lora", "full")
        assert len(one.signals.curve) >= 3
        assert one.gain_low < one.gain < one.gain_high
    assert load_result(found.to_json(tmp_path / "advice.json")) == found
    again = ts.advise(ranking, top=2, target=pictures)
    assert [replace(one, signals=replace(one.signals, seconds=0)) for one in again.advice] == [
        replace(one, signals=replace(one.signals, seconds=0)) for one in found.advice
    ]


def test_the_best_set_is_the_default_and_strangers_are_refused(ranking: Ranking, pictures: Target) -> None:
    held = [one.source for one in ranking.standings if one.in_best_set]
    assert [one.source for one in ts.advise(ranking, target=pictures).advice] == held
    with pytest.raises(UnknownNameError, match="ranked source"):
        ts.advise(ranking, sources=["nobody"], target=pictures)
    with pytest.raises(TransferScopeError, match="no weights to train"):
        ts.advise(ranking, sources=["raw:image"], target=pictures)


def test_what_is_printed_is_the_advice(ranking: Ranking, pictures: Target, capsys: pytest.CaptureFixture[str]) -> None:
    from transferscope.report.terminal import print_result

    found: Advised = ts.advise(ranking, top=1, target=pictures)
    print_result(found)
    shown = capsys.readouterr().out
    assert "freeze or fine-tune" in shown
    assert found.advice[0].reasons[0][:40] in shown
    assert all(len(line) <= 100 for line in shown.splitlines())
    json.dumps(found.advice[0].gains)


def test_advice_without_a_curve_is_refused_by_its_file_and_field(tmp_path: Path) -> None:
    made = decide("a", "last", signals(FLAT, RISING), (curve(FLAT), curve(RISING)), known=STEADY)
    target = TargetCard("birds", "image", 8, ("a", "b"), (4, 4), None, "sha")
    stamp = Stamp("2026-01-01T00:00:00+00:00", "by hand", 0, "cpu", {}, {})
    path = Advised(target, SplitCard(0, 4, 2, 2, False, None, "s"), (made,), stamp).to_json(tmp_path / "a.json")
    told = json.loads(path.read_text())
    told["advice"][0]["signals"]["curve"] = []
    path.write_text(json.dumps(told))
    with pytest.raises(ResultError, match=r"a\.json: advice\.0\.signals.*no point"):
        load_result(path)
