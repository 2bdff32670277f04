from __future__ import annotations

import json
from pathlib import Path

import pytest

from transferscope.agreements import Estimate
from transferscope.errors import ResultError
from transferscope.results import (
    Agreement,
    Candidate,
    Confirmed,
    Epoch,
    Evaluation,
    Failure,
    Ranking,
    Result,
    Run,
    Score,
    Similarity,
    Skipped,
    SourceCard,
    SplitCard,
    Step,
    TargetCard,
    Truth,
    load_result,
    save_result,
)
from transferscope.stamp import make_stamp

TARGET = TargetCard("imagefolder:x", "image", 4, ("ä", "<b>"), (2, 2), None, "0" * 64)
SPLIT = SplitCard(0, 2, 1, 1, False, None, "1" * 64)


def results() -> list[Result]:
    stamp = make_stamp("transferscope rank", seed=3, device="cpu", seconds={"rank": 1.23456})
    score = Score("logme", -0.25, True, 4, 8, 0.01, 0.1, ("N < D",))
    step = Step("image->image", {"size": 64, "crop": 1.0, "note": None, "gray": True}, "He et al. 2016")
    candidate = Candidate(
        "timm:x", "last", (step,), {"resized": 4.0}, "mean", 8, 1.5, {"logme": score}, True, "random"
    )
    card = SourceCard("timm:x", "x", {"kind": "image"}, ("last",), 10, "2" * 64)
    ranking = Ranking(
        TARGET, SPLIT, ("logme",), "logme", (card,), (candidate,), stamp, (Failure("timm:y", "no network"),),
        (Skipped("a.png", "truncated"),), (Similarity("cka", ("a", "b"), ((1.0, None), (None, 1.0))),),
    )  # fmt: skip
    run = Run(0, 1e-3, 0.5, None, (Epoch(0.7, 0.5),), 2.0)
    truth = Truth(TARGET, SPLIT, (Confirmed("timm:x", "last", "full", 0.5, None, 0.1, 20, (run,), 2.0),), stamp)
    nothing = Estimate(None, note="constant score")
    evaluation = Evaluation((Agreement("t", "full", "logme", 2, nothing, nothing, nothing, nothing, nothing),), stamp)
    return [ranking, truth, evaluation]


@pytest.mark.parametrize("result", results(), ids=lambda result: result.kind)
def test_round_trip_is_exact(result: Result, tmp_path: Path) -> None:
    path = save_result(result, tmp_path / "deep" / "result.json")
    assert load_result(path) == result
    assert [p.name for p in path.parent.iterdir()] == ["result.json"]


def test_a_truth_from_before_strategies_logged_more_is_read(tmp_path: Path) -> None:
    truth = results()[1]
    path = save_result(truth, tmp_path / "t.json")
    data = json.loads(path.read_text())
    (found,) = data["confirmed"]
    (run,) = found["runs"]
    del found["quick"], run["epochs"][0]["measures"]
    for name in ("settings", "collapsed", "note", "peak_memory"):
        del run[name]
    path.write_text(json.dumps(data))
    assert load_result(path) == truth


def test_unknown_fields_are_refused(tmp_path: Path) -> None:
    path = save_result(results()[0], tmp_path / "r.json")
    path.write_text(path.read_text().replace('"rank_by"', '"rank_with"'))
    with pytest.raises(ResultError, match="was it written by another version"):
        load_result(path)


@pytest.mark.parametrize(
    ("text", "says"), [("{", "not a saved result"), ("[]", "not a saved result"), ("{}", "holds kind None")]
)
def test_other_files_are_refused(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ResultError, match=says):
        load_result(tmp_path / "r.json")


def test_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="not a saved result"):
        load_result(tmp_path / "none.json")


def test_unwritable_place_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="choose another --out"):
        save_result(results()[0], tmp_path / "file" / "r.json")
