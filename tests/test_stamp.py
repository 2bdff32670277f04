"""What a result says of how it was made: a call that makes it again, and the time of each phase."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import transferscope as ts
from transferscope.confirm import Recipe
from transferscope.ranking.constraints import Constraints
from transferscope.stamp import Watch, call_of


def example(
    target: object,
    sources: object,
    *,
    constraints: object = None,
    recipe: object = None,
    top: int | None = 3,
    store: object = None,
    data: object = None,
) -> str:
    return call_of(example, locals())


def test_a_call_tells_what_differs_from_the_defaults() -> None:
    assert example("csv:a.csv", ("timm:a", "hf:b")) == "ts.example('csv:a.csv', ['timm:a', 'hf:b'])"
    assert example("t", [], top=3) == "ts.example('t', [])"
    assert example("t", [], top=None) == "ts.example('t', [], top=None)"
    assert example("t", [], data={"a": Path("x") / "y"}) == "ts.example('t', [], data={'a': 'x/y'})"
    told = example("t", [], recipe=Recipe(quick=True, epochs=2), constraints=Constraints(max_params=5e6))
    assert (
        told
        == "ts.example('t', [], constraints=Constraints(max_params=5000000.0), recipe=Recipe(epochs=2, quick=True))"
    )
    assert example("t", [], data=object()) == "ts.example('t', [], data=<object>)"


def test_where_a_history_lies_is_not_told() -> None:
    assert "secret" not in example("t", [], store="postgresql://me:secret@host/db")


def test_phases_follow_each_other() -> None:
    watch = Watch()
    time.sleep(0.02)
    watch.lap("one")
    watch.lap("two")
    assert watch.seconds["one"] >= 0.02 > watch.seconds["two"] >= 0


def test_results_carry_their_call(picture_folder: Path, tiny_models: str) -> None:
    target, sources = f"imagefolder:{picture_folder}", ["python:tiny_models:edges", "python:tiny_models:deep"]
    ranking = ts.rank(target, sources, store=False, costs=False, scorers=["logme"])
    told = ranking.stamp.call
    assert told == f"ts.rank({target!r}, {sources!r}, scorers=['logme'], costs=False)"
    assert list(ranking.stamp.seconds) == ["reading the target", "scoring sources", "scoring controls", "ordering"]
    again = eval(told.replace("costs=False", "costs=False, store=False"), {"ts": ts})
    assert again.candidates[0].scores["logme"].value == pytest.approx(ranking.candidates[0].scores["logme"].value)
    truth = ts.confirm(ranking, top=2, strategy="linear_probe", store=False)
    assert truth.stamp.call == "ts.confirm(ranking, top=2, strategy='linear_probe')"
    evaluation = ts.evaluate([ranking], truth)
    assert evaluation.stamp.call == "ts.evaluate([ranking], truth)"
