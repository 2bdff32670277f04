"""Training tiny networks: what moves, what is measured, and what an interruption leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import transferscope as ts
from transferscope.confirm import STRATEGIES, Recipe, training
from transferscope.confirm.network import averaged_statistics
from transferscope.errors import ResultError, TransferScopeError, UnknownNameError
from transferscope.results import Ranking, Step, load_result
from transferscope.storage import cache_dir

QUICK = Recipe(learning_rates=(3e-3, 1e-2), n_seeds=2, epochs=4, batch_size=8, patience=4, min_steps=0)


@pytest.fixture
def ranking(picture_folder: Path, tiny_models: str) -> Ranking:
    sources = ["python:tiny_models:edges", "python:tiny_models:deep"]
    return ts.rank(f"imagefolder:{picture_folder}", sources)


def test_probe_and_fine_tuning_are_measured_on_unseen_rows(ranking: Ranking, tmp_path: Path) -> None:
    truth = ts.confirm(ranking, top=2, recipe=QUICK)
    assert {(c.source, c.strategy) for c in truth.confirmed} == {
        (f"python:tiny_models:{name}", strategy) for name in ("edges", "deep") for strategy in ("linear_probe", "full")
    }
    for found in truth.confirmed:
        assert found.n_test == ranking.split.n_test
        assert 0 <= found.accuracy <= 1
        tested = [run for run in found.runs if run.test_accuracy is not None]
        if found.strategy == "full":
            assert len(found.runs) == 3  # two rates, and the second seed of the better one
            assert len(tested) == 2
            assert len({run.learning_rate for run in tested}) == 1
            assert tested[0].validation_accuracy >= found.runs[0].validation_accuracy
        else:
            assert len(tested) == len(found.runs) == 1
    assert load_result(truth.to_json(tmp_path / "truth.json")) == truth


def test_fine_tuning_learns_an_easy_task(ranking: Ranking) -> None:
    recipe = Recipe(learning_rates=(1e-2,), n_seeds=1, epochs=15, batch_size=8, patience=15, min_steps=0)
    (found,) = ts.confirm(ranking, sources=["python:tiny_models:deep"], strategy="full", recipe=recipe).confirmed
    (run,) = found.runs
    assert run.epochs[-1].train_loss < run.epochs[0].train_loss
    assert found.accuracy > 0.6


def test_source_weights_are_put_back_after_training(ranking: Ranking, monkeypatch: pytest.MonkeyPatch) -> None:
    from transferscope.confirm import confirm as room

    loaded = []

    def remembering(*args: object, **kwargs: object) -> object:
        source = ts.load_source(*args, **kwargs)
        loaded.append((source, {name: value.clone() for name, value in source.model.state_dict().items()}))
        return source

    import sys

    monkeypatch.setattr(sys.modules["transferscope.confirm.confirm"], "load_source", remembering)
    ts.confirm(ranking, top=2, strategy="full", recipe=QUICK)
    assert room
    assert len(loaded) == 2
    for source, before in loaded:
        for name, value in source.model.state_dict().items():
            assert torch.equal(value, before[name]), name


def test_interrupted_training_goes_on_and_ends_the_same(ranking: Ranking, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(place: Path) -> list[tuple]:
        monkeypatch.setenv("TRANSFERSCOPE_CACHE", str(place))
        (found,) = ts.confirm(ranking, top=1, strategy="full", recipe=QUICK).confirmed
        return [(r.seed, r.learning_rate, r.validation_accuracy, r.test_accuracy, r.epochs) for r in found.runs]

    straight = measured(cache_dir().parent / "straight")
    train_epoch, calls = training._train_epoch, []

    def stopping(*args: object, **kwargs: object) -> float:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return train_epoch(*args, **kwargs)

    monkeypatch.setattr(training, "_train_epoch", stopping)
    with pytest.raises(KeyboardInterrupt):
        measured(cache_dir().parent / "stopped")
    assert measured(cache_dir().parent / "stopped") == straight
    assert len(calls) == 3 * 4 + 1  # three runs of four epochs, and the one that was interrupted


def test_finished_trial_is_not_trained_again(ranking: Ranking, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ts.confirm(ranking, top=1, recipe=QUICK)
    monkeypatch.setattr(training, "_train_epoch", None)
    assert ts.confirm(ranking, top=1, recipe=QUICK).confirmed == first.confirmed
    folders = list((cache_dir() / "runs").iterdir())
    assert [sorted(p.name for p in folder.iterdir()) for folder in folders] == [["runs.json"]] * 2


def test_every_strategy_by_its_name_alone(ranking: Ranking, tmp_path: Path) -> None:
    names = list(STRATEGIES)
    source, data = "python:tiny_models:deep", f"imagefolder:{tmp_path / 'pictures'}"
    truth = ts.confirm(ranking, sources=[source], strategy=names, recipe=replace(QUICK, quick=True),
                       source_data={source: data})  # fmt: skip
    assert not truth.failures
    assert {found.strategy for found in truth.confirmed} == set(names)
    assert load_result(truth.to_json(tmp_path / "truth.json")) == truth
    for found in truth.confirmed:
        assert found.quick
        assert found.spread is None
        assert all(len(run.epochs) <= 3 for run in found.runs)
        assert len([run for run in found.runs if run.test_accuracy is not None]) == 1
    again = ts.confirm(ranking, sources=[source], strategy=names, recipe=replace(QUICK, quick=True),
                       source_data={source: data})  # fmt: skip
    assert {c.strategy: c.runs for c in again.confirmed} == {c.strategy: c.runs for c in truth.confirmed}


def test_source_data_are_asked_for(ranking: Ranking, tmp_path: Path) -> None:
    wanted = r"joint and aligned: no data of the source's own for python:tiny_models:\w+, python:tiny_models:\w+; give"
    with pytest.raises(TransferScopeError, match=wanted) as found:
        ts.confirm(ranking, top=2, strategy=["full", "joint", "aligned"])
    assert "--source-data python:tiny_models:" in str(found.value)
    with pytest.raises(UnknownNameError, match="no ranked source named 'python:tiny_models:deeper'"):
        ts.confirm(ranking, strategy="joint", source_data={"python:tiny_models:deeper": "imagefolder:x"})


def test_other_source_data_are_another_trial(ranking: Ranking, picture_folder: Path, tmp_path: Path) -> None:
    import shutil

    source, recipe = "python:tiny_models:deep", replace(QUICK, quick=True, epochs=1)
    shutil.copytree(picture_folder, tmp_path / "others")
    (tmp_path / "others" / "top" / "0.png").unlink()
    for folder, n in (("pictures", 1), ("others", 2), ("pictures", 2)):
        data = {source: f"imagefolder:{tmp_path / folder}"}
        ts.confirm(ranking, sources=[source], strategy="joint", recipe=recipe, source_data=data)
        assert len(list((cache_dir() / "runs").iterdir())) == n
    for data in ({source: f"imagefolder:{tmp_path / 'pictures'}"}, {}):
        ts.confirm(ranking, sources=[source], strategy="full", recipe=recipe, source_data=data)
        assert len(list((cache_dir() / "runs").iterdir())) == 3  # a strategy that does not read them


def test_controls_are_trained_when_asked_for(ranking: Ranking) -> None:
    truth = ts.confirm(ranking, top=None, strategy="linear_probe", controls=True)
    assert {c.source for c in truth.confirmed} == {c.source for c in ranking.best()}
    full = ts.confirm(ranking, sources=["raw:image"], strategy="auto", recipe=QUICK)
    assert [c.strategy for c in full.confirmed] == ["linear_probe"]  # the raw input has no weights


def test_one_failing_source_is_listed(ranking: Ranking, tmp_path: Path) -> None:
    text = (tmp_path / "tiny_models.py").read_text()
    (tmp_path / "tiny_models.py").write_text(text.replace("def edges", "def gone"))
    import sys

    del sys.modules["tiny_models"]
    truth = ts.confirm(ranking, top=2, strategy="linear_probe")
    assert [c.source for c in truth.confirmed] == ["python:tiny_models:deep"]
    assert truth.failures[0].source == "python:tiny_models:edges"


def test_changed_data_are_refused(ranking: Ranking, picture_folder: Path) -> None:
    (picture_folder / "top" / "0.png").unlink()
    with pytest.raises(ResultError, match=r"content has changed since it was ranked \(30 samples then, 29 now\)"):
        ts.confirm(ranking)


def test_mistyped_names_are_refused(ranking: Ranking) -> None:
    with pytest.raises(UnknownNameError, match="no strategy named 'ful'. Did you mean 'full'"):
        ts.confirm(ranking, strategy="ful")
    with pytest.raises(UnknownNameError, match="no ranked source named 'python:tiny_models:deeper'"):
        ts.confirm(ranking, sources=["python:tiny_models:deeper"])
    with pytest.raises(TransferScopeError, match="top=0; expected a number of sources"):
        ts.confirm(ranking, top=0)


def test_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"torn")
    with pytest.raises(TransferScopeError, match=r"checkpoint.pt is damaged"):
        training.read_state(tmp_path / "checkpoint.pt")


def test_early_stopping_counts_epochs_without_a_better_value() -> None:
    def epochs(*values: float) -> list[dict[str, float]]:
        return [{"validation_accuracy": value} for value in values]

    assert not training._stalled(epochs(0.5, 0.4, 0.4), patience=3)
    assert training._stalled(epochs(0.5, 0.4, 0.4, 0.5), patience=3)
    assert not training._stalled(epochs(0.5, 0.4, 0.4, 0.6), patience=3)


def test_batch_norms_evaluate_with_the_mean_of_the_epochs_batches() -> None:
    norm = torch.nn.BatchNorm1d(3, momentum=0.01)
    norm.running_mean.fill_(100.0)  # other data's
    batches = [torch.randn(8, 3, generator=torch.Generator().manual_seed(k)) + k for k in range(4)]
    with averaged_statistics(torch.nn.Sequential(norm)):
        for batch in batches:
            norm(batch)
    torch.testing.assert_close(norm.running_mean, torch.stack([b.mean(0) for b in batches]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([b.var(0) for b in batches]).mean(0))
    assert norm.momentum == 0.01


def test_each_candidate_is_trained_by_its_own_adapter_and_pooling(
    ranking: Ranking, monkeypatch: pytest.MonkeyPatch
) -> None:
    from collections import Counter
    from typing import Any

    from transferscope.adapters import CONVERTERS, Edge
    from transferscope.confirm.strategy import STRATEGIES, Strategy, Trial

    plain = CONVERTERS["image->image"]

    class Shaded:
        """The default converter, with pictures darkened first."""

        def __init__(self, spec: Any, probe: Any, shade: str) -> None:
            self.inner, self.shade = plain.build(spec, probe), shade

        def settings(self) -> dict[str, Any]:
            return {**self.inner.settings(), "shade": self.shade}

        def __call__(self, samples: Any, edits: Counter[str]) -> Any:
            factor = {"none": 1.0, "half": 0.5}[self.shade]
            return self.inner([sample.point(lambda level: level * factor) for sample in samples], edits)

    edge = Edge("image->image", "image", "image", 1, "x", Shaded, {"shade": ("none", "half")})
    monkeypatch.setitem(CONVERTERS._entries, "image->image", edge)
    names = ["python:tiny_models:edges", "python:tiny_models:deep"]
    again = ts.rank(ranking.target.name, names, adapters="all", twins=False)
    half = {c.source: c for c in again.candidates if c.choices == ("image->image?shade=half",)}
    chosen = {names[0]: half[names[0]], names[1]: replace(half[names[1]], pooling="last")}
    others = tuple(replace(c, is_best_layer=False) for c in again.candidates if c not in chosen.values())
    asked = replace(again, candidates=(*(replace(c, is_best_layer=True) for c in chosen.values()), *others))

    trials: list[Trial] = []
    probe = STRATEGIES["linear_probe"]

    def watched(trial: Trial) -> Any:
        trials.append(trial)
        return probe.fit(trial)

    entry = Strategy(probe.name, watched, probe.head_at, probe.trains_body)
    monkeypatch.setitem(STRATEGIES._entries, "linear_probe", entry)
    truth = ts.confirm(asked, sources=names, strategy="linear_probe")
    assert not truth.failures
    assert [trial.adapter.path for trial in trials] == [chosen[name].path for name in names]
    assert [trial.adapter.path[0].settings["shade"] for trial in trials] == ["half", "half"]
    assert [trial.extractor.poolings for trial in trials] == [(chosen[name].pooling,) for name in names]
    assert len({trial.folder for trial in trials}) == 2


def test_a_path_that_no_longer_converts_alike_is_refused(ranking: Ranking) -> None:
    def cropped(step: Step) -> Step:
        return replace(step, settings={**step.settings, "crop": 0.5})

    changed = tuple(replace(c, path=tuple(map(cropped, c.path))) for c in ranking.candidates)
    other = replace(ranking, candidates=changed)
    truth = ts.confirm(other, sources=["python:tiny_models:edges"], strategy="linear_probe")
    assert truth.confirmed == ()
    assert "crop of image->image differs; rank it again" in truth.failures[0].reason
