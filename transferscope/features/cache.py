"""Features on disk, by content: what has been computed once is never computed again.

One entry is a block of samples under one (source weights, adapter, pooling), with the layers computed so far.
Its name is a hash of everything that decides the values, and the JSON beside it repeats that in clear for a
person to read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CacheError
from ..results import SourceCard, Step
from ..storage import cache_dir, write_cache

FORMAT = 3  # of an entry; a change of what is stored or how it is computed must raise it


def block_key(
    card: SourceCard, path: Sequence[Step], digests: Sequence[bytes], pooling: str, precision: str = "float32"
) -> dict[str, Any]:
    """Everything that decides a block's values. Leaving a term out means reading another run's features.

    Batch size, device and prefetching stay out: they do not change values beyond rounding. So do the layers:
    each is stored under its own name.
    """
    return {
        "format": FORMAT,
        "architecture": card.architecture,
        "weights_sha256": card.weights_sha256,
        "input": dict(card.input),
        "path": [asdict(step) for step in path],
        "samples_sha256": hashlib.sha256(b"".join(digests)).hexdigest(),
        "n_samples": len(digests),
        "pooling": pooling,
        "dtype": precision,
    }


@dataclass(frozen=True)
class FeatureCache:
    """Blocks of features in a folder.

    Attributes
    ----------
    folder : Path
        Two files per block: ``KEY.safetensors`` and ``KEY.json``.
    """

    folder: Path

    @classmethod
    def default(cls) -> FeatureCache:
        """The cache in the user's cache folder."""
        return cls(cache_dir() / "features")

    def find(self, key: Mapping[str, Any]) -> tuple[dict[str, Any], frozenset[str]] | None:
        """Notes of the block and the names of its arrays, or None if it was never finished.

        Raises
        ------
        CacheError
            If a file is damaged.
        """
        data, notes = self._files(key)
        if not notes.exists():  # written last: without it the block was never finished
            return None
        with _opened(data) as arrays:
            return json.loads(notes.read_text())["notes"], frozenset(arrays.keys())

    def array(self, key: Mapping[str, Any], name: str) -> np.ndarray:
        """One array of a block, the only one that is read.

        Raises
        ------
        CacheError
            If the file is gone or damaged.
        """
        with _opened(self._files(key)[0]) as arrays:
            return arrays.get_tensor(name)

    def write(self, key: Mapping[str, Any], arrays: Mapping[str, np.ndarray], notes: Mapping[str, Any]) -> None:
        """Store a finished block; a reader sees all of it or nothing."""
        from safetensors.numpy import save

        data, text = self._files(key)
        write_cache(data, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
        write_cache(text, json.dumps({"key": key, "notes": notes}, indent=1).encode())

    def _files(self, key: Mapping[str, Any]) -> tuple[Path, Path]:
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
        folder = self.folder / name[:2]
        return folder / f"{name}.safetensors", folder / f"{name}.json"


@contextmanager
def _opened(data: Path) -> Iterator[Any]:
    """A block's arrays; opening it reads and checks names and sizes alone."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(data, framework="numpy") as arrays:
            yield arrays
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CacheError(
            f"the cached features {data} are damaged ({error}); delete that file and run again."
        ) from None
