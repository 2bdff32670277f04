"""Standard errors against scoring anew without each block; see test_coverage for what their intervals cover."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import transferscope as ts
from transferscope.errors import ScoreError
from transferscope.features.arrays import Targets, check_inputs, storage_eps
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS
from transferscope.scorers.jackknife import (
    N_BLOCKS,
    Blocks,
    assign_blocks,
    left_out_means,
    left_out_values,
    paired_difference,
    standard_error,
)

HOOKED = [spec.name for spec in SCORERS.values() if spec.left_out]
ACCURACIES = ["ridge_loo", "lda_loo", "knn"]


def problem(n: int, d: int, k: int, *, seed: int = 0, separation: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return separation * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d)), y


def targets_of(labels: Any) -> Targets:
    return check_inputs(np.zeros((len(labels), 1)), labels, caller="test", fewest_classes=1)[1]


def blocks_of(X: np.ndarray, labels: np.ndarray, task: Any = None, seed: int = 0) -> Blocks:
    values, targets = check_inputs(X, labels, caller="test", task=task)
    return Blocks.of(values, targets, storage_eps(X), seed)


# Blocks


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 80), k=st.integers(1, 9), seed=st.integers(0, 10**6), n_blocks=st.integers(1, 12))
def test_blocks_are_a_partition_with_classes_spread_evenly(n: int, k: int, seed: int, n_blocks: int) -> None:
    y = np.random.default_rng(seed).integers(0, k, n)
    rows = assign_blocks(targets_of(y), seed, n_blocks)
    assert len(rows) == min(n, n_blocks)
    assert sorted(np.concatenate(rows).tolist()) == list(range(n))
    assert all((np.diff(taken) > 0).all() for taken in rows)
    assert np.ptp([len(taken) for taken in rows]) <= 1
    for name in range(k):
        assert np.ptp([(y[taken] == name).sum() for taken in rows]) <= 1


def test_blocks_are_those_of_the_targets_and_the_seed() -> None:
    _, y = problem(57, 4, 3)
    rows = assign_blocks(targets_of(y), 5)
    assert len(rows) == N_BLOCKS == 10
    names = np.array(["pear", "apple", "fig"])[y]
    for same in (y, y.tolist(), 40 - 7 * y, names, [(name, "x") for name in names]):
        for one, other in zip(rows, assign_blocks(targets_of(same), 5), strict=True):
            np.testing.assert_array_equal(one, other)
    assert any((a.tolist() != b.tolist()) for a, b in zip(rows, assign_blocks(targets_of(y), 6), strict=True))
    numbers = assign_blocks(targets_of(y + 0.5), 5), assign_blocks(targets_of(np.eye(3, dtype=int)[y]), 5)
    for one, other in zip(*numbers, strict=True):  # without classes they are of the number of rows
        np.testing.assert_array_equal(one, other)


def test_blocks_are_drawn_at_random() -> None:
    """Every pair of rows of one class is as often in one block as any other, and so is every pair of two classes."""
    y = np.repeat([0, 1], 10)
    together = np.zeros((20, 20))
    for seed in range(400):
        for taken in assign_blocks(targets_of(y), seed, 5):
            together[np.ix_(taken, taken)] += 1
    alike, alone = y[:, None] == y, np.eye(20, dtype=bool)
    for pairs, share in ((alike & ~alone, 1 / 9), (~alike, 2 / 10)):
        assert together[pairs].mean() == pytest.approx(400 * share)
        assert np.abs(together[pairs] - 400 * share).max() < 5 * np.sqrt(400 * share)


@pytest.mark.parametrize("shape", [(60, 6), (6, 60), (40, 40), (45, 40)])
@pytest.mark.parametrize("task", ["classification", "regression", "multilabel"])
def test_blocks_of_features_add_up_to_the_whole(shape: tuple[int, int], task: str) -> None:
    X, y = problem(*shape, 3)
    labels = {"classification": y, "regression": X[:, :2] + 1.0, "multilabel": np.eye(3, dtype=int)[y]}[task]
    columns = np.eye(3)[y] if task == "classification" else labels
    blocks = blocks_of(X, labels, task, seed=3)
    assert len(blocks) == len(blocks.parts) == len(blocks.rows) == min(10, shape[0])
    whole = Moments.from_features(X, labels, task=task)  # type: ignore[arg-type]
    assert (blocks.total.rows is None) == (whole.rows is None)
    for name in ("mean", "target_sum", "cross", "squares", "third", "fourth", "scatter"):
        np.testing.assert_allclose(getattr(blocks.total, name), getattr(whole, name), rtol=1e-9, atol=1e-10)
    for number, (part, aligned, taken) in enumerate(zip(blocks.parts, blocks.aligned, blocks.rows, strict=True)):
        np.testing.assert_allclose(part.mean, X[taken].mean(axis=0), rtol=1e-12)
        assert aligned.classes == whole.classes
        np.testing.assert_allclose(aligned.target_sum, columns[taken].sum(axis=0))
        np.testing.assert_array_equal(blocks.without(number), np.delete(np.arange(shape[0]), taken))


# Standard errors from left-out values


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12))
def test_standard_error_is_its_formula(values: list[float]) -> None:
    n, mean = len(values), math.fsum(values) / len(values)
    wanted = math.sqrt((n - 1) / n * math.fsum((value - mean) ** 2 for value in values))
    assert standard_error(values) == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_of_single_rows_it_is_the_textbook_error_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=8) + 1e6
    left_out = left_out_means(values, [np.array([row]) for row in range(8)])
    np.testing.assert_allclose(left_out, [np.delete(values, row).mean() for row in range(8)], rtol=1e-14)
    assert standard_error(left_out) == pytest.approx(values.std(ddof=1) / np.sqrt(8), rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 60), seed=st.integers(0, 10**6))
def test_left_out_means_are_means_of_the_rest(n: int, seed: int) -> None:
    each = np.random.default_rng(seed).normal(size=n)
    rows = assign_blocks(Targets("regression", values=each[:, None]), seed)
    wanted = [np.delete(each, taken).mean() for taken in rows]
    np.testing.assert_allclose(left_out_means(each, rows), wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(60, 6), (20, 40)])
def test_left_out_values_are_of_the_moments_of_the_rest(shape: tuple[int, int]) -> None:
    X, y = problem(*shape, 3)
    blocks = blocks_of(X, y)
    found = left_out_values(lambda moments: moments.trace + moments.class_means[0, 1], blocks)
    rest = [Moments.from_features(np.delete(X, taken, 0), np.delete(y, taken)) for taken in blocks.rows]
    np.testing.assert_allclose(found, [m.trace + m.class_means[0, 1] for m in rest], rtol=1e-11)


# Two sources on the same samples


def test_paired_difference_is_that_of_values_and_of_their_left_out_ones() -> None:
    X, y = problem(60, 6, 3)
    first, second = (ts.score(Z, y, ["h_score"])["h_score"] for Z in (X, X[:, :4]))
    gap, error = paired_difference(first, second)
    assert first.value is not None
    assert second.value is not None
    assert gap == first.value - second.value > 0
    gaps = [a - b for a, b in zip(first.left_out, second.left_out, strict=True)]
    assert error == pytest.approx(standard_error(gaps), rel=1e-12)
    assert paired_difference(second, first) == (-gap, pytest.approx(error))
    assert paired_difference(first, first) == (0.0, 0.0)


def test_refusals_to_pair() -> None:
    X, y = problem(60, 6, 3)
    found = ts.score(X, y, ["h_score", "knn", "transrate"])
    h_score = found["h_score"]
    with pytest.raises(
        ScoreError,
        match="paired_difference: h_score of 60 samples in 10 blocks beside knn of 60 in 10; give one scorer's on the",
    ):
        paired_difference(h_score, found["knn"])
    fewer = ts.score(X[:50], y[:50], ["h_score"])["h_score"]
    with pytest.raises(ScoreError, match="h_score of 60 samples in 10 blocks beside h_score of 50 in 10"):
        paired_difference(h_score, fewer)
    without = ts.score(X, y, ["h_score"], standard_errors="none")["h_score"]
    with pytest.raises(ScoreError, match="h_score of 60 samples in 10 blocks beside h_score of 60 in 0"):
        paired_difference(h_score, without)
    for scores in ((without, without), (found["transrate"], found["transrate"])):
        with pytest.raises(ScoreError, match="holds no values with blocks left out; nothing to pair"):
            paired_difference(*scores)
    undefined = dataclasses.replace(h_score, value=None)
    for pair in ((undefined, h_score), (h_score, undefined)):
        with pytest.raises(ScoreError, match="paired_difference: h_score holds no values with blocks left out"):
            paired_difference(*pair)


# Left-out values against scoring anew


def heavy_tailed(counts: Sequence[int], tail: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(len(counts)), counts)
    return (rng.normal(size=(len(counts), 8))[y] + rng.standard_t(tail, size=(len(y), 8))) / np.arange(1, 9), y


REFITS = {
    "three classes": problem(200, 10, 3, separation=0.7),
    "ten classes": problem(250, 12, 10, seed=1),
    "barely enough": problem(125, 25, 4, seed=2),
    "heavy-tailed": heavy_tailed((40, 40, 40)),
    "uneven": heavy_tailed((120, 50, 10), tail=30.0),
    "far from zero": (problem(150, 8, 3)[0] + 1e4, problem(150, 8, 3)[1]),
}


def refitted(name: str, X: np.ndarray, y: np.ndarray, blocks: Blocks, **options: Any) -> list[float]:
    return [
        SCORERS[name].fn(np.delete(X, taken, axis=0), np.delete(y, taken, axis=0), **options) for taken in blocks.rows
    ]


def check_against_refits(found: Sequence[float], wanted: Sequence[float]) -> None:
    assert standard_error(found) == pytest.approx(standard_error(wanted), rel=0.15)
    assert np.corrcoef(found, wanted)[0, 1] > 0.95


@pytest.mark.parametrize("case", REFITS)
@pytest.mark.parametrize("name", HOOKED)
def test_left_out_values_are_those_of_scoring_anew(name: str, case: str) -> None:
    X, y = REFITS[case]
    if (name, case) == ("logme", "far from zero"):
        X = X - 9990.0  # it is not invariant to shifts: that far away all features are one constant to it
    found = ts.score(X, y, [name], seed=4)[name]
    wanted = refitted(name, X, y, blocks_of(X, y, seed=4))
    check_against_refits(found.left_out, wanted)
    assert found.standard_error == standard_error(found.left_out)
    assert np.mean(found.left_out) == pytest.approx(np.mean(wanted), abs=0.3 * standard_error(wanted) + 1e-9)


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_left_out_values_of_other_tasks(task: Any) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 10)) + 0.5
    columns = X[:, :3] @ rng.normal(size=(3, 3)) + 2 * rng.normal(size=(150, 3)) + 4.0
    targets = columns if task == "regression" else (columns > 4.0).astype(int)
    found = ts.score(X, targets, ["logme"], task=task)["logme"]
    check_against_refits(found.left_out, refitted("logme", X, targets, blocks_of(X, targets, task), task=task))


def test_of_per_sample_scorers_it_is_that_of_a_mean() -> None:
    """What the fit owes to each sample is not counted, but for nearest neighbours."""
    X, y = problem(90, 6, 3)
    logits = X @ np.random.default_rng(0).normal(size=(6, 5))
    found = ts.score(X, y, ["energy", "leep"], source_logits=logits)
    for name, arrays in (("energy", (logits,)), ("leep", (np.exp(logits) / np.exp(logits).sum(1, keepdims=True), y))):
        per_sample = SCORERS[name].per_sample
        assert per_sample is not None
        each = per_sample(*arrays)
        wanted = [np.delete(each, taken).mean() for taken in assign_blocks(targets_of(y), 0)]
        np.testing.assert_allclose(found[name].left_out, wanted, rtol=1e-12)
        assert found[name].value == pytest.approx(each.mean(), rel=1e-12)
        assert found[name].standard_error == standard_error(found[name].left_out)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 20), d=st.integers(1, 4), seed=st.integers(0, 10**6))
def test_a_neighbour_has_half_of_what_it_changes(n: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(n, d)), np.concatenate([[0, 1], rng.integers(0, 3, n - 2)])
    wanted = np.zeros(n)
    for row in range(n):
        near = sorted((float(np.square(X[row] - X[other]).sum()), other) for other in range(n) if other != row)
        first, second = near[0][1], near[min(1, n - 2)][1]
        wanted[row] += y[first] == y[row]
        wanted[first] += ((y[first] == y[row]) - float(y[second] == y[row])) / 2
    share = SCORERS["knn"].fn(X, y)
    found = SCORERS["knn"].per_sample(X, y)  # type: ignore[misc]
    np.testing.assert_allclose(found, wanted - wanted.mean() + share, atol=1e-12)
    score = ts.score(X, y, ["knn"])["knn"]
    assert score.value == share
    assert score.standard_error == pytest.approx(np.sqrt(wanted.var() / n), rel=1e-9, abs=1e-12)


# Where there is little to go by


@pytest.mark.parametrize("name", HOOKED)
def test_a_class_may_vanish_with_a_block(name: str) -> None:
    X, y = problem(120, 6, 3, seed=3)
    y = np.where(np.arange(120) == 0, 3, y)
    blocks = blocks_of(X, y)
    (number,) = (number for number, taken in enumerate(blocks.rows) if 0 in taken)
    found, wanted = ts.score(X, y, [name])[name].left_out, refitted(name, X, y, blocks)
    assert found[number] == pytest.approx(wanted[number], rel=0.01)
    check_against_refits(found, wanted)


def test_nothing_is_left_to_tell_apart_without_the_one_sample_of_a_class() -> None:
    """Of two classes; what cannot be computed without it is told, and the value stands."""
    X, y = problem(40, 3, 2, separation=0.3)
    y = (np.arange(40) == 7).astype(int)
    found = ts.score(X, y, ["logme", "transrate", "h_score", "gbc", "lfc"], standard_errors="all")
    no_value = "No standard error: without a block of samples, its value is not defined."
    refused = "No standard error: without a block of samples, transrate: all 36 labels are of one class, 0; expected"
    assert found["logme"].warnings == (no_value,)
    assert found["transrate"].warnings[0].startswith(refused)
    for name, score in found.items():
        assert score.value == pytest.approx(SCORERS[name].fn(X, y), rel=1e-9)
        assert score.error is None
        if name in ("logme", "transrate"):
            assert (score.standard_error, score.left_out) == (None, ())
    for name in ("gbc", "lfc", "h_score"):  # no two classes agree or overlap where there is one
        assert found[name].standard_error is not None
        assert min(abs(value) for value in found[name].left_out) == pytest.approx(0.0, abs=0.01)


def test_a_label_may_vanish_with_a_block() -> None:
    """It has no evidence then, as a column that no row is left of."""
    X, _ = problem(80, 5, 2)
    Y = np.stack([np.arange(80) == 4, np.arange(80) % 2], axis=1).astype(int)
    blocks = blocks_of(X, Y)
    (number,) = (number for number, taken in enumerate(blocks.rows) if 4 in taken)
    found = ts.score(X, Y, ["logme"], task="multilabel")["logme"]
    left = np.delete(np.arange(80), blocks.rows[number])
    assert found.left_out[number] == pytest.approx(SCORERS["logme"].fn(X[left], Y[left, 1:]), rel=0.01)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("errors", ["cheap", "all"])
@pytest.mark.parametrize(
    ("n", "d", "k"), [(2, 1, 2), (2, 30, 2), (3, 4, 2), (5, 1, 2), (9, 8, 9), (12, 5, 12), (14, 30, 3), (24, 23, 4)]
)
def test_few_rows_do_not_fail(n: int, d: int, k: int, errors: Any) -> None:
    X, y = problem(n, d, k)
    for Z in (X, np.full_like(X, 0.1), np.zeros_like(X), np.repeat(X[:, :1], d, axis=1), X[y]):
        for name, score in ts.score(Z, y, HOOKED + ACCURACIES, standard_errors=errors).items():
            assert score.value is not None, name
            assert score.standard_error is None or np.isfinite(score.standard_error), name
            assert np.isfinite(score.left_out).all(), name


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4])
def test_features_that_do_not_vary_have_values_that_do_not_either(value: float) -> None:
    found = ts.score(np.full((60, 5), value), np.arange(60) % 3, HOOKED)
    for name in ("h_score", "h_score_regularized", "lfc", "logme"):
        assert found[name].standard_error == pytest.approx(0.0, abs=1e-12)
    assert found["gbc"].standard_error is None  # saturated


def test_a_perfect_fit_has_no_standard_error() -> None:
    """Its evidence has no maximum that could be moved from."""
    X, y = problem(20, 50, 2, separation=3.0)
    for features in (X, np.eye(2)[y]):
        found = ts.score(features, y, ["logme"])["logme"]
        assert (found.standard_error, found.left_out) == (None, ())
        assert any("A column is fitted perfectly" in warning for warning in found.warnings)


@pytest.mark.parametrize("name", HOOKED)
@pytest.mark.parametrize("change", ["scale", "shift", "single"])
def test_standard_errors_share_what_the_values_are_invariant_to(name: str, change: str) -> None:
    X, y = problem(80, 6, 3, separation=0.5)
    if (name, change) == ("gbc", "scale"):
        moved = X * 1e3  # below, its floor of variances would count
    elif (name, change) == ("logme", "shift"):
        moved = X[:, ::-1]  # it is not invariant to shifts
    else:
        moved = {"scale": X * 1e-5, "shift": X + 1e4, "single": X.astype(np.float32)}[change]
    found, wanted = (ts.score(Z, y, [name])[name].standard_error for Z in (moved, X))
    assert found == pytest.approx(wanted, rel=1e-4 if change == "single" else 1e-6)


def test_inputs_stay_as_they_are() -> None:
    X, y = problem(40, 5, 3)
    kept = X.copy(), y.copy()
    X.flags.writeable = y.flags.writeable = False
    ts.score(X, y, [*HOOKED, *ACCURACIES, "transrate"], standard_errors="all")
    np.testing.assert_array_equal(X, kept[0])
    np.testing.assert_array_equal(y, kept[1])
