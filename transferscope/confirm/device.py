"""Where training computes, in which precision, and how much memory that took."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..features.forward import pick_precision

if TYPE_CHECKING:
    from accelerate import Accelerator

_DEVICE = "ACCELERATE_TORCH_DEVICE"  # the only way to tell accelerate which of several


def make_accelerator(device: str) -> Accelerator:
    """Accelerate on one device: bfloat16 on CUDA devices that compute in it, else float32."""
    import torch
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    precision = {"bfloat16": "bf16", "float32": "no"}[pick_precision("auto", device)]
    if AcceleratorState._shared_state:
        state = AcceleratorState()
        if state.device != torch.device(device) or state.mixed_precision != precision:
            AcceleratorState._reset_state(reset_partial_state=True)  # one a process, and it refuses to change
    before = os.environ.get(_DEVICE)
    os.environ[_DEVICE] = device
    try:
        return Accelerator(cpu=device == "cpu", mixed_precision=precision)
    finally:
        os.environ.pop(_DEVICE) if before is None else os.environ.update({_DEVICE: before})


def start_peak(device: str) -> None:
    """Forget an earlier peak."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: str, before: int = 0) -> int:
    """Most bytes so far: allocated on CUDA since `start_peak`, else the resident set now or `before`."""
    import psutil
    import torch

    now = torch.cuda.max_memory_allocated(device) if device.startswith("cuda") else psutil.Process().memory_info().rss
    return max(before, now)
