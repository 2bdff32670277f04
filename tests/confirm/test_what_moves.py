"""Which weights a strategy moves, on sources of every kind; and that the source is after it what it was before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from transferscope.confirm import bias_norm, lora, partial
from transferscope.confirm.depth import last_blocks, parameter_depths
from transferscope.confirm.strategy import STRATEGIES, Trial
from transferscope.confirm.training import Plan, train
from transferscope.confirm.tuning import Tuning

TrialOf = Callable[..., Trial]
KINDS = ("cnn", "vit", "wav2vec2", "bert", "gpt2", "whisper", "timm-vit", "timm-resnet")


def tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in [*model.named_parameters(), *model.named_buffers()]}


def moved(trial: Trial, tuning: Tuning) -> tuple[set[str], set[str]]:
    """Names of the body's tensors that training changed, and of all there were while it trained."""
    seen: dict[str, torch.Tensor] = {}
    before: dict[str, torch.Tensor] = {}

    class Watched(type(tuning)):  # type: ignore[misc]
        def begin(self, network: Any) -> None:
            super().begin(network)
            before.update(tensors(network.body))

        def measures(self, network: Any) -> Any:
            seen.update(tensors(network.body))
            return super().measures(network)

    tuning.__class__ = Watched
    train(Plan(trial, tuning, 3e-3, 0, None, trial.folder / "one", "one"))
    assert set(seen) == set(before)
    return {name for name in seen if not torch.equal(seen[name], before[name])}, set(seen)


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if STRATEGIES[name].trains_body])
@pytest.mark.parametrize("kind", ["cnn", "vit", "wav2vec2", "bert"])
def test_every_strategy_trains_every_kind_and_leaves_the_source_as_it_was(
    trial_of: TrialOf, kind: str, strategy: str
) -> None:
    trial = trial_of(kind, strategy)
    trial = replace(trial, recipe=replace(trial.recipe, epochs=2))
    model = trial.source.model
    parameter_depths(trial)  # transformers hooks its modules at the first run
    modules, before, had = dict(model.named_modules()), tensors(model), set(vars(model))
    switches = [value.requires_grad for value in model.parameters()]
    runs = STRATEGIES[strategy].fit(trial)
    assert dict(model.named_modules()) == modules
    assert set(vars(model)) == had
    assert [value.requires_grad for value in model.parameters()] == switches
    assert all(value.grad is None for value in model.parameters())
    assert not any(module.training for module in model.modules())
    for name, value in tensors(model).items():
        assert torch.equal(value, before[name]), name
    assert runs[-1].test_accuracy is not None
    for run in runs:
        assert len(run.epochs) == 2
        assert run.peak_memory is not None
        assert run.peak_memory > 2**20


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_last_blocks_move(trial_of: TrialOf, kind: str) -> None:
    trial = trial_of(kind, "partial")
    trial = replace(trial, recipe=replace(trial.recipe, n_blocks=1, epochs=1))
    free = last_blocks(trial, 1)
    changed, every = moved(trial, partial.Partial())
    weights = {name for name, _ in trial.source.model.named_parameters()}
    assert changed & weights <= free < weights
    assert {name for name in free if name.endswith("weight")} - changed == set()
    frozen_buffers = {
        name for name in every - weights if not any(w.rpartition(".")[0] == name.rpartition(".")[0] for w in free)
    }
    assert not changed & frozen_buffers


def test_blocks_are_found_by_the_layers(trial_of: TrialOf) -> None:
    for kind, last in (("vit", "2."), ("bert", "2."), ("timm-vit", "blocks.5."), ("wav2vec2", "layers.2.")):
        trial = trial_of(kind, "partial")
        blocks = {name for name in last_blocks(trial, 1) if trial.source.model.get_parameter(name).ndim > 1}
        assert blocks, kind
        assert all(last in name for name in blocks), (kind, blocks)
        assert last_blocks(trial, 1) < last_blocks(trial, 2) < last_blocks(trial, 99) == set(parameter_depths(trial))


@pytest.mark.parametrize("kind", KINDS)
def test_only_biases_and_norms_move(trial_of: TrialOf, kind: str) -> None:
    trial = trial_of(kind, "bias_norm")
    changed, _ = moved(trial, bias_norm.BiasNorm())
    weights = dict(trial.source.model.named_parameters())
    assert changed & set(weights)
    assert all(weights[name].ndim == 1 for name in changed if name in weights)
    for name in changed:
        owner = type(trial.source.model.get_submodule(name.rpartition(".")[0])).__name__
        assert name.endswith("bias") or "norm" in owner.lower(), name


@pytest.mark.parametrize("kind", KINDS)
def test_lora_moves_additions_of_its_rank_only(trial_of: TrialOf, kind: str) -> None:
    trial = trial_of(kind, "lora")
    trial = replace(trial, recipe=replace(trial.recipe, lora_rank=3))
    changed, every = moved(trial, lora.LoRA())
    additions = {name for name in every if ".lora_" in name}
    assert changed <= additions
    assert changed == additions or kind == "timm-resnet"  # its random branches end in a factor of 0
    assert changed
    with lora.LoRA().edit(trial):
        for name, module in trial.source.model.named_modules():
            if hasattr(module, "base_layer"):
                assert {module.lora_A.default.weight.shape[0], module.lora_B.default.weight.shape[1]} == {3}, name
                assert f"{name}.lora_B.default.weight" in additions


def test_lora_is_on_every_layer_that_the_head_sees(trial_of: TrialOf) -> None:
    trial = trial_of("bert", "lora")
    linear = [name for name, module in trial.source.model.named_modules() if type(module) is torch.nn.Linear]
    with lora.LoRA().edit(trial):
        names = [name for name, module in trial.source.model.named_modules() if hasattr(module, "base_layer")]
    assert names == [name for name in linear if "pooler" not in name]  # the pooler's output is not read
    assert len(names) == 18


def test_full_moves_all_that_the_head_sees(trial_of: TrialOf) -> None:
    trial = trial_of("bert", "full")
    changed, _ = moved(trial, Tuning())
    names = {name for name, _ in trial.source.model.named_parameters()}
    assert {name for name in names - changed if "pooler" not in name and "key.bias" not in name} == set()
