"""Several labels or numbers per sample: what is measured, and that every strategy learns and is raced by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, r2_score, roc_auc_score

import transferscope as ts
from tests.confirm.conftest import data
from transferscope.confirm import Recipe, race
from transferscope.confirm.confirm import same_data
from transferscope.confirm.network import Network
from transferscope.confirm.objective import LabelSets, Numbers, Objective, objective_of, standard_error
from transferscope.confirm.probe import fit_probe
from transferscope.confirm.strategy import STRATEGIES, Trial
from transferscope.confirm.training import Plan, train
from transferscope.confirm.tuning import Tuning
from transferscope.errors import ResultError, TransferScopeError
from transferscope.history.store import Store
from transferscope.report.terminal import truth_table
from transferscope.targets import Target, from_arrays, split_target
from transferscope.tasks import share_error

TrialOf = Callable[..., Trial]


def numbers(n_columns: int) -> Numbers:
    return Numbers(n_columns, np.zeros(n_columns), np.ones(n_columns))


@given(st.integers(0, 2**32 - 1), st.integers(6, 60), st.integers(1, 4), st.booleans())
@settings(deadline=None, max_examples=60)
def test_measures_are_those_of_scikit_learn(seed: int, n: int, k: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    outputs = rng.integers(0, 3, (n, k)).astype(float) if ties else rng.normal(size=(n, k))
    labels = rng.random((n, k)) < 0.4
    labels[0], labels[1] = True, False
    added, _ = LabelSets(k).judge(outputs, labels.astype(np.float32))
    assert added.mean() == pytest.approx(roc_auc_score(labels, outputs, average="macro"))
    goals = rng.normal(size=(n, k))
    added, _ = numbers(k).judge(outputs, goals)
    assert added.mean() == pytest.approx(r2_score(goals, outputs))


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_standard_errors_are_the_spread_over_samples_drawn_anew(task: str) -> None:
    rng = np.random.default_rng(0)
    found, told = [], []
    for _ in range(400):
        signal = rng.normal(size=(80, 2))
        noisy = signal + rng.normal(size=(80, 2))
        objective = LabelSets(2) if task == "multilabel" else numbers(2)
        labels = (signal > 0.5).astype(float) if task == "multilabel" else signal
        added, _ = objective.judge(noisy if task == "multilabel" else noisy / 2, labels)
        found.append(added.mean())
        told.append(standard_error(objective, added))
    assert np.mean(told) == pytest.approx(np.std(found), rel=0.12)


def test_perfect_and_few_is_not_certain() -> None:
    has = np.array([[0], [1], [0], [1]])
    added, _ = LabelSets(1).judge(has.astype(float), has)
    assert added.mean() == 1
    assert standard_error(LabelSets(1), added) == pytest.approx(np.sqrt(5 / 36 / 4))
    goals = np.array([[0.0], [1.0]])
    added, _ = numbers(1).judge(goals + 0.05, goals)
    assert standard_error(numbers(1), added) == pytest.approx(2 * (1 - added.mean()) / np.sqrt(2))
    assert share_error(1.0, 100) == pytest.approx(0.01, rel=0.02)
    assert share_error(0.0, 100) == pytest.approx(share_error(1.0, 100))
    assert share_error(0.5, 100) == 0.05


def test_delong_by_hand() -> None:
    outputs, has = np.array([0.1, 0.4, 0.4, 0.9, 0.2]), np.array([0, 1, 0, 1, 0])
    added, n_different = LabelSets(1).judge(outputs[:, None], has[:, None])
    pairs = np.array([[1.0, 0.5, 1.0], [1.0, 1.0, 1.0]])  # of each with the label, beside each without
    area = pairs.mean()
    v10, v01 = pairs.mean(axis=1), pairs.mean(axis=0)
    variance = np.square(v10 - area).sum() / 2**2 + np.square(v01 - area).sum() / 3**2
    assert added.mean() == pytest.approx(area)
    assert np.square(added - area).sum() / 5**2 == pytest.approx(variance)
    assert n_different == 4


def test_columns_that_do_not_vary_are_left_out_and_nothing_else_is_an_error() -> None:
    outputs = np.random.default_rng(0).normal(size=(10, 2))
    labels = np.stack([np.arange(10) % 2, np.ones(10)], axis=1)
    assert LabelSets(2).judge(outputs, labels)[0].mean() == roc_auc_score(labels[:, 0], outputs[:, 0])
    with pytest.raises(TransferScopeError, match="no label differs among 10 held-out samples"):
        LabelSets(2).judge(outputs, np.ones((10, 2)))
    with pytest.raises(TransferScopeError, match="10 held-out samples have one value only"):
        numbers(2).judge(outputs, np.ones((10, 2)))


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_arrays_and_tensors_have_the_same_loss(task: str) -> None:
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(12, 3))
    objective = {"classification": Objective(3), "multilabel": LabelSets(3), "regression": numbers(3)}[task]
    labels: Any = {
        "classification": rng.integers(0, 3, 12),
        "multilabel": rng.integers(0, 2, (12, 3)).astype(float),
        "regression": rng.normal(size=(12, 3)),
    }[task]
    loss = float(objective.loss(torch.from_numpy(outputs), torch.from_numpy(labels)))
    assert objective.calibration_loss(outputs, labels) == pytest.approx(loss)
    if task == "multilabel":
        shares = 1 / (1 + np.exp(-outputs))
        by_library = np.mean([log_loss(labels[:, k], shares[:, k]) for k in range(3)])
        assert loss == pytest.approx(by_library)


def learnable(modality: str, task: str) -> Target:
    """Labels and numbers that follow from the classes of `data`, and a column of their own."""
    target = data(modality, 60)
    n_classes = len(target.classes)
    codes = target.labels
    if task == "multilabel":
        labels: Any = np.stack([codes == 0, codes == n_classes - 1], axis=1)
    else:
        labels = np.stack([codes * 10.0, 3.0 - codes], axis=1)
    samples = [target.samples[row] for row in range(len(target))]
    return from_arrays(samples, labels, modality=target.modality, task=task)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["multilabel", "regression"])
@pytest.mark.parametrize("kind", ["cnn", "wav2vec2", "bert"])
@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "linear_probe"])
def test_every_strategy_trains_every_kind_on_every_task(
    trial_of: TrialOf, kind: str, strategy: str, task: str
) -> None:
    modality = {"cnn": "image", "wav2vec2": "audio", "bert": "text"}[kind]
    trial = trial_of(kind, strategy, target=(target := learnable(modality, task)), split=ts_split(target))
    trial = replace(trial, recipe=replace(trial.recipe, epochs=2))
    runs = STRATEGIES[strategy].fit(trial)
    tested = [run for run in runs if run.test_accuracy is not None]
    assert tested
    for run in tested:
        assert run.test_error is not None
        assert run.test_error >= 0
        assert np.isfinite(run.epochs[-1].train_loss)


def ts_split(target: Target) -> Any:

    return split_target(target, seed=0)


@pytest.mark.parametrize(("task", "least"), [("multilabel", 0.95), ("regression", 0.8)])
@pytest.mark.parametrize("strategy", ["linear_probe", "lp_ft", "full"])
def test_what_is_plain_is_learned(trial_of: TrialOf, strategy: str, task: str, least: float) -> None:
    target = learnable("image", task)
    trial = trial_of("cnn", strategy, target=target, split=ts_split(target))
    trial = replace(trial, recipe=replace(trial.recipe, epochs=15, learning_rates=(1e-2,)))
    run = STRATEGIES[strategy].fit(trial)[-1]
    assert run.test_accuracy is not None
    assert run.test_accuracy > least, run


def test_what_was_finished_before_races_with_the_error_that_its_rows_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, source = learnable("image", "regression"), "timm:test_resnet?weights=random&size=32"
    ranking = ts.rank(target, [source], store=False, costs=False, layers="last", twins=False)
    told: dict[str, Any] = {
        "target": target, "recipe": Recipe(quick=True, epochs=2, min_steps=0), "sources": [source], "store": False,
    }  # fmt: skip
    [row] = ts.confirm(ranking, strategy="full", **told).confirmed
    seen: dict[Any, Any] = {}
    real = race.race

    def watched(known: Any, *args: Any, **options: Any) -> Any:
        seen.update(known)
        return real(known, *args, **options)

    monkeypatch.setattr(race, "race", watched)
    ts.confirm(ranking, strategy=["full", "linear_probe"], race=True, **told)
    [done] = [one for arm, one in seen.items() if arm.strategy == "full"]
    split = ranking.split
    assert done.error == pytest.approx(row.standard_error * (split.n_test / split.n_validation) ** 0.5)


class Breaking(Tuning):
    """The loss is finite, its gradient is not."""

    def loss(self, network: Network, *args: Any) -> torch.Tensor:
        return super().loss(network, *args) + (0 * network.head.weight.sum()).sqrt()


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_outputs_that_are_no_numbers_are_no_outcome(trial_of: TrialOf, task: str) -> None:
    trial = trial_of("cnn", "full", target=(target := learnable("image", task)), split=ts_split(target))
    trial = replace(trial, recipe=replace(trial.recipe, batch_size=100))
    run = train(Plan(trial, Breaking(), 1e-3, 0, None, trial.folder / "one", "one"))
    assert (run.collapsed, run.over, run.weights, run.epochs) == (True, True, None, ())


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_a_probe_is_fitted_to_features_as_they_are(task: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 8)) * np.geomspace(1, 100, 8) + 5
    signal = (X - 5) / np.geomspace(1, 100, 8) @ rng.normal(size=(8, 3))
    values: Any = (signal > 0).astype(int) if task == "multilabel" else 100 * signal + 7
    target = from_arrays([f"t{k}" for k in range(200)], values, modality="text", task=task)  # type: ignore[arg-type]
    objective = objective_of(target, np.arange(100))
    labels = objective.encode(target.labels)
    probe = fit_probe((X[:100], labels[:100]), (X[100:150], labels[100:150]), objective)
    assert probe.accuracy(X[150:], labels[150:]) > (0.97 if task == "multilabel" else 0.99)
    assert probe.weight.shape == (3, 8)
    if task == "regression":  # as told in the target's own units
        told = probe.logits(X[150:]) * objective.scale + objective.mean  # type: ignore[attr-defined]
        assert r2_score(target.labels[150:], told) == pytest.approx(probe.accuracy(X[150:], labels[150:]), rel=1e-5)
        assert probe.calibrated(X[100:150], labels[100:150]) is probe


def test_outputs_that_say_nothing_count_as_collapsed() -> None:
    for objective in (LabelSets(2), numbers(2)):
        labels = np.stack([np.arange(10) % 2, np.arange(10) % 3 == 0], axis=1).astype(float)
        assert objective.judge(np.tile([0.3, -1.0], (10, 1)), labels)[1] == 1
        assert objective.judge(np.zeros((10, 2)), labels)[1] == 1


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_from_ranking_to_history(task: str, tmp_path: Path) -> None:
    target = learnable("image", task)
    store = Store.open(tmp_path / "history.db")
    sources = ["timm:test_resnet?weights=random&size=32", "raw:image"]
    ranking = ts.rank(target, sources, store=store, costs=False, layers="last")
    assert set(ranking.scorers) == {"ridge_loo", "logme"} | ({"knn"} if task == "regression" else set())
    for candidate in ranking.best():
        assert candidate.scores["ridge_loo"].standard_error is not None
    truth = ts.confirm(
        ranking, target=target, strategy=["linear_probe", "full"], recipe=Recipe(quick=True, epochs=2, min_steps=0),
        sources=sources, race=True, budget="5m", store=store,
    )  # fmt: skip
    metric = {"multilabel": "ROC-AUC", "regression": "R²"}[task]
    assert {row.metric for row in truth.confirmed} == {metric}
    assert all(row.standard_error >= 0 for row in truth.confirmed)
    assert truth.race is not None
    assert [column.header for column in truth_table(truth).columns][3] == metric
    assert {row["metric"] for row in store.rows()} == {metric}
    page = ts.report([ranking, truth], out=tmp_path / "report.html").read_text()
    assert metric in page
    with pytest.raises(TransferScopeError, match="h_score is not defined for"):
        ts.rank(target, sources, scorers=["ridge_loo", "h_score"], store=False)
    with pytest.raises(TransferScopeError, match="advice is calibrated on targets of classes"):
        ts.advise(ranking, target=target)


def test_labels_too_rare_to_be_held_out_are_told_as_labels() -> None:
    sets = [{"a"}, {"a"}, {"b"}, {"b"}, {"c"}, {"c"}]
    target = from_arrays([f"text {row}" for row in range(6)], sets, modality="text", task="multilabel")
    split = split_target(target)
    ranked = SimpleNamespace(
        target=target.card(), split=SimpleNamespace(seed=0, max_samples=None, sha256=split.sha256)
    )
    with pytest.raises(ResultError, match="too few samples for a validation set; give at least 5 with each label"):
        same_data(ranked, target)  # type: ignore[arg-type]
