"""One forward pass over batches: prepared ahead, run at a chosen precision, pooled where the model is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TransferScopeError, UnknownNameError
from ..sources import Inputs, Source
from .pooling import pool

if TYPE_CHECKING:
    from torch import Tensor, nn

LOGITS = "source_logits"
PRECISIONS = ("auto", "float32", "bfloat16")
_AHEAD = 2  # batches that wait for the model: more would only hold memory


@dataclass
class Run:
    """How a source is run on batches, and what is kept of each.

    Attributes
    ----------
    source : Source
    layers, poolings : sequence of str
    device : str
    precision : {"float32", "bfloat16"}
        Of the matrix products and convolutions (autocast); pooled features are float32 either way.
    """

    source: Source
    layers: Sequence[str]
    poolings: Sequence[str]
    device: str
    precision: str

    def __post_init__(self) -> None:
        self.source.model.to(self.device).eval()
        self._columns: list[tuple[str, str, int]] = []  # pooling, layer, width: what `batch` puts side by side

    def batch(self, inputs: Inputs, *, count: bool = False) -> tuple[Tensor, float | None]:
        """Pooled features of all layers side by side, shape (n_samples, sum of widths), and FLOPs if `count`.

        They come back in one copy. On CUDA that copy is not waited for: read it after `arrays`.
        """
        import torch

        cuda = self.device.startswith("cuda")
        moved = {name: value.to(self.device, non_blocking=cuda) for name, value in inputs.items()}
        if type(self.source.model).__module__.startswith("timm."):
            # convolutions run up to twice as fast so, and timm's models, unlike some others, take either layout
            moved = {
                name: value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
                for name, value in moved.items()
            }
        with ExitStack() as modes:
            # the counter's hooks fail on parametrized weights (wav2vec 2.0) in inference mode
            modes.enter_context(torch.no_grad() if count else torch.inference_mode())
            counter = modes.enter_context(_counter()) if count else None
            with torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.precision == "bfloat16"):
                outputs = self.source.run(moved, self.layers)
        with torch.inference_mode():
            parts = [(how, name, pool(outputs.layers[name], how)) for how in self.poolings for name in self.layers]
            if outputs.logits is not None:
                parts += [(how, LOGITS, outputs.logits) for how in self.poolings]
            self._columns = [(how, name, values.shape[1]) for how, name, values in parts]
            table = torch.cat([values.float() for _, _, values in parts], dim=1).to("cpu", non_blocking=cuda)
        n_samples = len(table)
        return table, counter.get_total_flops() / n_samples if counter is not None else None

    def arrays(self, tables: Sequence[Tensor], order: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
        """What batches gave, by pooling and layer, with rows put into `order`."""
        import torch

        found: dict[str, dict[str, np.ndarray]] = {how: {} for how in self.poolings}
        if not tables:
            return found
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)
        table = torch.cat(list(tables)).numpy()[order]
        start = 0
        for how, name, width in self._columns:
            found[how][name] = np.ascontiguousarray(table[:, start : start + width])
            start += width
        return found


def _counter() -> Any:
    """Torch's own counter; operations without a formula there (an LSTM's) count as zero."""
    from torch.utils.flop_counter import FlopCounterMode

    return FlopCounterMode(display=False)


def ahead(batches: Iterator[Any], device: str) -> Iterator[Any]:
    """Prepare the next batches in a thread while the caller computes with this one; for CUDA in pinned memory.

    Parameters
    ----------
    batches : iterator of (anything, ..., Inputs or None)
    """

    def following() -> Any:
        item = next(batches, None)
        if item is None or item[-1] is None or not device.startswith("cuda"):
            return item
        return (*item[:-1], {name: value.pin_memory() for name, value in item[-1].items()})

    worker = ThreadPoolExecutor(max_workers=1)  # one: samples and tokenizers need not be safe for several
    try:
        coming = deque(worker.submit(following) for _ in range(_AHEAD))
        while (item := coming.popleft().result()) is not None:
            coming.append(worker.submit(following))
            yield item
    finally:
        worker.shutdown(cancel_futures=True)


@contextmanager
def differentiable(model: nn.Module) -> Iterator[None]:
    """Every weight that can takes a gradient inside; the switches are after the block what they were before."""
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        for parameter, _ in before:
            parameter.requires_grad_(parameter.is_floating_point())
        yield
    finally:
        for parameter, trained in before:
            parameter.requires_grad_(trained)


def pick_device(device: str = "auto") -> str:
    """`auto` is CUDA where there is one, else Apple's MPS, else the CPU; any other name is checked and returned.

    Raises
    ------
    UnknownNameError
        If it is none of these.
    TransferScopeError
        If this machine, or this build of torch, has no such device.
    """
    import torch

    counts = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    if device == "auto":
        return next(kind for kind, count in counts.items() if count)
    kind, _, number = device.partition(":")
    if kind not in counts or not (number or "0").isdecimal():
        raise UnknownNameError("device", device, ["auto", *counts])
    if int(number or 0) >= counts[kind]:
        raise TransferScopeError(
            f"device {device!r} is not here: torch {torch.__version__} sees {counts[kind]} of kind {kind}; use "
            "--device auto, or install a build of torch for that device."
        )
    return device


def pick_precision(precision: str, device: str) -> str:
    """`auto` is bfloat16 on CUDA devices that compute in it, else float32; another name is checked and returned."""
    import torch

    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    if precision != "auto":
        return precision
    if not device.startswith("cuda"):
        return "float32"
    with torch.cuda.device(device):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
