"""What training borrows and gives back: generators, settings of a model, the process's one accelerator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from transferscope.confirm.device import make_accelerator
from transferscope.confirm.memory import recompute
from transferscope.confirm.network import restored, seeded, undisturbed
from transferscope.confirm.strategy import Trial

TrialOf = Callable[..., Trial]


def test_generators_are_put_back() -> None:
    np.random.seed(5)
    torch.manual_seed(5)
    wanted = np.random.rand(), float(torch.rand(1))
    np.random.seed(5)
    torch.manual_seed(5)
    with seeded(1, "cpu"):
        drawn = np.random.rand(), float(torch.rand(1))
    with seeded(1, "cpu"):
        assert (np.random.rand(), float(torch.rand(1))) == drawn
    assert (np.random.rand(), float(torch.rand(1))) == wanted


def test_speech_models_are_undisturbed_and_have_their_settings_back(trial_of: TrialOf) -> None:
    model = trial_of("wav2vec2", "full").source.model
    model.config.layerdrop = 0.3
    with undisturbed(model):
        assert (model.config.layerdrop, model.config.apply_spec_augment) == (0.0, False)
    assert (model.config.layerdrop, model.config.apply_spec_augment) == (0.3, True)


def test_a_model_is_restored_even_after_an_error(trial_of: TrialOf) -> None:
    model = trial_of("cnn", "full").source.model
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def disturb() -> None:
        model.train()
        model(torch.randn(4, 3, 16, 16)).sum().backward()
        for value in model.parameters():
            value.requires_grad_(False).add_(1.0)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"), restored(model):
        disturb()
    assert not model.training
    assert all(value.requires_grad and value.grad is None for value in model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_an_accelerator_of_another_precision_does_not_stand_in_the_way() -> None:
    from accelerate import Accelerator

    make_accelerator("cpu")
    assert make_accelerator("cpu").mixed_precision == "no"
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    Accelerator(cpu=True, mixed_precision="bf16")
    found = make_accelerator("cpu")
    assert (found.mixed_precision, found.device) == ("no", torch.device("cpu"))


@pytest.mark.parametrize(("kind", "can"), [("vit", True), ("bert", True), ("timm-vit", True), ("cnn", False)])
def test_which_models_can_compute_activations_twice(trial_of: TrialOf, kind: str, can: bool) -> None:
    model = trial_of(kind, "full").source.model
    assert recompute(model, True) is can
    recompute(model, False)
