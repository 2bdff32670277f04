"""`from_dataset`: a target from a torch dataset of (sample, label) pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import CorruptSampleError, TargetError
from ..tasks import Task
from .arrays import Convert, converter, digest_of
from .target import Modality, Target, make_target

if TYPE_CHECKING:
    from torch.utils.data import Dataset

_READ_TWICE = 4  # samples compared with a second reading, to notice random augmentation


@dataclass(frozen=True)
class DatasetSamples:
    """First elements of a dataset's pairs, loaded when asked for."""

    dataset: Any
    convert: Convert

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int, /) -> Any:
        try:
            pair = self.dataset[row]
        except Exception as error:  # whatever the dataset's own decoder raises
            raise CorruptSampleError(self.describe(row), f"{type(error).__name__}: {error}") from error
        raw, _ = _pair(pair)
        try:
            return self.convert(raw)
        except OSError as error:  # a picture opened by Pillow but not yet read
            raise CorruptSampleError(self.describe(row), str(error)) from None
        except ValueError as error:
            raise TargetError(f"{self.describe(row)}: {error}.") from None

    def digest(self, row: int) -> bytes:
        """SHA-256 of the loaded sample."""
        try:
            return digest_of(self[row])
        except CorruptSampleError as error:
            return hashlib.sha256(error.reason.encode(errors="surrogatepass")).digest()

    def describe(self, row: int) -> str:
        """The row."""
        return f"row {row} of the {type(self.dataset).__name__}"


def from_dataset(
    dataset: Dataset[Any],
    *,
    modality: Modality,
    name: str | None = None,
    labels: Iterable[Any] | None = None,
    groups: Iterable[Hashable] | None = None,
    sample_rate: int | None = None,
    task: Task = "classification",
    columns: Sequence[str] | None = None,
) -> Target:
    """Build a target from any map-style torch dataset of (sample, label) pairs; samples stay where they are.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Samples as in `from_arrays`: PIL images, image tensors in 0..1 (no ``Normalize``), strings, waveforms.
        Reading a row twice must give the same sample: no random augmentation.
    modality : {"image", "audio", "text"}
    name : str, optional
        Names the target in results; default: the class name of the dataset.
    labels : sequence, optional
        One per sample, as in `from_arrays`. Default: ``dataset.targets`` or ``dataset.labels`` where there is one of
        the right length (through ``Subset`` and ``ConcatDataset`` too, and through ``target_transform``); failing
        that, one pass over the dataset, which loads every sample once only to read its label.
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
        Its content hash loads every sample, as nothing else tells what a dataset holds.

    Raises
    ------
    TargetError
        If the dataset has no length or no pairs, samples differ between two readings or do not fit the
        modality; or for whatever `make_target` refuses.
    """
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise TargetError(
            f"dataset is a {type(dataset).__name__} without length or indexing; expected a map-style dataset "
            "(collect an iterable one in a list first)."
        )
    samples = DatasetSamples(dataset, converter(modality, sample_rate))
    name = name or type(dataset).__name__
    for row in range(min(_READ_TWICE, len(samples))):
        if samples.digest(row) != samples.digest(row):
            raise TargetError(
                f"{name}: row {row} differs between two readings; leave random augmentation out of its transform."
            )
    found = _labels(dataset) if labels is None else labels
    if found is None:
        found = [_label(samples, row) for row in range(len(samples))]
    return make_target(name, modality, samples, found, groups, task=task, columns=columns)


def _labels(dataset: Any) -> Sequence[Any] | None:
    """Labels without loading samples, where the dataset keeps them apart."""
    from torch.utils.data import ConcatDataset, Subset

    if isinstance(dataset, Subset):
        whole = _labels(dataset.dataset)
        return None if whole is None else [whole[row] for row in dataset.indices]
    if isinstance(dataset, ConcatDataset):
        parts = [_labels(part) for part in dataset.datasets]
        return None if any(part is None for part in parts) else [label for part in parts for label in part or ()]
    for attribute in ("targets", "labels"):
        labels: Any = getattr(dataset, attribute, None)
        if hasattr(labels, "__getitem__") and hasattr(labels, "__len__") and len(labels) == len(dataset):
            transform = getattr(dataset, "target_transform", None)
            return list(labels) if transform is None else [transform(label) for label in labels]
    return None


def _label(samples: DatasetSamples, row: int) -> Any:
    try:
        return _pair(samples.dataset[row])[1]
    except TargetError:
        raise
    except Exception as error:
        raise TargetError(
            f"{samples.describe(row)}: its label cannot be read ({type(error).__name__}: {error}); give labels=..."
        ) from error


def _pair(item: Any) -> tuple[Any, Any]:
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise TargetError(f"the dataset gives a {type(item).__name__}; expected (sample, label) pairs.")
    return item[0], item[1]
