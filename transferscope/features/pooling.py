"""From a layer's activation to one feature vector per sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UnknownNameError
from ..sources.source import Activation

if TYPE_CHECKING:
    from torch import Tensor

POOLINGS = ("mean", "first")


def pool(activation: Activation, how: str = "mean") -> Tensor:
    """Pool one activation to shape (n_samples, n_features); differentiable.

    Parameters
    ----------
    activation : Activation
        Maps (NCHW, NHWC), sequences (NTC, NCT) or vectors (NC).
    how : {"mean", "first"}
        "mean": over all positions of a map, or over the real ones of a sequence (padding and leading
        class tokens left out). "first": a sequence's first position, such as a class token; maps are averaged.

    Raises
    ------
    UnknownNameError
        If `how` is neither.
    """
    if how not in POOLINGS:
        raise UnknownNameError("pooling", how, POOLINGS)
    values, layout = activation.values, activation.layout
    if layout == "NC":
        return values
    if layout == "NCHW":
        return values.mean(dim=(2, 3))
    if layout == "NHWC":
        return values.mean(dim=(1, 2))
    if layout == "NCT":
        values = values.transpose(1, 2)
    if how == "first":
        return values[:, 0]
    values = values[:, activation.skip :]
    if activation.mask is None:
        return values.mean(dim=1)
    mask = activation.mask[:, activation.skip :].to(values.dtype).unsqueeze(-1)
    return (values * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
