"""What fine-tuning could add, from one gradient per sample: the empirical tangent kernel of the last blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..adapters import Adapter
from ..features.forward import differentiable
from ..features.pooling import pool
from ..sources import Source
from ..targets import Target

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

FIRST = 8  # samples whose gradients tell the usual size of each tensor's
WIDTH = 4096  # of a sketch: products are kept to about 1 / sqrt(WIDTH) of the norms
MOST = 4_000_000  # parameters that are told of, from the last one backwards


def tangent_sketch(
    target: Target, source: Source, adapter: Adapter, rows: Sequence[int] | NDArray[np.int64], *, layer: str,
    pooling: str, device: str, seed: int,
) -> NDArray[np.float32]:  # fmt: skip
    r"""Sketched gradients of a random output with respect to the last parameters below a layer.

    The output is :math:`r'\phi(x)` with pooled features :math:`\phi` and one random direction r. To first order
    fine-tuning moves predictions within the span of these gradients, so that a ridge regression on them tells
    whether moving the weights separates the classes where the features alone do not. Every tensor's gradient is
    divided by its usual size, as Adam's steps are, and the whole is reduced by random signs and buckets (a count
    sketch), which keeps products.

    Parameters
    ----------
    target, source, adapter
    rows : sequence of int
        That can be read.
    layer, pooling : str
        Where the new head would sit.
    device : str
    seed : int
        Of the direction and the sketch.

    Returns
    -------
    ndarray of shape (n_samples, 4096)

    References
    ----------
    Jacot, Gabriel and Hongler, "Neural Tangent Kernel", NeurIPS 2018; Wei, Hu and Steinhardt, "More Than a Toy:
    Random Matrix Models Predict How Real-World Neural Representations Generalize", ICML 2022; Mohamadi, Bae and
    Sutherland, "A Fast, Well-Founded Approximation to the Empirical Neural Tangent Kernel", ICML 2023; Malladi et al.,
    "A Kernel-Based View of Language Model Fine-Tuning", ICML 2023 (the kernel of Adam's steps); Charikar, Chen and
    Farach-Colton, "Finding Frequent Items in Data Streams", ICALP 2002.
    """
    import torch

    model: nn.Module = source.model.to(device).eval()
    generator = torch.Generator().manual_seed(seed)

    def output(row: int) -> Tensor:
        inputs = adapter.prepare([target.samples[int(row)]], Counter())
        moved = {name: value.to(device) for name, value in inputs.items()}
        pooled = pool(source.run(moved, [layer]).layers[layer], pooling)[0].float()
        direction = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(seed))
        return pooled @ direction.to(device)

    with differentiable(model), torch.enable_grad():
        chosen = _last(model, output(rows[0]))
        first = [torch.autograd.grad(output(row), chosen) for row in rows[:FIRST]]
        sketch = _Sketch(first, generator)
        others = (torch.autograd.grad(output(row), chosen) for row in rows[FIRST:])
        return np.stack([sketch(gradients).cpu().numpy() for gradients in chain(first, others)])


class _Sketch:
    """Random signs, and a random bucket for every parameter."""

    def __init__(self, first: Sequence[Sequence[Tensor]], generator: torch.Generator) -> None:
        import torch

        squares = [torch.stack([g.float().square().mean() for g in same]).mean() for same in zip(*first, strict=True)]
        self.scales = [1 / square.sqrt().clamp(min=1e-20) for square in squares]
        size, device = sum(gradient.numel() for gradient in first[0]), first[0][0].device
        self.buckets = torch.randint(0, WIDTH, (size,), generator=generator).to(device)
        self.signs = (2.0 * torch.randint(0, 2, (size,), generator=generator) - 1).to(device)

    def __call__(self, gradients: Sequence[Tensor]) -> Tensor:
        import torch

        flat = torch.cat([(g.float() * scale).flatten() for g, scale in zip(gradients, self.scales, strict=True)])
        return torch.zeros(WIDTH, device=flat.device).index_add_(0, self.buckets, flat * self.signs)


def _last(model: nn.Module, output: Tensor) -> list[Tensor]:
    """The last parameters that the output depends on, as many as `MOST` allows; embeddings' tables are left out."""
    import torch

    tables = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    parameters = [p for p in model.parameters() if p.requires_grad and id(p) not in tables]
    gradients = torch.autograd.grad(output, parameters, allow_unused=True)
    used = [p for p, gradient in zip(parameters, gradients, strict=True) if gradient is not None]
    kept: list[Tensor] = []
    size = 0
    for parameter in reversed(used):
        size += parameter.numel()
        if kept and size > MOST:
            break
        kept.append(parameter)
    return kept
