"""Features that were extracted elsewhere, out of a file."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ScoreError

OPTIONAL = ("source_probs", "source_logits", "label_embeddings", "reference_features")
NAMES = ("features", "labels", *OPTIONAL)


@dataclass(frozen=True)
class FeatureFile:
    """What the file holds; None where it has no such array."""

    features: np.ndarray
    labels: np.ndarray | None
    source_probs: np.ndarray | None = None
    source_logits: np.ndarray | None = None
    label_embeddings: np.ndarray | None = None
    reference_features: np.ndarray | None = None

    def given(self) -> dict[str, np.ndarray]:
        """The arrays beside features and labels that the file holds, by name."""
        return {name: array for name in OPTIONAL if (array := getattr(self, name)) is not None}


def read_features(path: str | Path, *, need_labels: bool = True) -> FeatureFile:
    """Read ``features``, ``labels`` and what else of a source is known from .npz or .safetensors.

    The others are ``source_probs``, ``source_logits``, ``label_embeddings`` and ``reference_features``; see `score`.

    Raises
    ------
    ScoreError
        If the file is missing or damaged, is of another kind, or lacks an array.
    """
    path = Path(path)
    if not path.is_file():
        raise ScoreError(f"{path}: there is no such file; expected .npz or .safetensors holding {', '.join(NAMES)}.")
    if path.suffix == ".npz":
        arrays = _read_npz(path)
    elif path.suffix == ".safetensors":
        arrays = _read_safetensors(path)
    else:
        raise ScoreError(f"{path}: unknown kind of file {path.suffix!r}; expected .npz or .safetensors.")
    for name in ("features", "labels") if need_labels else ("features",):
        if name not in arrays:
            raise ScoreError(
                f"{path}: holds no array named {name!r} but {', '.join(arrays) or 'nothing'}; name it so."
            )
    return FeatureFile(arrays["features"], arrays.get("labels"), **{name: arrays.get(name) for name in OPTIONAL})


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError("one array without a name, as numpy.save writes it")
        with file:
            arrays = {name: file[name] for name in file.files}
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray):  # numpy hands over other members of a zip archive as bytes
                raise ValueError(f"{name} is no array")
        return arrays
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise ScoreError(f"{path}: cannot be read ({error}); save plain arrays with numpy.savez.") from None


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ScoreError(f"{path}: cannot be read ({error}); save with safetensors' save_file.") from None
    return {
        name: (t.float() if t.dtype.itemsize < 4 and t.is_floating_point() else t).numpy()
        for name, t in tensors.items()
    }
