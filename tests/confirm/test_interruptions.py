"""What goes wrong while training: interruptions, collapse, and memory that runs out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from transferscope.confirm import training
from transferscope.confirm.network import Network
from transferscope.confirm.search import fine_tune
from transferscope.confirm.strategy import STRATEGIES, Trial
from transferscope.confirm.training import Plan, train
from transferscope.confirm.tuning import Tuning
from transferscope.errors import TransferScopeError
from transferscope.results import Run

TrialOf = Callable[..., Trial]


def outcome(runs: tuple[Run, ...]) -> list[Run]:
    return [replace(run, seconds=0.0, peak_memory=None) for run in runs]


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if STRATEGIES[name].trains_body])
@pytest.mark.parametrize("kind", ["cnn", "bert"])
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    trial_of: TrialOf, kind: str, strategy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fit = STRATEGIES[strategy].fit
    straight = fit(trial_of(kind, strategy))
    monkeypatch.setenv("TRANSFERSCOPE_CACHE", str(tmp_path / "stopped"))
    train_epoch, calls = training._train_epoch, []

    def stopping(*args: Any, **kwargs: Any) -> float:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train_epoch(*args, **kwargs)

    monkeypatch.setattr(training, "_train_epoch", stopping)
    with pytest.raises(KeyboardInterrupt):
        fit(trial_of(kind, strategy))
    resumed = fit(trial_of(kind, strategy))
    assert outcome(resumed) == outcome(straight)
    assert len(calls) == 1 + sum(len(run.epochs) for run in straight)  # the one that was interrupted, and no other


class Diverging(Tuning):
    """Its first `n` runs have no finite loss."""

    def __init__(self, n: int) -> None:
        self.left = n + 1

    def begin(self, network: Network) -> None:
        self.left -= 1

    def loss(self, *args: Any) -> torch.Tensor:
        return super().loss(*args) * (float("nan") if self.left > 0 else 1.0)


def test_a_run_without_a_finite_loss_is_tried_again_at_a_third_of_the_rate(trial_of: TrialOf) -> None:
    first, again = fine_tune(trial_of("cnn", "full"), Diverging(1))
    assert (first.collapsed, first.epochs, first.test_accuracy) == (True, (), None)
    assert first.learning_rate == 3e-3
    assert again.learning_rate == pytest.approx(1e-3)
    assert again.note == "again at a third of 0.003, which collapsed"
    assert again.test_accuracy is not None
    assert len(again.epochs) == 3


def test_no_finite_loss_at_all_is_an_error_that_names_the_rates(trial_of: TrialOf) -> None:
    with pytest.raises(TransferScopeError, match=r"the loss was not finite at any rate \(0.003, 0.001\); give lower"):
        fine_tune(trial_of("cnn", "full"), Diverging(99))


def test_predicting_one_class_for_all_is_a_collapse(trial_of: TrialOf) -> None:
    class Biased(Tuning):
        def begin(self, network: Network) -> None:
            with torch.no_grad():
                network.head.bias[1] = 100.0

    first, again = fine_tune(trial_of("cnn", "full"), Biased())
    assert first.collapsed
    assert again.collapsed
    assert first.test_accuracy is not None or again.test_accuracy is not None


def limited(trial: Trial, n: int, *, checkpointed: bool = False) -> list[int]:
    """Let the model run out of memory above `n` samples in training; sizes that it was given are noted."""
    sizes: list[int] = []

    def refuse(module: Any, args: tuple[Any, ...], kwargs: Any) -> None:
        value = args[0] if args else next(iter(kwargs.values()))
        if module.training:
            sizes.append(len(value))
            if len(value) > n or (checkpointed and not module.is_activation_checkpointing):
                raise torch.OutOfMemoryError(f"{len(value)} samples do not fit")

    trial.source.model.register_forward_pre_hook(refuse, with_kwargs=True)
    return sizes


def still(trial: Trial) -> Trial:
    """Without dropout: its draws differ with the size of a part."""
    for module in trial.source.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        setattr(trial.source.model.config, name, 0.0)
    for module in trial.source.model.modules():
        if hasattr(module, "dropout_prob"):
            module.dropout_prob = 0.0
    return trial


def test_short_memory_halves_the_parts_of_the_same_batch(
    trial_of: TrialOf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for strategy in ("full", "joint"):
        (*_, plain) = STRATEGIES[strategy].fit(still(trial_of("vit", strategy)))
        monkeypatch.setenv("TRANSFERSCOPE_CACHE", str(tmp_path / strategy))
        trial = still(trial_of("vit", strategy))
        sizes = limited(trial, 3)
        (*_, run) = STRATEGIES[strategy].fit(trial)
        assert sizes[:3] == [8, 4, 2]
        assert max(sizes[3:9]) == 2
        assert run.note == "memory was short: batches of 8 in parts of 2"
        for a, b in zip(run.epochs, plain.epochs, strict=True):
            assert a.train_loss == pytest.approx(b.train_loss, rel=1e-4)
        assert plain.note is None


def test_batch_norms_keep_several_samples(trial_of: TrialOf) -> None:
    trial = trial_of("cnn", "full")
    sizes = limited(trial, 4)
    (run,) = STRATEGIES["full"].fit(trial)
    assert min(sizes) >= 2
    assert run.note == "memory was short: batches of 8 in parts of 4"
    again = trial_of("cnn", "full")
    limited(again, 1)
    with pytest.raises(torch.OutOfMemoryError):
        STRATEGIES["full"].fit(replace(again, recipe=replace(again.recipe, epochs=2)))


def test_activations_are_computed_twice_only_when_nothing_else_helps(trial_of: TrialOf) -> None:
    trial = trial_of("vit", "full")
    limited(trial, 8, checkpointed=True)
    run = train(Plan(trial, Tuning(), 3e-3, 0, None, trial.folder / "one", "one"))
    assert run.note == "memory was short: batches of 8 in parts of 1, activations computed twice"
    assert len(run.epochs) == 3
    assert not trial.source.model.is_activation_checkpointing


def test_other_errors_are_not_taken_for_short_memory(trial_of: TrialOf) -> None:
    trial = trial_of("vit", "full")

    def fail(*args: Any) -> None:
        raise RuntimeError("shapes do not fit")

    trial.source.model.register_forward_pre_hook(lambda module, args: fail() if module.training else None)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        STRATEGIES["full"].fit(trial)
