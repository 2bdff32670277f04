"""LoRA: low-rank additions to every linear layer and convolution, by peft."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import TransferScopeError
from .depth import parameter_depths
from .search import register_tuning
from .strategy import Trial
from .tuning import Tuning


class LoRA(Tuning):
    """Every linear layer and convolution gets an addition of rank `Recipe.lora_rank`; it and the head train.

    Weights that a model multiplies by itself, without calling the layer that holds them (WavLM's attention), get none.
    """

    rate_factor = 10.0  # its best rate is about ten times that of full fine-tuning (Biderman et al., TMLR 2024)

    @contextmanager
    def edit(self, trial: Trial) -> Iterator[None]:
        """Put the additions in, where the head's layer sees them; after the run the modules are those from before."""
        from peft import LoraConfig, inject_adapter_in_model

        model, rank = trial.source.model, trial.recipe.lora_rank
        before = {name: module for name, module in model.named_modules() if _fits(module)}
        if not before:
            raise TransferScopeError(f"{trial.source.card.name}: has no linear layer or convolution for lora.")
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="|".join(map(re.escape, before)))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "fan_in_fan_out")  # GPT-2's layers are transposed, and peft sees it
            inject_adapter_in_model(config, model)
        for name, module in before.items():
            _show_sizes(model.get_submodule(name), module)
        try:
            seen = parameter_depths(trial)
            for name in [name for name in before if f"{name}.lora_B.default.weight" not in seen]:
                model.set_submodule(name, before.pop(name))  # what it adds would never be read
            yield
        finally:
            for name, module in before.items():
                model.set_submodule(name, module)
            del model.peft_config  # peft's note of what it did


def _show_sizes(wrapper: Any, module: Any) -> None:
    """A model's own code may read a layer's stride or width, which peft's wrapper hides."""
    for name, value in vars(module).items():
        if not name.startswith("_") and not hasattr(wrapper, name):
            setattr(wrapper, name, value)


def _fits(module: Any) -> bool:
    """Plain layers only: a subclass computes otherwise than peft, or is not called; grouped convolutions are thin."""
    import torch
    from transformers.pytorch_utils import Conv1D

    if type(module) in (torch.nn.Conv1d, torch.nn.Conv2d):
        return module.groups == 1
    return type(module) in (torch.nn.Linear, Conv1D)


@register_tuning("lora", head_at="last")
def lora(trial: Trial) -> Tuning:
    """Train low-rank additions.

    References
    ----------
    Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022. On all linear layers: Dettmers et
    al., "QLoRA: efficient finetuning of quantized LLMs", NeurIPS 2023.
    """
    return LoRA()
