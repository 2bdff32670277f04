"""What using a source costs on this machine: measured forward passes, and what fine-tuning it would take."""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ..adapters import Adapter
from ..features.forward import Run, differentiable
from ..sources import Inputs, Source
from ..spending import Cost
from ..storage import cache_dir, write_cache
from ..targets import Target

if TYPE_CHECKING:
    from torch import Tensor, nn

PASSES = 5  # of one sample, of which the median is the latency
SLOW = 2.0  # seconds: what takes longer is measured once
PROBE = 4  # samples of the batch whose saved tensors are counted
BACKWARD = 2.0  # a backward pass costs about two forward ones: one for inputs, one for weights
ADAM_BYTES = 16.0  # a float32 parameter with its gradient and AdamW's two moments
FORMAT = 1


def measure_cost(
    target: Target,
    source: Source,
    adapter: Adapter,
    rows: np.ndarray,
    *,
    layers: Sequence[str],
    batch_size: int,
    device: str,
    precision: str,
    load_seconds: float | None = None,
) -> Cost:
    """Latency, throughput, FLOPs, and estimates for full fine-tuning, from a few passes over real samples.

    Measured once for a source, device, batch size and number of threads, and kept in the cache: a second ranking is
    told the same.

    Parameters
    ----------
    target, source, adapter
    rows : ndarray of int
        Training rows; the first ones that can be read are used.
    layers : sequence of str
        That are tapped.
    batch_size, device, precision
        As of the extraction.
    load_seconds : float, optional
        What loading took.

    Returns
    -------
    Cost
        Memory of fine-tuning is weights, gradients and AdamW's moments, and the tensors that a small real batch saves
        for its backward pass, scaled to the batch size. Time of an epoch takes a backward pass as two forward ones.
    """
    key = _key(target, source, adapter, layers, batch_size, device, precision)
    path = cache_dir() / "costs" / f"{key}.json"
    if path.exists():
        known = json.loads(path.read_text())
        epoch = known.pop("batch_seconds")
    else:
        known, epoch = _measure(target, source, adapter, rows, layers, batch_size, device, precision)
        write_cache(path, json.dumps({**known, "batch_seconds": epoch}).encode())
    per_sample, saved = known.pop("sample_seconds"), known.pop("saved_bytes")
    card = source.card
    return Cost(
        source=card.name,
        device=device,
        license=card.license,
        n_parameters=card.n_parameters,
        load_seconds=load_seconds,
        tuning_bytes=None if saved is None else ADAM_BYTES * card.n_parameters + saved * batch_size,
        tuning_seconds=len(rows) * (per_sample + BACKWARD * epoch),
        **known,
    )


def _key(
    target: Target,
    source: Source,
    adapter: Adapter,
    layers: Sequence[str],
    batch_size: int,
    device: str,
    precision: str,
) -> str:
    import platform

    import torch

    facts = {
        "format": FORMAT, "weights": source.card.weights_sha256, "architecture": source.card.architecture,
        "input": dict(source.card.input), "path": [asdict(step) for step in adapter.path], "layers": list(layers),
        "batch_size": batch_size, "device": device, "precision": precision, "threads": torch.get_num_threads(),
        "torch": torch.__version__, "machine": platform.node(), "samples": target.digests[0].hex(),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:24]


def _measure(
    target: Target,
    source: Source,
    adapter: Adapter,
    rows: np.ndarray,
    layers: Sequence[str],
    batch_size: int,
    device: str,
    precision: str,
) -> tuple[dict[str, Any], float]:
    samples = [sample for _, sample in islice(target.readable(rows), batch_size)]
    run = Run(source, layers, ("mean",), device, precision)
    wait = _waiter(device)
    single = adapter.prepare(samples[:1], Counter())
    _, flops = run.batch(single, count=True)
    times: list[float] = []
    while len(times) < PASSES and (not times or times[0] < SLOW):
        times.append(_timed(lambda: run.batch(single), wait))
    started = time.perf_counter()
    inputs = adapter.prepare(samples, Counter())
    prepared = time.perf_counter() - started
    forward = min(_timed(lambda: run.batch(inputs), wait) for _ in range(1 if times[0] * len(samples) > SLOW else 2))
    few = adapter.prepare(samples[:PROBE], Counter())
    found = {
        "latency": statistics.median(times),
        "throughput": len(samples) / max(prepared + forward, 1e-9),
        "flops": flops or None,
        "sample_seconds": (prepared + forward) / len(samples),
        "saved_bytes": _saved(source, few, layers, device) / len(samples[:PROBE]),
    }
    return found, forward / len(samples)


def _waiter(device: str) -> Callable[[], None]:
    import torch

    return torch.cuda.synchronize if device.startswith("cuda") else lambda: None


def _timed(work: Callable[[], Any], wait: Callable[[], None]) -> float:
    wait()
    started = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - started


def _saved(source: Source, inputs: Inputs, layers: Sequence[str], device: str) -> float:
    """Bytes that a forward pass keeps for the backward one, parameters left out, each storage once."""
    import torch

    model: nn.Module = source.model
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    sizes: dict[int, int] = {}
    held: list[Tensor] = []  # so that no storage is freed and its address taken again

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)
        return tensor

    moved = {name: value.to(device) for name, value in inputs.items()}
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with differentiable(model), torch.enable_grad(), hooks:
        outputs = source.run(moved, layers[-1:])
    del outputs
    return float(sum(sizes.values()))
