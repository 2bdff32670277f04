"""From a layer's activation to one feature vector per sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UnknownNameError
from ..sources.source import Activation

if TYPE_CHECKING:
    from torch import Tensor

POOLINGS = ("mean", "first", "last")


def pool(activation: Activation, how: str = "mean") -> Tensor:
    """Pool one activation to shape (n_samples, n_features); differentiable.

    Parameters
    ----------
    activation : Activation
        Maps (NCHW, NHWC), sequences (NTC, NCT) or vectors (NC); half precision is pooled in float32.
    how : {"mean", "first", "last"}
        "mean": over all positions of a map, or over the real ones of a sequence (padding and leading
        class tokens left out). "first": a sequence's first real position, such as a class token. "last": its last
        real one, which alone has seen the whole text in a decoder. Maps are averaged.

    Raises
    ------
    UnknownNameError
        If `how` is none of them.
    """
    if how not in POOLINGS:
        raise UnknownNameError("pooling", how, POOLINGS)
    values, layout = activation.values, activation.layout
    if values.is_floating_point() and values.dtype.itemsize < 4:
        values = values.float()
    if layout == "NC":
        return values
    if layout == "NCHW":
        return values.mean(dim=(2, 3))
    if layout == "NHWC":
        return values.mean(dim=(1, 2))
    if layout == "NCT":
        values = values.transpose(1, 2)
    if how != "mean":
        return _end(values, activation.mask, last=how == "last")
    values = values[:, activation.skip :]
    if activation.mask is None:
        return values.mean(dim=1)
    mask = activation.mask[:, activation.skip :].to(values.dtype)
    total = (mask.unsqueeze(1) @ values).squeeze(1)  # a product writes no masked copy of the values
    return total / mask.sum(dim=1, keepdim=True).clamp(min=1)


def _end(values: Tensor, mask: Tensor | None, *, last: bool) -> Tensor:
    """The first or last real position of every row of (n, time, width), on whichever side the padding is."""
    import torch

    if mask is None:
        return values[:, -1 if last else 0]
    places = torch.arange(mask.shape[1], device=mask.device)
    real = mask.bool()
    found = torch.where(real, places, -1).amax(dim=1) if last else torch.where(real, places, mask.shape[1]).amin(dim=1)
    found = found.clamp(0, mask.shape[1] - 1)  # a row with no real position at all
    return values[torch.arange(len(values), device=values.device), found]
