"""One forward pass over a target: pooled features of every layer and, where there is a head, class probabilities."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

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
    pooled : Mapping[str, Mapping[str, ndarray of shape (n_samples, n_features), float32]]
        By pooling, then by layer from input to output.
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

    pooled: Mapping[str, Mapping[str, np.ndarray]]
    source_logits: np.ndarray | None
    rows: np.ndarray
    edits: Mapping[str, float]
    skipped: tuple[Skipped, ...]
    seconds: float
    flops: float | None

    @property
    def layers(self) -> Mapping[str, np.ndarray]:
        """The layers under the first pooling, which is mostly the only one."""
        return next(iter(self.pooled.values()))


class _Block(NamedTuple):
    """Rows that are computed and cached together."""

    rows: np.ndarray
    arrays: dict[str, dict[str, np.ndarray]]  # by pooling, then by layer
    notes: dict[str, Any]


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
    poolings : tuple of {"mean", "first", "last"}
        All of them come from the same forward pass.
    strict : bool
        Raise at the first unreadable sample instead of skipping it.
    progress : Progress
        Told of finished samples.
    """

    cache: FeatureCache | None = field(default_factory=FeatureCache.default)
    device: str = "cpu"
    batch_size: int = 32
    poolings: tuple[str, ...] = ("mean",)
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
    ) -> _Block:
        """One block, from the cache where all of it is there."""
        digests = [target.digests[row] for row in rows]
        keys = {how: block_key(source.card, adapter.path, digests, how) for how in self.poolings}
        found = {how: self.cache.read(key) if self.cache else None for how, key in keys.items()}
        have: list[set[str]] = [set(entry[1]["layers"]) if entry else set() for entry in found.values()]
        if not all(known.issuperset(layers) for known in have):
            every = tuple(layer for layer in source.card.layers if layer in set(layers).union(*have))
            arrays, notes = self._compute(target, source, adapter, rows, every)
            found = {how: (arrays[how], notes) for how in self.poolings}
            for how, key in keys.items():
                if self.cache:
                    self.cache.write(key, *found[how])
        entries = {how: entry for how, entry in found.items() if entry is not None}
        notes = entries[self.poolings[0]][1]
        if self.strict and notes["skipped"]:
            position, reason = notes["skipped"][0]
            raise CorruptSampleError(target.samples.describe(int(rows[position])), reason)
        return _Block(rows, {how: arrays for how, (arrays, _) in entries.items()}, notes)

    def _compute(
        self, target: Target, source: Source, adapter: Adapter, rows: np.ndarray, layers: tuple[str, ...]
    ) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Any]]:
        """One forward pass over `rows`; arrays come back by pooling, in the order of the rows that could be read."""
        import torch

        started = time.perf_counter()
        edits: Counter[str] = Counter()
        skipped: list[tuple[int, str]] = []
        positions: list[int] = []
        parts: dict[str, list[dict[str, Tensor]]] = {how: [] for how in self.poolings}
        flops: float | None = None
        source.model.to(self.device).eval()
        with torch.inference_mode():
            for part, inputs in _ahead(self._batches(target, adapter, rows, edits, skipped)):
                moved = {name: value.to(self.device) for name, value in inputs.items()}
                if flops is None:
                    flops, outputs = _count_flops(source, moved, layers, len(part))
                else:
                    outputs = source.run(moved, layers)
                for how in self.poolings:
                    pooled = {name: pool(outputs.layers[name], how) for name in layers}
                    if outputs.logits is not None:
                        pooled[_LOGITS] = outputs.logits
                    parts[how].append({name: value.float().cpu() for name, value in pooled.items()})
                positions += part
        order = np.argsort(positions)
        arrays = {
            how: {
                name: torch.cat([part[name] for part in found]).numpy()[order] for name in (found[0] if found else ())
            }
            for how, found in parts.items()
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

    def _join(self, target: Target, blocks: Sequence[_Block], layers: tuple[str, ...]) -> Features:
        """Put blocks together."""
        edits: Counter[str] = Counter()
        kept: list[np.ndarray] = []
        skipped: list[Skipped] = []
        for block in blocks:
            edits.update(block.notes["edits"])
            kept.append(np.delete(block.rows, [position for position, _ in block.notes["skipped"]]))
            skipped += [
                Skipped(target.samples.describe(int(block.rows[p])), reason) for p, reason in block.notes["skipped"]
            ]
        filled = [block.arrays for block in blocks if block.arrays[self.poolings[0]]]
        if not filled:
            raise TargetError(
                f"{target.name}: none of {len(skipped)} samples can be read; the first: "
                f"{skipped[0].sample} ({skipped[0].reason})."
            )
        first = [arrays[self.poolings[0]] for arrays in filled]
        flops = [block.notes["flops"] for block in blocks if block.notes["flops"]]
        return Features(
            pooled={
                how: {name: np.concatenate([arrays[how][name] for arrays in filled]) for name in layers}
                for how in self.poolings
            },
            source_logits=np.concatenate([arrays[_LOGITS] for arrays in first]) if _LOGITS in first[0] else None,
            rows=np.concatenate(kept),
            edits=dict(edits),
            skipped=tuple(skipped),
            seconds=sum(block.notes["seconds"] for block in blocks),
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
