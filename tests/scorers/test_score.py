"""`ts.score`: which scorers run, what stands beside each value, and what is refused."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import Any

import numpy as np
import pandas
import pytest
import torch

import transferscope as ts
from transferscope.errors import ScoreError, UnknownNameError
from transferscope.scorers import SCORERS, logme
from transferscope.scorers.jackknife import Blocks, assign_blocks, standard_error


def problem(n: int = 60, d: int = 8, k: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    P = np.exp(rng.normal(size=(k, 5))[y] + rng.normal(size=(n, 5)))
    return rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)), P / P.sum(axis=1, keepdims=True), y


def enter(monkeypatch: pytest.MonkeyPatch, name: str, fn: Any, **changes: Any) -> None:
    """A scorer for one test."""
    monkeypatch.setitem(SCORERS._entries, name, dataclasses.replace(SCORERS["logme"], name=name, fn=fn, **changes))


def of(task: str, *given: str) -> set[str]:
    """Those that need nothing else."""
    return {spec.name for spec in SCORERS.values() if task in spec.tasks and set(spec.needs) <= {*given, "labels"}}


def test_all_scorers_that_apply_by_default() -> None:
    X, P, y = problem(90, 66)  # NCTI needs 64 of each
    plain = of("classification", "features")
    assert {"h_score", "knn", "lda_loo", "logme", "ridge_loo"} <= plain < set(SCORERS)
    assert set(ts.score(X, y)) == plain
    more = {
        "leep": {"source_probs": P},
        "energy": {"source_logits": np.log(P)},
        "ped": {"reference_features": X},
        "emms": {"label_embeddings": P[:, :, None]},
    }
    for name, arrays in more.items():
        given = {*arrays, "features"} | ({"source_probs"} if "source_logits" in arrays else set())
        found = ts.score(X, y, standard_errors="none", **arrays)  # type: ignore[arg-type]
        assert set(found) == of("classification", *given)
        assert name in found.keys() - plain
    either = {"linear_probe", "logme", "ridge_loo"}
    assert set(ts.score(X, X[:, 0], task="regression")) == of("regression", "features") >= either | {"knn"}
    Y = np.eye(3, dtype=int)[y]
    assert set(ts.score(X, Y, task="multilabel")) == of("multilabel", "features") >= either
    assert "knn" not in of("multilabel", "features")


def test_probabilities_follow_from_logits() -> None:
    X, P, y = problem()
    logits = np.log(P) + np.arange(60)[:, None] * 20.0  # a constant per row, here beyond what exp can hold, cancels
    for name in ("leep", "nce"):
        found, wanted = ts.score(X, y, [name], source_logits=logits), ts.score(X, y, [name], source_probs=P)
        assert found[name].value == pytest.approx(wanted[name].value, rel=1e-9)
        both = ts.score(X, y, [name], source_logits=-logits, source_probs=P)
        assert both[name].value == wanted[name].value


@pytest.mark.parametrize("errors", ["cheap", "none"])
@pytest.mark.parametrize("shape", [(90, 66), (66, 80)])
def test_values_are_those_of_the_plain_calls(shape: tuple[int, int], errors: Any) -> None:
    """Although one pass and one eigendecomposition are shared; blocks of samples add up to them but for rounding."""
    X, P, y = problem(*shape)
    found = ts.score(torch.tensor(X), torch.tensor(y), source_probs=torch.tensor(P), standard_errors=errors)
    for name, score in found.items():
        spec = SCORERS[name]
        assert score.value == pytest.approx(spec.fn(P if "source_probs" in spec.needs else X, y), rel=1e-9), name
        assert (score.name, score.higher_is_better, score.error) == (name, spec.higher_is_better, None)
        assert (score.n_samples, score.n_features) == shape
        assert score.seconds > 0
        if spec.is_accuracy:
            assert score.value == spec.fn(X, y)
    T = X[:, :2] + 1.0
    for name, score in ts.score(X, T, task="regression", standard_errors=errors).items():
        assert score.value == pytest.approx(SCORERS[name].fn(X, T), rel=1e-9), name


def test_scorers_come_in_the_order_asked_for() -> None:
    X, P, y = problem()
    assert list(ts.score(X, y, ["nce", "h_score", "knn"], source_probs=P)) == ["nce", "h_score", "knn"]
    assert list(ts.score(X, y, ("logme",))) == ["logme"]


def test_numbers_that_are_whole_are_classes_unless_said_otherwise() -> None:
    X, _, y = problem()
    as_classes = ts.score(X, y.astype(float), ["logme"])["logme"].value
    as_numbers = ts.score(X, y.astype(float), ["logme"], task="regression")["logme"].value
    assert as_classes == pytest.approx(logme(X, y), rel=1e-9)
    assert as_numbers == pytest.approx(logme(X, y.astype(float), task="regression"), rel=1e-9)
    assert as_numbers != pytest.approx(as_classes, rel=0.1)


def test_standard_errors_of_accuracies() -> None:
    """Of as many coin flips as samples; a neighbour's hits depend on each other, which is counted."""
    X, _, y = problem()
    found = ts.score(X, y)
    accuracies = {name for name in found if SCORERS[name].is_accuracy}
    assert accuracies == {"knn", "lda_loo", "linear_probe", "ridge_loo"}
    for name in accuracies - {"knn"}:
        value = found[name].value
        assert value is not None
        assert found[name].standard_error == pytest.approx(np.sqrt(value * (1 - value) / 60), rel=1e-12)
    each = SCORERS["knn"].per_sample(X, y)  # type: ignore[misc]
    assert found["knn"].standard_error == pytest.approx(each.std() / np.sqrt(60), rel=1e-12)


def test_an_accuracy_without_hooks_is_a_share_too(monkeypatch: pytest.MonkeyPatch) -> None:
    X, _, y = problem()
    enter(monkeypatch, "guess", lambda features, labels: 0.25, is_accuracy=True, left_out=None)
    for errors, n_blocks in (("cheap", 0), ("all", 10)):
        found = ts.score(X, y, ["guess"], standard_errors=errors)["guess"]  # type: ignore[arg-type]
        assert found.standard_error == pytest.approx(np.sqrt(0.25 * 0.75 / 60))
        assert len(found.left_out) == n_blocks
    numbers = ts.score(X, X[:, 0], ["guess"], task="regression")["guess"]  # where it is no share
    assert numbers.standard_error is None


@pytest.mark.parametrize("task", ["classification", "regression", "multilabel"])
def test_cheap_standard_errors_are_of_those_with_a_hook(task: Any) -> None:
    X, P, y = problem(90, 66, seed=1)
    targets = {"classification": y, "regression": X[:, :2] + 1.0, "multilabel": np.eye(3, dtype=int)[y]}[task]
    given = {"source_probs": P} if task == "classification" else {}
    found = ts.score(X, targets, task=task, **given)  # type: ignore[arg-type]
    for name, score in found.items():
        spec = SCORERS[name]
        hooked = spec.left_out or spec.per_sample
        no_mean = task == "regression" and name in ("knn", "linear_probe")
        expected = bool(hooked) and not no_mean and not score.saturated
        assert (score.standard_error is not None) == expected, name
        assert len(score.left_out) == (10 if expected else 0), name
        if expected and not (spec.is_accuracy and task == "classification"):
            assert score.standard_error == standard_error(score.left_out)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_all_standard_errors_are_of_every_scorer_that_is_defined(task: Any) -> None:
    """Those without a hook are scored anew without each block."""
    X, P, y = problem(90, 6)
    targets = y if task == "classification" else X[:, 0] + np.random.default_rng(1).normal(size=90)
    found = ts.score(X, targets, task=task, source_probs=P, standard_errors="all")
    rows = [np.delete(np.arange(90), taken) for taken in assign_blocks_of(X, targets, task)]
    refitted = 0
    for name, score in found.items():
        spec = SCORERS[name]
        if score.error or score.saturated:
            assert (score.standard_error, score.left_out) == (None, ()), name
            continue
        assert score.standard_error is not None, name
        assert len(score.left_out) == 10, name
        is_refitted = not spec.per_sample or (task == "regression" and name in ("knn", "linear_probe"))
        if not spec.left_out and is_refitted:
            wanted = [spec.fn(P[left] if "source_probs" in spec.needs else X[left], targets[left]) for left in rows]
            np.testing.assert_allclose(score.left_out, wanted, rtol=1e-12, err_msg=name)
            assert score.standard_error == standard_error(wanted)
            refitted += 1
    assert refitted >= 3


def assign_blocks_of(X: np.ndarray, targets: np.ndarray, task: Any, seed: int = 0) -> tuple[np.ndarray, ...]:
    from transferscope.features.arrays import check_inputs

    return assign_blocks(check_inputs(X, targets, caller="test", task=task)[1], seed)


def test_arrays_that_are_not_of_samples_stay_whole_without_a_block() -> None:
    X, _, y = problem(60, 8)
    reference = np.random.default_rng(2).normal(size=(23, 8))
    embeddings = np.random.default_rng(3).normal(size=(60, 4, 2))
    found = ts.score(
        X, y, ["ped", "emms"], reference_features=reference, label_embeddings=embeddings, standard_errors="all"
    )
    rows = [np.delete(np.arange(60), taken) for taken in assign_blocks_of(X, y, "classification")]
    arrays = {"features": X, "labels": y, "label_embeddings": embeddings}
    for name in ("ped", "emms"):
        spec = SCORERS[name]
        wanted = [
            spec.fn(*(arrays[need][left] if need in arrays else reference for need in spec.needs)) for left in rows
        ]
        np.testing.assert_allclose(found[name].left_out, wanted, rtol=1e-12, err_msg=name)


def test_frames_and_lists_lose_rows_as_arrays_do() -> None:
    X, _, y = problem(40, 4)
    wanted = ts.score(X, y, ["transrate"], standard_errors="all")["transrate"]
    index = np.random.default_rng(0).permutation(40) + 7
    frame = pandas.DataFrame(X, columns=list("abcd"), index=index)
    names = pandas.Series(np.array(["u", "v", "w"])[y], index=index, dtype="category")
    for features, labels in ((frame, names), (X.tolist(), y.tolist()), (torch.tensor(X), torch.tensor(y))):
        found = ts.score(features, labels, ["transrate"], standard_errors="all")["transrate"]
        np.testing.assert_allclose(found.left_out, wanted.left_out, rtol=1e-9)


def test_none_takes_no_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    X, P, y = problem()
    monkeypatch.setattr(Blocks, "of", None)  # nothing to call
    for score in ts.score(X, y, source_probs=P, standard_errors="none").values():
        assert (score.standard_error, score.left_out) == (None, ())
    with pytest.raises(TypeError):
        ts.score(X, y, ["logme"])


def test_blocks_are_those_of_the_seed_and_the_same_for_every_source() -> None:
    """Whatever the features are, their width included: a hit is missed where its sample is."""
    X, _, y = problem()
    for seed in (0, 5):
        for features in (X, X[:, :3] ** 3):
            found = ts.score(features, y, ["ridge_loo"], seed=seed)["ridge_loo"].left_out
            hits = SCORERS["ridge_loo"].per_sample(features, y)  # type: ignore[misc]
            rows = assign_blocks_of(X, y, "classification", seed)
            np.testing.assert_allclose(found, [np.delete(hits, taken).mean() for taken in rows], rtol=1e-12)
    first, second = (ts.score(X, y, ["logme"], seed=seed)["logme"].left_out for seed in (0, 5))
    assert np.abs(np.subtract(first, second)).max() > 1e-6


def test_saturated_values_have_no_standard_error() -> None:
    X, _, y = problem(20, 30)
    found = ts.score(X, y, ["h_score", "lda", "sfda", "lda_loo"], standard_errors="all")
    assert {name for name, score in found.items() if score.saturated} == {"h_score", "lda", "sfda"}
    for name in ("h_score", "lda", "sfda"):
        assert (found[name].standard_error, found[name].left_out) == (None, ())
        assert found[name].warnings[0].startswith("Saturated: ")
    assert found["lda_loo"].standard_error is not None


def test_covariances_that_are_all_shrunk_away_say_nothing() -> None:
    X, y = np.random.default_rng(3).normal(size=(60, 8)), np.arange(60) % 2  # they look like a sphere's
    found = ts.score(X, y, ["h_score_regularized"])["h_score_regularized"]
    assert (found.value, found.standard_error, found.saturated) == (0.0, None, True)
    says = "Saturated: the covariance is shrunk altogether, so it is 0 whatever the labels; give more samples."
    assert found.warnings == (says,)
    assert not ts.score(X * np.arange(1, 9), y, ["h_score_regularized"])["h_score_regularized"].saturated


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
    few = ts.score(*problem(60, 8)[::2])
    assert few.pop("nleep").warnings == ("12 clusters for 3 classes, not 5 a class: there are only 60 samples.",)
    assert all(score.warnings == () for score in few.values())


def test_features_that_do_not_vary_are_told() -> None:
    _, P, y = problem()
    found = ts.score(np.full((60, 8), 3.5), y, source_probs=P)
    says = "All rows of features are equal: there is nothing to score."
    for name, score in found.items():
        if "features" not in SCORERS[name].needs:
            assert says not in score.warnings, name
        elif score.error:
            assert name.startswith("ncti_")
        elif score.saturated:
            assert [warning.split(":")[0] for warning in score.warnings] == ["Saturated", says.split(":")[0]]
        else:
            assert score.warnings == (says,), name
    assert {"h_score", "knn", "logme", "ridge_loo"} < {name for name, s in found.items() if s.warnings == (says,)}
    assert found["leep"].warnings == ()


def test_refusals_stand_in_the_record_of_the_scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    X, _, y = problem()

    def refuse(features: Any, labels: Any) -> float:
        raise ScoreError("no: these are not mine")

    enter(monkeypatch, "fussy", refuse, left_out=None, higher_is_better=False)
    found = ts.score(X, y, ["fussy", "logme"])
    fussy = found["fussy"]
    assert (fussy.value, fussy.standard_error, fussy.left_out, fussy.warnings) == (None, None, (), ())
    assert (fussy.error, fussy.higher_is_better) == ("no: these are not mine", False)
    assert (fussy.n_samples, fussy.n_features) == (60, 8)
    assert found["logme"].value == pytest.approx(logme(X, y), rel=1e-9)
    with pytest.raises(ScoreError, match="no: these are not mine"):
        ts.score(X, y, ["fussy"])
    enter(monkeypatch, "wary", refuse, left_out=None)
    with pytest.raises(ScoreError, match="no: these are not mine"):
        ts.score(X, y, ["fussy", "wary"])


def test_refusals_without_a_block_cost_the_error_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scorer that takes no fewer samples than there are has a value none the less."""
    X, _, y = problem()

    def demanding(features: Any, labels: Any) -> float:
        if len(features) < 60:
            raise ScoreError(f"demanding: {len(features)} rows; expected 60.")
        return 2.5

    enter(monkeypatch, "demanding", demanding, left_out=None)
    found = ts.score(X, y, ["demanding"], standard_errors="all")["demanding"]
    assert (found.value, found.error, found.standard_error, found.left_out) == (2.5, None, None, ())
    says = "No standard error: without a block of samples, demanding: 54 rows; expected 60."
    assert found.warnings == (says,)
    assert ts.score(X, y, ["demanding"])["demanding"].warnings == ()
    enter(monkeypatch, "gappy", lambda features, labels: 1.0, left_out=lambda blocks: np.array([0.5, np.nan]))
    gappy = ts.score(X, y, ["gappy"])["gappy"]
    assert (gappy.standard_error, gappy.left_out) == (None, ())
    assert gappy.warnings == ("No standard error: without a block of samples, its value is not defined.",)


def test_a_value_that_is_not_finite_is_an_error_in_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    X, _, y = problem()
    enter(monkeypatch, "strange", lambda features, labels: float("nan"), is_accuracy=True)
    found = ts.score(X, y, ["strange", "logme"])
    assert (found["strange"].value, found["strange"].standard_error) == (None, None)
    assert found["strange"].error == "strange is not defined here: its value is nan"
    assert found["strange"].left_out == ()
    assert found["logme"].value == pytest.approx(logme(X, y), rel=1e-9)


def test_scorers_are_given_what_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    X, _, y = problem()
    seen: dict[str, Any] = {}

    def drawing(features: Any, labels: Any, *, seed: int) -> float:
        seen.update(features=features, labels=labels, seed=seed)
        return 0.5

    enter(monkeypatch, "drawing", drawing, higher_is_better=False, left_out=None)
    found = ts.score(X, y, ["drawing"], seed=17)["drawing"]
    np.testing.assert_array_equal(seen["features"], X)
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
    with pytest.raises(UnknownNameError, match="no choice of standard errors named 'chep'. Did you mean 'cheap'"):
        ts.score(X, y, standard_errors="chep")  # type: ignore[arg-type]
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


@pytest.mark.parametrize("also", [{}, {"source_probs": np.full((60, 5), 0.2)}])
def test_logits_of_other_rows_are_refused(also: dict[str, np.ndarray]) -> None:
    X, _, y = problem()
    with pytest.raises(ScoreError, match="score: 60 rows of features but 59 of source_logits; give one per sample"):
        ts.score(X, y, ["energy"], source_logits=np.zeros((59, 5)), **also)
