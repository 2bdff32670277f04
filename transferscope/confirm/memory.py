"""Out of memory: what does not fit is tried again in smaller parts of the same batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .network import Network, batch_norms

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")


def relieved(network: Network, attempt: Callable[[], T]) -> T:
    """What `attempt` gives; when memory runs out, the part is halved and it starts over.

    At the smallest part activations are computed again in the backward pass, where the model can (Chen et al.,
    "Training deep nets with sublinear memory cost", 2016). Random numbers and batch norms' statistics start over
    too, so that the outcome is that of the smaller part from the beginning.
    """
    while True:
        kept = _kept(network)
        try:
            return attempt()
        except RuntimeError as error:
            if not _out_of_memory(error) or not _spare(network):
                raise
        _put_back(network, kept)  # outside the handler, whose traceback holds what did not fit


def recompute(body: nn.Module, on: bool) -> bool:
    """Switch gradient checkpointing of transformers' and timm's models; whether the model can."""
    model: Any = body
    if getattr(model, "supports_gradient_checkpointing", False):
        name = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"  # the old name
        if on:  # the other kind, re-entrant, gives no gradient where the input needs none
            getattr(model, f"{name}_checkpointing_enable")({"use_reentrant": False})
        else:
            getattr(model, f"{name}_checkpointing_disable")()
        return True
    if not hasattr(model, "set_grad_checkpointing"):
        return False
    try:
        model.set_grad_checkpointing(on)
    except AssertionError:  # how timm says that this architecture cannot
        return False
    return True


def _out_of_memory(error: RuntimeError) -> bool:
    import torch
    from accelerate.utils.memory import should_reduce_batch_size

    return isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error)


def _spare(network: Network) -> bool:
    """Need less memory than now; whether that is possible."""
    import torch

    norms = any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in network.body.modules())
    smallest = 3 if norms else 1  # equal parts of at most 3 never leave a norm a single sample
    if network.part > smallest:
        network.part = max(network.part // 2, smallest)
        return True
    if network.checkpointed:
        return False
    network.checkpointed = recompute(network.body, True)
    return network.checkpointed


def _kept(network: Network) -> tuple[Any, ...]:
    import torch

    cuda = torch.cuda.get_rng_state(network.device) if network.device.startswith("cuda") else None
    buffers = [(buffer, buffer.clone()) for norm in batch_norms(network.body) for buffer in norm.buffers()]
    return torch.get_rng_state(), cuda, buffers


def _put_back(network: Network, kept: tuple[Any, ...]) -> None:
    import torch

    state, cuda, buffers = kept
    torch.set_rng_state(state)
    if cuda is not None:
        torch.cuda.set_rng_state(cuda, network.device)
        torch.cuda.empty_cache()
    for buffer, value in buffers:
        buffer.copy_(value)
