"""Which weights a layer depends on, read from the graph of one forward pass: the same for every kind of source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .network import first_inputs
from .strategy import Trial


def parameter_depths(trial: Trial) -> Mapping[str, int]:
    """Position of the first layer that depends on each of the body's parameters.

    Layers are those the source offers, from its input to the head's. Parameters that none of them depends on, such
    as those of the source's own classifier, and those that do not train are left out.
    """
    import torch

    source = trial.source
    layers = source.card.layers[: source.card.layers.index(trial.layer) + 1]
    with torch.enable_grad():
        outputs = source.run(first_inputs(trial), layers)
    names = {id(value): name for name, value in source.model.named_parameters()}
    depths: dict[str, int] = {}
    seen: set[Any] = {None}
    for depth, layer in enumerate(layers):
        waiting: list[Any] = [outputs.layers[layer].values.grad_fn]
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
            if (name := names.get(id(getattr(node, "variable", None)))) is not None:
                depths[name] = depth
    return depths


def last_blocks(trial: Trial, n: int) -> frozenset[str]:
    """Parameters of the last `n` blocks: what lies between two of the source's layers and has a matrix in it.

    What has none, such as a last norm, belongs to the block before it.
    """
    depths = parameter_depths(trial)
    shapes = {name: value.ndim for name, value in trial.source.model.named_parameters()}
    blocks = sorted({depth for name, depth in depths.items() if shapes[name] > 1})
    first = blocks[-n] if len(blocks) >= n else 0
    return frozenset(name for name, depth in depths.items() if depth >= first)
