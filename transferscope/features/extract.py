"""One forward pass over a target: pooled features of every layer and, where there is a head, class probabilities."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..adapters import Adapter
from ..errors import CorruptSampleError, TargetError, TransferScopeError, UnknownNameError
from ..progress import Progress, silent
from ..results import Skipped
from ..sources import Inputs, Source
from ..targets import Target, Waveform
from .cache import FeatureCache, block_key
from .pooling import pool

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 256  # samples computed and cached together: what an interruption can lose at most
_LOGITS = "source_logits"


@dataclass(frozen=True)
class Features:
    """Pooled features of one source on some rows of one target.

    Attributes
    ----------
    layers : Mapping[str, ndarray of shape (n_samples, n_features), float32]
        From input to output.
    source_logits : ndarray of shape (n_samples, n_source_classes), float32, or None
        What the source head says.
    rows : ndarray of shape (n_samples,), int64
        Rows of the target, ascending; unreadable ones are missing.
    edits : Mapping[str, float]
        What the adapter changed, in counts over all samples.
    skipped : tuple of Skipped
        Samples that could not be read.
    seconds : float
        Decoding, adapting and the forward passes, as first measured (a cached block keeps its time).
    flops : float or None
        Of one sample's forward pass, averaged over the first batch of each block.
    """

    layers: Mapping[str, np.ndarray]
    source_logits: np.ndarray | None
    rows: np.ndarray
    edits: Mapping[str, float]
    skipped: tuple[Skipped, ...]
    seconds: float
    flops: float | None


@dataclass
class Extractor:
    """How features are computed; the same for every source of a ranking.

    Attributes
    ----------
    cache : FeatureCache or None
        None computes everything anew.
    device : str
        "cpu", "cuda" or "mps".
    batch_size : int
        Changes speed only, not values.
    pooling : {"mean", "first"}
    strict : bool
        Raise at the first unreadable sample instead of skipping it.
    progress : Progress
        Told of finished samples.
    """

    cache: FeatureCache | None = field(default_factory=FeatureCache.default)
    device: str = "cpu"
    batch_size: int = 32
    pooling: str = "mean"
    strict: bool = False
    progress: Progress = silent

    def extract(
        self, target: Target, source: Source, adapter: Adapter, rows: np.ndarray, layers: Sequence[str] | None = None
    ) -> Features:
        """Features of `rows` at `layers` (default: all that the source offers).

        Raises
        ------
        UnknownNameError
            If the source has no such layer.
        TargetError
            If no row can be read, or one cannot and `strict` is set (CorruptSampleError).
        CacheError
            If the cache cannot be written or a file in it is damaged.
        """
        wanted = tuple(layers) if layers is not None else source.card.layers
        for layer in wanted:
            if layer not in source.card.layers:
                raise UnknownNameError(f"layer of {source.card.name}", layer, source.card.layers)
        rows = np.sort(rows)
        task = f"{source.card.name} on {target.name}"
        blocks = []
        self.progress(task, 0, len(rows))
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            blocks.append(self._block(target, source, adapter, part, wanted))
            self.progress(task, start + len(part), len(rows))
        return self._join(target, blocks, wanted)

    def _block(
        self, target: Target, source: Source, adapter: Adapter, rows: np.ndarray, layers: tuple[str, ...]
    ) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, Any]]:
        """Rows, arrays and notes of one block, from the cache where it is there."""
        digests = [target.digests[row] for row in rows]
        key = block_key(source.card, adapter.path, digests, self.pooling)
        found = self.cache.read(key) if self.cache else None
        have = set(found[1]["layers"]) if found else set()
        if found is None or not have.issuperset(layers):
            every = tuple(layer for layer in source.card.layers if layer in have.union(layers))
            found = self._compute(target, source, adapter, rows, every)
            if self.cache:
                self.cache.write(key, *found)
        arrays, notes = found
        if self.strict and notes["skipped"]:
            position, reason = notes["skipped"][0]
            raise CorruptSampleError(target.samples.describe(int(rows[position])), reason)
        return rows, arrays, notes

    def _compute(
        self, target: Target, source: Source, adapter: Adapter, rows: np.ndarray, layers: tuple[str, ...]
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """One forward pass over `rows`; arrays come back in the order of the rows that could be read."""
        import torch

        started = time.perf_counter()
        edits: Counter[str] = Counter()
        skipped: list[tuple[int, str]] = []
        positions: list[int] = []
        parts: list[dict[str, Tensor]] = []
        flops: float | None = None
        source.model.to(self.device).eval()
        with torch.inference_mode():
            for part, inputs in _ahead(self._batches(target, adapter, rows, edits, skipped)):
                moved = {name: value.to(self.device) for name, value in inputs.items()}
                if flops is None:
                    flops, outputs = _count_flops(source, moved, layers, len(part))
                else:
                    outputs = source.run(moved, layers)
                pooled = {name: pool(outputs.layers[name], self.pooling) for name in layers}
                if outputs.logits is not None:
                    pooled[_LOGITS] = outputs.logits
                parts.append({name: value.float().cpu() for name, value in pooled.items()})
                positions += part
        order = np.argsort(positions)
        arrays = {
            name: torch.cat([part[name] for part in parts]).numpy()[order] for name in (parts[0] if parts else ())
        }
        seconds = time.perf_counter() - started
        notes = {"layers": layers, "edits": dict(edits), "skipped": skipped, "flops": flops, "seconds": seconds}
        return arrays, notes

    def _batches(
        self,
        target: Target,
        adapter: Adapter,
        rows: np.ndarray,
        edits: Counter[str],
        skipped: list[tuple[int, str]],
    ) -> Iterator[tuple[list[int], Inputs]]:
        """Positions in `rows` and model inputs, batch by batch; sounds and texts of like length go together."""
        # sorting needs samples in memory: a whole block of texts, a few batches of sounds, one batch of pictures
        window = {"text": len(rows), "audio": 4 * self.batch_size, "image": self.batch_size}[target.modality]
        for start in range(0, len(rows), window):
            loaded: list[tuple[int, Any]] = []
            for position in range(start, min(start + window, len(rows))):
                try:
                    loaded.append((position, target.samples[int(rows[position])]))
                except CorruptSampleError as error:
                    if self.strict:
                        raise
                    skipped.append((position, error.reason))
            loaded.sort(key=lambda pair: _length(pair[1]))
            for first in range(0, len(loaded), self.batch_size):
                batch = loaded[first : first + self.batch_size]
                yield [position for position, _ in batch], adapter.prepare([sample for _, sample in batch], edits)

    def _join(
        self,
        target: Target,
        blocks: Sequence[tuple[np.ndarray, dict[str, np.ndarray], dict[str, Any]]],
        layers: tuple[str, ...],
    ) -> Features:
        """Put blocks together."""
        edits: Counter[str] = Counter()
        kept: list[np.ndarray] = []
        skipped: list[Skipped] = []
        for rows, _, notes in blocks:
            edits.update(notes["edits"])
            kept.append(np.delete(rows, [position for position, _ in notes["skipped"]]))
            skipped += [Skipped(target.samples.describe(int(rows[p])), reason) for p, reason in notes["skipped"]]
        filled = [arrays for _, arrays, _ in blocks if arrays]
        if not filled:
            raise TargetError(
                f"{target.name}: none of {len(skipped)} samples can be read; the first: "
                f"{skipped[0].sample} ({skipped[0].reason})."
            )
        flops = [notes["flops"] for _, _, notes in blocks if notes["flops"]]
        return Features(
            layers={name: np.concatenate([arrays[name] for arrays in filled]) for name in layers},
            source_logits=np.concatenate([arrays[_LOGITS] for arrays in filled]) if _LOGITS in filled[0] else None,
            rows=np.concatenate(kept),
            edits=dict(edits),
            skipped=tuple(skipped),
            seconds=sum(notes["seconds"] for _, _, notes in blocks),
            flops=float(np.mean(flops)) if flops else None,
        )


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


def _count_flops(source: Source, inputs: Inputs, layers: Sequence[str], n_samples: int) -> tuple[float, Any]:
    """Run one batch under torch's own counter; operations without a formula there (an LSTM's) count as zero."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        outputs = source.run(inputs, layers)
    return counter.get_total_flops() / n_samples, outputs


def _length(sample: Any) -> int:
    """How long a sample is, for sorting; pictures count as equal."""
    if isinstance(sample, str):
        return len(sample)
    return sample.samples.shape[-1] if isinstance(sample, Waveform) else 0


def _ahead(batches: Iterator[tuple[list[int], Inputs]]) -> Iterator[tuple[list[int], Inputs]]:
    """Prepare the next batch in a thread while the caller computes with this one."""
    with ThreadPoolExecutor(max_workers=1) as pool_of_one:
        coming = pool_of_one.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool_of_one.submit(next, batches, None)
            yield batch
