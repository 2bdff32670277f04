"""`ts.score`: which scorers run, what stands beside each value, and what is refused."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import Any

import numpy as np
import pytest
import torch

import transferscope as ts
from transferscope.errors import ScoreError, UnknownNameError
from transferscope.scorers import SCORERS, logme


def problem(n: int = 60, d: int = 8, k: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    P = np.exp(rng.normal(size=(k, 5))[y] + rng.normal(size=(n, 5)))
    return rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)), P / P.sum(axis=1, keepdims=True), y


def enter(monkeypatch: pytest.MonkeyPatch, name: str, fn: Any, **changes: Any) -> None:
    """A scorer for one test."""
    monkeypatch.setitem(SCORERS._entries, name, dataclasses.replace(SCORERS["logme"], name=name, fn=fn, **changes))


def test_all_scorers_that_apply_by_default() -> None:
    X, P, y = problem()
    features_only = {spec.name for spec in SCORERS.values() if spec.needs == ("features", "labels")}
    assert set(ts.score(X, y)) == features_only
    assert set(ts.score(X, y, source_probs=P)) == set(SCORERS)
    assert set(ts.score(X, X[:, 0], task="regression")) == {"knn", "logme", "ridge_loo"}
    Y = np.eye(3, dtype=int)[y]
    assert set(ts.score(X, Y, task="multilabel")) == {"logme", "ridge_loo"}


@pytest.mark.parametrize("shape", [(60, 8), (20, 40)])
def test_values_are_those_of_the_plain_calls(shape: tuple[int, int]) -> None:
    """Although one pass and one eigendecomposition are shared."""
    X, P, y = problem(*shape)
    found = ts.score(torch.tensor(X), torch.tensor(y), source_probs=torch.tensor(P))
    for name, score in found.items():
        spec = SCORERS[name]
        assert score.value == spec.fn(P if "source_probs" in spec.needs else X, y)
        assert (score.name, score.higher_is_better, score.error) == (name, spec.higher_is_better, None)
        assert (score.n_samples, score.n_features) == shape
        assert score.seconds > 0
    regression = ts.score(X, X[:, :2] + 1.0, task="regression")
    assert {name: s.value for name, s in regression.items()} == {
        name: SCORERS[name].fn(X, X[:, :2] + 1.0) for name in ("knn", "logme", "ridge_loo")
    }


def test_scorers_come_in_the_order_asked_for() -> None:
    X, P, y = problem()
    assert list(ts.score(X, y, ["nce", "h_score", "knn"], source_probs=P)) == ["nce", "h_score", "knn"]
    assert list(ts.score(X, y, ("logme",))) == ["logme"]


def test_numbers_that_are_whole_are_classes_unless_said_otherwise() -> None:
    X, _, y = problem()
    as_classes = ts.score(X, y.astype(float), ["logme"])["logme"].value
    as_numbers = ts.score(X, y.astype(float), ["logme"], task="regression")["logme"].value
    assert as_classes == logme(X, y)
    assert as_numbers == logme(X, y.astype(float), task="regression") != as_classes


def test_standard_errors_of_accuracies() -> None:
    X, P, y = problem()
    found = ts.score(X, y, source_probs=P)
    for name, score in found.items():
        if SCORERS[name].is_accuracy:
            assert score.value is not None
            assert score.standard_error == pytest.approx(np.sqrt(score.value * (1 - score.value) / 60))
        else:
            assert score.standard_error is None
    assert {name for name in found if SCORERS[name].is_accuracy} == {"knn", "ridge_loo"}
    correlation = ts.score(X, X[:, 0], ["knn", "ridge_loo"], task="regression")
    assert [s.standard_error for s in correlation.values()] == [None, None]


def test_warnings_stand_beside_the_scorers_they_are_about() -> None:
    X, P, _ = problem(20, 30)
    y = np.array([0] * 16 + [1] * 3 + [2])
    found = ts.score(X, y, source_probs=P)
    largest = "Always answering the largest class would score 0.800."
    alone = "1 class(es) have one sample, which no other can vouch for: always wrong."
    assert found["knn"].warnings == (alone, largest)
    assert found["ridge_loo"].warnings == (largest,)
    saturated, uneven = found["h_score"].warnings
    assert saturated.startswith("Saturated: 20 samples span all of their 19 directions")
    assert uneven == "Every class weighs the same in it, and the rarest has 1 sample(s)."
    assert found["leep"].warnings == found["nce"].warnings == ()
    assert all(score.warnings == () for score in ts.score(*problem(60, 8)[::2]).values())


def test_features_that_do_not_vary_are_told() -> None:
    _, P, y = problem()
    found = ts.score(np.full((60, 8), 3.5), y, source_probs=P)
    says = ("All rows of features are equal: there is nothing to score.",)
    assert {name for name, score in found.items() if score.warnings == says} == {
        "h_score",
        "knn",
        "logme",
        "ridge_loo",
    }
    assert found["leep"].warnings == ()


def test_a_value_that_is_not_finite_is_an_error_in_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    X, _, y = problem()
    enter(monkeypatch, "strange", lambda features, labels: float("nan"), is_accuracy=True)
    found = ts.score(X, y, ["strange", "logme"])
    assert (found["strange"].value, found["strange"].standard_error) == (None, None)
    assert found["strange"].error == "strange is not defined here: its value is nan"
    assert found["logme"].value == logme(X, y)


def test_scorers_are_given_what_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    X, _, y = problem()
    seen: dict[str, Any] = {}

    def drawing(features: Any, labels: Any, *, seed: int) -> float:
        seen.update(features=features, labels=labels, seed=seed)
        return 0.5

    enter(monkeypatch, "drawing", drawing, higher_is_better=False)
    found = ts.score(X, y, ["drawing"], seed=17)["drawing"]
    assert seen["features"] is X
    assert seen["labels"] is y
    assert seen["seed"] == 17
    assert (found.value, found.higher_is_better) == (0.5, False)


def test_shared_time_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds of shared work and a second each; the clock goes by calls."""
    X, _, y = problem()
    ticks = iter([0.0, 2.0, 10.0, 11.0, 20.0, 21.0, 30.0, 31.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    found = ts.score(X, y, ["h_score", "knn", "logme"])
    assert {name: score.seconds for name, score in found.items()} == {"h_score": 2.0, "knn": 1.0, "logme": 2.0}


def test_inputs_stay_as_they_are() -> None:
    X, P, y = problem()
    kept = X.copy(), P.copy(), y.copy()
    for array in (X, P, y):
        array.flags.writeable = False
    ts.score(X, y, source_probs=P)
    for array, before in zip((X, P, y), kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_refusals() -> None:
    X, P, y = problem()
    with pytest.raises(UnknownNameError, match="no scorer named 'hscore'. Did you mean 'h_score'"):
        ts.score(X, y, ["logme", "hscore"])
    with pytest.raises(UnknownNameError, match="no task named 'classify'. Did you mean 'classification'"):
        ts.score(X, y, task="classify")  # type: ignore[arg-type]
    for scorers in ("logme", []):
        says = f"score: scorers={scorers!r}; expected a list of names such as ['logme'], or None for all."
        with pytest.raises(ScoreError, match=re.escape(says)):
            ts.score(X, y, scorers)
    with pytest.raises(ScoreError, match="leep needs source_probs, the softmax of the source's own head, and none"):
        ts.score(X, y, ["leep"])
    with pytest.raises(ScoreError, match="h_score is not defined for regression; it is for classification"):
        ts.score(X, X[:, 0], ["h_score"], task="regression")
    with pytest.raises(ScoreError, match="score: 60 rows of features but 50 labels; give one label per row"):
        ts.score(X, y[:50])
    with pytest.raises(ScoreError, match="leep: 50 rows of source_probs but 60 labels"):
        ts.score(X, y, ["leep"], source_probs=P[:50])
    with pytest.raises(ScoreError, match="score: labels hold fractions such as .*; expected classes"):
        ts.score(X, X[:, 0])
    with pytest.raises(ScoreError, match="score: all 60 labels are of one class, 'a'; expected at least 2 classes"):
        ts.score(X, ["a"] * 60)
    X[5, 2] = np.inf
    with pytest.raises(ScoreError, match="score: features hold 0 NaN and 1 infinite values in 1 rows, the first at"):
        ts.score(X, y)
