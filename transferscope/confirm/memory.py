"""Short memory: telling that it ran out, trading time for it, and what a run used at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def ran_out(error: BaseException) -> bool:
    """Whether memory of a device, or of the machine, ran out."""
    import torch
    from accelerate.utils.memory import should_reduce_batch_size

    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and should_reduce_batch_size(error)
    )


def checkpoint_activations(body: nn.Module, *, on: bool) -> bool:
    """Compute activations anew in the backward pass instead of keeping them; False if the model offers no such thing.

    Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.
    """
    model: Any = body
    if getattr(model, "supports_gradient_checkpointing", False):  # transformers
        if on:
            # the reentrant kind cuts gradients of what hooks read inside
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        else:
            model.gradient_checkpointing_disable()
        return True
    if hasattr(model, "set_grad_checkpointing"):  # timm
        try:
            model.set_grad_checkpointing(on)
        except AssertionError:  # how timm's models say that they cannot
            return False
        return True
    return False


@dataclass
class Peak:
    """Bytes in use at most: of the device's allocator, or of this process's memory where there is none.

    A device counts every allocation. The process is looked at after each forward pass, when activations are held.
    """

    device: str
    bytes: int = 0

    def start(self) -> None:
        """Forget what was used before."""
        import torch

        if self.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats(self.device)

    def look(self) -> None:
        """Take note of what is in use."""
        import psutil
        import torch

        if self.device.startswith("cuda"):
            used = torch.cuda.max_memory_allocated(self.device)
        else:
            used = psutil.Process().memory_info().rss
        self.bytes = max(self.bytes, used)
