"""AdamW in groups: a faster head, slower early layers, no decay of biases and norms; warmed up, then a cosine."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from .depth import parameter_depths
from .network import Network
from .tuning import Tuning

if TYPE_CHECKING:
    import torch
    from torch import nn

LAYER_DECAY = 0.8  # of transformers; 0.65 to 0.9 in the papers that introduced it


def make_optimizer(
    network: Network, tuning: Tuning, learning_rate: float
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """The optimizer of a run and its schedule over all epochs."""
    import torch

    recipe = network.trial.recipe
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for value, rate in _rates(network, tuning, learning_rate):
        decay = recipe.weight_decay if tuning.decays and value.ndim > 1 else 0.0
        groups[rate, decay].append(value)
    optimizer = torch.optim.AdamW(
        [{"params": values, "lr": rate, "weight_decay": decay} for (rate, decay), values in groups.items()], fused=True
    )
    steps = max(recipe.epochs * -(-len(network.trial.split.train) // recipe.batch_size), 2)
    warmup = recipe.warmup
    if math.isclose(warmup * steps, 1):
        warmup = 2 / steps  # the scheduler divides by the steps of its warm-up, less one
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[rate for rate, _ in groups],
        total_steps=steps,
        pct_start=warmup,
        anneal_strategy="cos",
        cycle_momentum=False,
    )
    return optimizer, scheduler


def _rates(network: Network, tuning: Tuning, learning_rate: float) -> list[tuple[nn.Parameter, float]]:
    """What trains, and how fast."""
    recipe = network.trial.recipe
    decay = recipe.layer_decay
    if decay is None:
        decay = LAYER_DECAY if is_transformer(network.body) else 1.0
    depths = parameter_depths(network.trial) if decay != 1.0 else {}
    deepest = max(depths.values(), default=0)
    body = [
        (value, learning_rate * tuning.rate_factor * decay ** (deepest - depths.get(name, deepest)))
        for name, value in network.body.named_parameters()
        if value.requires_grad
    ]
    return body + [(value, learning_rate * tuning.head_factor(recipe)) for value in network.heads.parameters()]


def is_transformer(body: nn.Module) -> bool:
    """Whether the model attends: a module of its is called some attention, as in all libraries here."""
    return any("attention" in type(module).__name__.lower() for module in body.modules())
