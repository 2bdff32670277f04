"""`from_arrays`: a target from data in memory, and what each modality's samples may look like there."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TargetError, UnknownNameError
from ..tasks import Task
from .target import Modality, Target, Waveform, make_target

if TYPE_CHECKING:
    from PIL.Image import Image

CHANNELS = (1, 3, 4)  # gray, RGB, RGB with opacity
_LOUDEST = 16.0  # full scale is 1 and decoders overshoot a little; 16-bit integers kept as floats reach thousands
Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class Rows:
    """Samples in memory or behind any indexable object, converted when asked for.

    Attributes
    ----------
    values : sequence
    convert : callable
        Gives a PIL image, a `Waveform` or a string, or raises ValueError.
    """

    values: Any
    convert: Convert

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int, /) -> Any:
        return self.convert(self.values[row])

    def digest(self, row: int) -> bytes:
        """SHA-256 of the converted sample."""
        return digest_of(self[row])

    def describe(self, row: int) -> str:
        """The row."""
        return f"row {row}"


def from_arrays(
    samples: Any,
    labels: Iterable[Any],
    *,
    modality: Modality,
    name: str = "arrays",
    groups: Iterable[Hashable] | None = None,
    sample_rate: int | None = None,
    task: Task = "classification",
    columns: Sequence[str] | None = None,
) -> Target:
    """Build a target from data in memory, which is checked row by row but not copied.

    Parameters
    ----------
    samples : array, tensor or sequence, one entry per sample
        - "image": PIL images, or NumPy arrays of shape (n, height, width) or (n, height, width, channels) with 1,
          3 or 4 channels, uint8 or float in 0..1. Torch tensors may also be (n, channels, height, width): the
          channel axis is the one that counts 1, 3 or 4, and it is an error if both could be.
        - "text": strings.
        - "audio": arrays or tensors of shape (n_frames,) or (n_channels, n_frames), float with full scale -1..1,
          all at `sample_rate`; or (array, rate) tuples.
    labels : sequence, one per sample
        Classes: strings, integers, tuples ... Of a multi-label target: 0/1 columns, or a collection of names per
        sample. Of a regression target: a number per sample, or columns of them.
    modality : {"image", "audio", "text"}
    name : str
        Names the target in results.
    groups : sequence of hashable, optional
        Samples of one group stay on one side of every split.
    sample_rate : int, optional
        Frames per second of "audio" samples that do not bring their own.
    task : {"classification", "multilabel", "regression"}
    columns : sequence of str, optional
        Names of the columns of a multi-label or regression target; default: a pandas frame's own, or numbers.

    Returns
    -------
    Target

    Raises
    ------
    TargetError
        If a row has the wrong shape, type or range, holds NaN or infinities, or is empty (the message names the
        row); or for whatever `make_target` refuses.
    """
    rows = Rows(_indexable(samples, modality), converter(modality, sample_rate))
    for row in range(len(rows)):
        try:
            rows[row]
        except (ValueError, OSError) as error:  # OSError: a picture opened by Pillow but not yet read
            raise TargetError(f"{name}: row {row}: {error}.") from None
    return make_target(name, modality, rows, labels, groups, task=task, columns=columns)


def converter(modality: Modality, sample_rate: int | None) -> Convert:
    """What turns one raw entry into a sample of this modality; it raises ValueError on what it cannot take."""
    converters: dict[str, Convert] = {
        "image": to_image,
        "text": to_text,
        "audio": lambda value: to_waveform(value, sample_rate),
    }
    if modality not in converters:
        raise UnknownNameError("modality", modality, converters)
    if sample_rate is not None and not _is_rate(sample_rate):
        raise TargetError(f"sample_rate={sample_rate!r}; expected a positive whole number of frames per second.")
    return converters[modality]


def digest_of(sample: Image | Waveform | str) -> bytes:
    """SHA-256 of a sample's content."""
    if isinstance(sample, str):
        head, content = "text", sample.encode(errors="surrogatepass")
    elif isinstance(sample, Waveform):
        head, content = f"sound {sample.rate} {sample.samples.shape}", sample.samples.tobytes()
    else:
        head, content = f"picture {sample.mode} {sample.size}", sample.tobytes()
    return hashlib.sha256(f"{head}\n".encode() + content).digest()


def to_text(value: Any) -> str:
    """A string that is not blank and is valid Unicode."""
    if not isinstance(value, str):
        raise ValueError(f"is of type {type(value).__name__}; expected a string")
    if not value.strip():
        raise ValueError("the text is empty; drop the row")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("the text holds half a surrogate pair, which is no text; drop the row") from None
    return str(value)


def to_image(value: Any) -> Image:
    """A PIL image, or an array as `from_arrays` says."""
    from PIL import Image

    from .imagefolder import gray_or_rgb

    if isinstance(value, Image.Image):
        return gray_or_rgb(value)
    array = _numbers(value)
    if array.ndim == 3:
        array = _channels_last(array, is_tensor(value))
    if (array.ndim != 2 and (array.ndim != 3 or array.shape[2] not in CHANNELS)) or 0 in array.shape:
        raise ValueError(
            f"has shape {array.shape}; expected (height, width) or (height, width, channels) with 1, 3 or 4 channels"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    return gray_or_rgb(Image.fromarray(_bytes(array)))


def to_waveform(value: Any, sample_rate: int | None) -> Waveform:
    """An (array, rate) tuple, or an array at `sample_rate`, as `from_arrays` says."""
    if isinstance(value, tuple) and len(value) == 2:
        value, own = value
        if not _is_rate(own):
            raise ValueError(f"comes with rate {own!r}; expected (array, rate) with a positive whole number")
        if sample_rate not in (None, own):
            raise ValueError(f"brings its own rate {own}, but sample_rate={sample_rate}; give one of them")
        sample_rate = int(own)
    if sample_rate is None:
        raise ValueError("has no sample rate; give sample_rate=..., or (array, rate) tuples")
    array = np.atleast_2d(_numbers(value))
    if array.dtype.kind != "f":
        raise ValueError(f"is {array.dtype}; expected float with full scale -1..1 (divide int16 by 32768)")
    if array.ndim != 2 or not array.size or array.shape[0] > array.shape[1]:
        raise ValueError(f"has shape {array.shape}; expected (n_frames,) or (n_channels, n_frames)")
    _check_finite(array)
    if (loudest := float(np.abs(array).max())) > _LOUDEST:
        raise ValueError(f"reaches {loudest:g}; expected full scale -1..1")
    return Waveform(np.ascontiguousarray(array, dtype=np.float32), int(sample_rate))


def is_tensor(value: Any) -> bool:
    """Whether `value` is a torch tensor; torch is not loaded to find out."""
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor)


def _indexable(samples: Any, modality: str) -> Any:
    """Arrays, tensors, lists and tuples as they are; other iterables as lists."""
    if isinstance(samples, str | bytes | Mapping) or not isinstance(samples, Iterable):
        raise TargetError(f"samples is of type {type(samples).__name__}; expected a sequence of {modality} samples.")
    return samples if isinstance(samples, np.ndarray | list | tuple) or is_tensor(samples) else list(samples)


def _numbers(value: Any) -> np.ndarray:
    """An array of numbers; tensors come from their device without copying where they can."""
    if is_tensor(value):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()  # NumPy has no bfloat16
    if not isinstance(value, np.ndarray | list):
        raise ValueError(f"is of type {type(value).__name__}; expected an array")
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"is an array of {array.dtype}; expected numbers")
    return array


def _channels_last(array: np.ndarray, from_torch: bool) -> np.ndarray:
    """(height, width, channels), for a tensor of either order."""
    first, last = array.shape[0] in CHANNELS, array.shape[2] in CHANNELS
    if first and last and from_torch:
        raise ValueError(
            f"has shape {array.shape}, whose channels may be first or last; give NumPy arrays with channels last"
        )
    if first and not last:
        if not from_torch:
            raise ValueError(f"has shape {array.shape}, channels first; move them last with np.moveaxis(x, 1, -1)")
        return np.moveaxis(array, 0, -1)
    return array


def _bytes(array: np.ndarray) -> np.ndarray:
    """Pixels as uint8."""
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if array.dtype.kind != "f":
        raise ValueError(f"is {array.dtype}; expected uint8 in 0..255 or float in 0..1")
    _check_finite(array)
    low, high = float(array.min()), float(array.max())
    if low < -1e-3 or high > 1 + 1e-3:  # room for rounding, not for another scale
        raise ValueError(
            f"ranges from {low:g} to {high:g}; expected float in 0..1, not normalised, or uint8 in 0..255"
        )
    return (array.clip(0, 1) * 255).round().astype(np.uint8)


def _check_finite(array: np.ndarray) -> None:
    if not np.isfinite(array).all():
        raise ValueError(f"holds {np.count_nonzero(~np.isfinite(array))} NaN or infinite values")


def _is_rate(rate: Any) -> bool:
    return isinstance(rate, int | np.integer) and not isinstance(rate, bool) and int(rate) > 0
