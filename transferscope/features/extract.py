"""One forward pass over a target: pooled features of every layer and, where there is a head, class probabilities."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from ..adapters import Adapter
from ..errors import CorruptSampleError, TargetError, UnknownNameError
from ..progress import Progress, silent
from ..results import Skipped
from ..sources import Inputs, Source
from ..stamp import MADE_BY
from ..targets import Target, Waveform
from .cache import FeatureCache, block_key
from .forward import LOGITS, Run, ahead, pick_device, pick_precision

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BLOCKS", "Extractor", "Features", "pick_device", "pick_precision"]

# samples computed and cached together: what an interruption can lose at most. Texts are sorted within it
BLOCKS = {"image": 256, "audio": 256, "text": 1024}
PADDED, FEWEST = 1.1, 8  # a batch's positions over its real ones, and the part of the batch size that it has anyway


@dataclass(frozen=True)
class Features:
    """Pooled features of one source on some rows of one target.

    Attributes
    ----------
    pooled : Mapping[str, Mapping[str, ndarray of shape (n_samples, n_features), float32]]
        By pooling, then by layer from input to output. With a cache a layer is read from it each time it is asked
        for, so that memory holds the layers in use and no others.
    source_logits : ndarray of shape (n_samples, n_source_classes), float32, or None
        What the source head says.
    rows : ndarray of shape (n_samples,), int64
        Rows of the target, part by part, ascending in each; unreadable ones are missing.
    edits : Mapping[str, float]
        What the adapter changed, in counts over all samples.
    skipped : tuple of Skipped
        Samples that could not be read.
    seconds : float
        Decoding, adapting and the forward passes, as first measured (a cached block keeps its time).
    flops : float or None
        Of one sample's forward pass, averaged over one batch of middling length.
    n_computed : int
        Samples that went through the source now, and were not at hand.
    versions : tuple of mapping of package to version
        That made the features, each combination once; blocks that were cached before they were noted have none.
    """

    pooled: Mapping[str, Mapping[str, np.ndarray]]
    source_logits: np.ndarray | None
    rows: np.ndarray
    edits: Mapping[str, float]
    skipped: tuple[Skipped, ...]
    seconds: float
    flops: float | None
    n_computed: int = 0
    versions: tuple[Mapping[str, str], ...] = ()

    @property
    def layers(self) -> Mapping[str, np.ndarray]:
        """The layers under the first pooling, which is mostly the only one."""
        return next(iter(self.pooled.values()))


@dataclass
class _Block:
    """Rows that are computed and cached together."""

    rows: np.ndarray
    keys: dict[str, dict[str, Any]]  # by pooling
    layers: tuple[str, ...]  # to compute
    notes: dict[str, Any] = field(default_factory=dict)  # empty until it is computed or found
    names: frozenset[str] = frozenset()  # of its arrays; none if no sample could be read
    read: Callable[[str, str], np.ndarray] | None = None  # by pooling and name
    edits: Counter[str] = field(default_factory=Counter)
    skipped: list[tuple[int, str]] = field(default_factory=list)


class Joined(Mapping[str, np.ndarray]):
    """Layers by name, put together of blocks whenever one is asked for: only what is in use is in memory."""

    def __init__(self, names: Sequence[str], read: Sequence[Callable[[str], np.ndarray]]) -> None:
        self.names, self.read = tuple(names), tuple(read)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.names:
            raise KeyError(name)
        return np.concatenate([read(name) for read in self.read])

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@dataclass
class Extractor:
    """How features are computed; the same for every source of a ranking.

    Attributes
    ----------
    cache : FeatureCache or None
        None computes everything anew and keeps it in memory; with a cache memory does not grow with the number of
        samples, but for `Features.source_logits`, row numbers and digests.
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
    precision : {"auto", "float32", "bfloat16"}
        bfloat16 is torch's autocast; "auto" takes it on CUDA devices that compute in it. Features are pooled in, and
        kept as, float32, under another key for each precision.
    """

    cache: FeatureCache | None = field(default_factory=FeatureCache.default)
    device: str = "cpu"
    batch_size: int = 32
    poolings: tuple[str, ...] = ("mean",)
    strict: bool = False
    progress: Progress = silent
    precision: str = "auto"

    def extract(
        self,
        target: Target,
        source: Source,
        adapter: Adapter,
        rows: np.ndarray | Sequence[np.ndarray],
        layers: Sequence[str] | None = None,
    ) -> Features:
        """Features of `rows` at `layers` (default: all that the source offers).

        Rows may come in parts: what was computed of the first parts is found again when more are asked for.

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
        parts = [rows] if isinstance(rows, np.ndarray) else rows
        blocks = self._blocks(target, source, adapter, parts, wanted)
        n_computed = sum(len(block.rows) for block in blocks if not block.notes)
        self._compute(target, source, adapter, blocks, pick_precision(self.precision, self.device))
        return replace(self._join(target, blocks, wanted), n_computed=n_computed)

    def n_missing(
        self, target: Target, source: Source, adapter: Adapter, rows: Sequence[np.ndarray], layers: Sequence[str]
    ) -> int:
        """Samples that `extract` would have to compute, given the same."""
        blocks = self._blocks(target, source, adapter, rows, tuple(layers))
        return sum(len(block.rows) for block in blocks if not block.notes)

    def _blocks(
        self, target: Target, source: Source, adapter: Adapter, parts: Sequence[np.ndarray], layers: tuple[str, ...]
    ) -> list[_Block]:
        """All blocks, with their notes where they are in the cache."""
        precision = pick_precision(self.precision, self.device)
        size = BLOCKS[target.modality]
        return [
            self._find(target, source, adapter, part[start : start + size], layers, precision)
            for part in map(np.sort, parts)
            for start in range(0, len(part), size)
        ]

    def _find(
        self,
        target: Target,
        source: Source,
        adapter: Adapter,
        rows: np.ndarray,
        layers: tuple[str, ...],
        precision: str,
    ) -> _Block:
        """One block, with its notes where all of it is in the cache."""
        digests = [target.digests[row] for row in rows]
        keys = {how: block_key(source.card, adapter.path, digests, how, precision) for how in self.poolings}
        found = [self.cache.find(key) if self.cache else None for key in keys.values()]
        have: list[set[str]] = [set(entry[0]["layers"]) if entry else set() for entry in found]
        every = tuple(layer for layer in source.card.layers if layer in set(layers).union(*have))
        block = _Block(rows, keys, every)
        if found[0] and all(known.issuperset(layers) for known in have):
            self._finish(target, block, *found[0])
        return block

    def _finish(
        self,
        target: Target,
        block: _Block,
        notes: dict[str, Any],
        names: frozenset[str],
        arrays: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    ) -> None:
        """Enter what is known of a computed or cached block; without a cache its arrays stay in memory."""
        cache = self.cache
        if self.strict and notes["skipped"]:
            position, reason = notes["skipped"][0]
            raise CorruptSampleError(target.samples.describe(int(block.rows[position])), reason)
        block.notes, block.names = notes, names
        if cache is not None:
            block.read = lambda how, name: cache.array(block.keys[how], name)
        elif arrays is not None:
            block.read = lambda how, name: arrays[how][name]

    def _compute(
        self, target: Target, source: Source, adapter: Adapter, blocks: Sequence[_Block], precision: str
    ) -> None:
        """One forward pass over the blocks that are not at hand; each is kept as soon as it is complete."""
        task = f"{source.card.name} on {target.name}"
        missing = [block for block in blocks if not block.notes]
        total = sum(len(block.rows) for block in blocks)
        done = total - sum(len(block.rows) for block in missing)
        self.progress(task, done, total)
        if not missing:
            return
        run = Run(source, missing[0].layers, self.poolings, self.device, precision)
        count = not any(block.notes.get("flops") for block in blocks)
        started = time.perf_counter()
        tables: list[Tensor] = []
        positions: list[int] = []
        flops: float | None = None
        for block, part, inputs in ahead(self._batches(target, adapter, missing), self.device):
            if inputs is not None:
                run.layers = block.layers
                # of a block's batches, which may be sorted by length, the middle one costs most like the average
                middle = len(positions) <= len(block.rows) // 2 < len(positions) + len(part)
                table, counted = run.batch(inputs, count=count and middle)
                flops, count = (counted, False) if counted is not None else (flops, count)
                tables.append(table)
                positions += part
                continue
            arrays = run.arrays(tables, np.argsort(positions))
            seconds = time.perf_counter() - started
            notes = {
                "layers": block.layers, "edits": dict(block.edits), "skipped": block.skipped, "flops": flops,
                "seconds": seconds, "versions": _versions(),
            }  # fmt: skip
            for how, key in block.keys.items():
                if self.cache:
                    self.cache.write(key, arrays[how], notes)
            self._finish(target, block, notes, frozenset(arrays[self.poolings[0]]), arrays)
            done += len(block.rows)
            self.progress(task, done, total)
            tables, positions, flops, started = [], [], None, time.perf_counter()

    def _batches(
        self, target: Target, adapter: Adapter, blocks: Sequence[_Block]
    ) -> Iterator[tuple[_Block, list[int], Inputs | None]]:
        """Positions in a block and model inputs, batch by batch, and None for the inputs after a block's last.

        Sounds and texts of like length go together.
        """
        for block in blocks:
            rows = block.rows
            # sorting needs samples in memory: a block of texts, a few batches of sounds, one batch of pictures
            window = {"text": len(rows), "audio": 4 * self.batch_size, "image": self.batch_size}[target.modality]
            for start in range(0, len(rows), window):
                loaded: list[tuple[int, Any]] = []
                for position in range(start, min(start + window, len(rows))):
                    try:
                        loaded.append((position, target.samples[int(rows[position])]))
                    except CorruptSampleError as error:
                        if self.strict:
                            raise
                        block.skipped.append((position, error.reason))
                for batch in _alike(loaded, adapter, self.batch_size):
                    inputs = adapter.prepare([sample for _, sample in batch], block.edits)
                    yield block, [position for position, _ in batch], inputs
            yield block, [], None

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
        filled = [(block.read, block.names) for block in blocks if block.read is not None and block.names]
        if not filled:
            raise TargetError(
                f"{target.name}: none of {len(skipped)} samples can be read; the first: "
                f"{skipped[0].sample} ({skipped[0].reason})."
            )
        readers = [read for read, _ in filled]
        flops = [block.notes["flops"] for block in blocks if block.notes["flops"]]
        pooled = {how: Joined(layers, [partial(read, how) for read in readers]) for how in self.poolings}
        logits = [read(self.poolings[0], LOGITS) for read, names in filled if LOGITS in names]
        return Features(
            pooled=pooled,
            source_logits=np.concatenate(logits) if logits else None,
            rows=np.concatenate(kept),
            edits=dict(edits),
            skipped=tuple(skipped),
            seconds=sum(block.notes["seconds"] for block in blocks),
            flops=float(np.mean(flops)) if flops else None,
            versions=tuple({str(v): v for block in blocks if (v := block.notes.get("versions"))}.values()),
        )


@cache
def _versions() -> dict[str, str]:
    """Of the packages that compute features."""
    return {name: version(name) for name in MADE_BY}


def _alike(loaded: list[tuple[int, Any]], adapter: Adapter, most: int) -> Iterator[list[tuple[int, Any]]]:
    """Batches of at most `most` samples of like length; pictures count as equal.

    Where the adapter measures samples, a batch ends before one that would make padding more than a share of it.
    """
    samples = [sample for _, sample in loaded]
    measured = adapter.lengths(samples)
    lengths = measured or [_length(sample) for sample in samples]
    batch: list[tuple[int, Any]] = []
    real = 0
    for place in np.argsort(lengths, kind="stable"):
        real += lengths[place]
        wasteful = measured and len(batch) >= most // FEWEST and (len(batch) + 1) * lengths[place] > PADDED * real
        if batch and (wasteful or len(batch) == most):
            yield batch
            batch, real = [], lengths[place]
        batch.append(loaded[place])
    if batch:
        yield batch


def _length(sample: Any) -> int:
    """How long a sample is, for sorting; pictures count as equal."""
    if isinstance(sample, str):
        return len(sample)
    return sample.samples.shape[-1] if isinstance(sample, Waveform) else 0
