"""`Target`: the data someone wants to learn, read lazily."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..errors import CorruptSampleError
from ..registry import Registry, Spec
from ..results import Modality, TargetCard
from ..tasks import METRICS, Task
from .labels import check_present, code_labels, code_names, strata_of

__all__ = ["TARGETS", "Modality", "Samples", "Target", "TargetLoader", "Waveform", "load_target", "make_target"]


class Waveform(NamedTuple):
    """One decoded sound."""

    samples: np.ndarray  # float32 of shape (n_channels, n_frames), full scale is -1..1
    rate: int  # frames per second


class Samples(Protocol):
    """Raw samples by row, loaded one at a time.

    `__getitem__` gives a `PIL.Image.Image` of mode "L" or "RGB" (image), a `Waveform` (audio) or a `str` (text),
    and raises `CorruptSampleError` when the sample cannot be decoded.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> Any: ...

    def digest(self, row: int) -> bytes:
        """SHA-256 of the sample's content; must not need decoding when the content is a file."""

    def describe(self, row: int) -> str:
        """The sample's name in messages: a path, or "row 12"."""


@dataclass(frozen=True, eq=False)
class Target:
    """A data set to learn: lazy samples, what to tell of each, and optionally a group per sample.

    Attributes
    ----------
    name : str
        The spec it was loaded from, or a name given in Python.
    modality : {"image", "audio", "text"}
    samples : Samples
        Raw samples by row.
    labels : ndarray of shape (n_samples,) or (n_samples, n_columns)
        By task: class codes 0..K-1, all of which occur (int64); a column of 0 and 1 per label (int64); numbers to
        predict (float64).
    classes : tuple of hashable
        The classes as the person gave them, in sorted order where they sort; or the names of the columns.
    groups : ndarray of shape (n_samples,), int64, or None
        Samples of one group (a speaker, a kit, near-duplicates) stay on one side of every split.
    task : {"classification", "multilabel", "regression"}
    """

    name: str
    modality: Modality
    samples: Samples
    labels: np.ndarray
    classes: tuple[Hashable, ...]
    groups: np.ndarray | None = None
    task: Task = "classification"

    def __len__(self) -> int:
        return len(self.labels)

    def readable(self, rows: Iterable[int]) -> Iterator[tuple[int, Any]]:
        """Those of `rows` that can be decoded, each with its sample; extraction lists the others."""
        for row in map(int, rows):
            try:
                sample = self.samples[row]
            except CorruptSampleError:
                continue
            yield row, sample

    @property
    def metric(self) -> str:
        """What a model trained on it is measured by."""
        return METRICS[self.task]

    @cached_property
    def strata(self) -> np.ndarray:
        """A code per sample, 0..K-1, which splits hold in proportion: the class, or what stands for it."""
        return strata_of(self.task, self.labels)

    @cached_property
    def digests(self) -> tuple[bytes, ...]:
        """One SHA-256 per sample, of its content alone."""
        return tuple(self.samples.digest(row) for row in range(len(self)))

    @cached_property
    def content_sha256(self) -> str:
        """SHA-256 of samples, labels, classes and groups: two targets with the same hash are the same data."""
        state = hashlib.sha256(self.modality.encode())
        for digest in self.digests:
            state.update(digest)
        state.update(self.labels.tobytes())
        state.update(repr([str(name) for name in self.classes]).encode())
        if self.task != "classification":
            state.update(self.task.encode())
        if self.groups is not None:
            state.update(self.groups.tobytes())
        return state.hexdigest()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of classes or columns as text, told apart by type where the text is the same."""
        names = [str(name) for name in self.classes]
        if len(set(names)) < len(names):
            names = [repr(name) for name in self.classes]
        return tuple(name.encode(errors="backslashreplace").decode() for name in names)  # JSON is UTF-8

    def tell(self, row: int) -> str:
        """What is to be learned of a row, in words."""
        found = self.labels[row]
        if self.task == "classification":
            return f"class {self.names[found]}"
        if self.task == "regression":
            return ", ".join(f"{name} {value:.4g}" for name, value in zip(self.names, found, strict=True))
        held = [name for name, has in zip(self.names, found, strict=True) if has]
        return f"labels {', '.join(held)}" if held else "no label"

    def card(self) -> TargetCard:
        """What results carry of this target."""
        return TargetCard(
            name=self.name,
            modality=self.modality,
            n_samples=len(self),
            classes=self.names,
            class_counts=self._counts(),
            n_groups=None if self.groups is None else len(np.unique(self.groups)),
            content_sha256=self.content_sha256,
            task=self.task,
            ranges=self._ranges(),
        )

    def _counts(self) -> tuple[int, ...]:
        if self.task == "regression":
            return ()
        return tuple((self.labels.sum(axis=0) if self.labels.ndim == 2 else np.bincount(self.labels)).tolist())

    def _ranges(self) -> tuple[tuple[float, float], ...]:
        if self.task != "regression":
            return ()
        return tuple(zip(self.labels.min(axis=0).tolist(), self.labels.max(axis=0).tolist(), strict=True))


def make_target(
    name: str,
    modality: Modality,
    samples: Samples,
    labels: Iterable[Any],
    groups: Iterable[Hashable] | None = None,
    *,
    task: Task = "classification",
    columns: Sequence[str] | None = None,
) -> Target:
    """Check labels and groups, code them, and build the `Target`; every loader ends here.

    Raises
    ------
    UnknownNameError
        If there is no such task.
    TargetError
        If there are no samples, lengths differ, a label or group is missing (None or NaN) or is no single
        hashable value, there is one class only, or a class has one sample; of several labels a sample, if one of them
        is set or missing in fewer than two samples; of numbers, if a column holds infinite values or one value only.
    """
    coded, classes = code_labels(name, task, labels, samples, columns)
    coded_groups = None if groups is None else code_names(check_present(name, "group", groups, samples))[1]
    return Target(name, modality, samples, coded, classes, coded_groups, task)


class TargetLoader(Protocol):
    """Builds a `Target` from a parsed spec."""

    def __call__(self, spec: Spec) -> Target: ...


TARGETS: Registry[TargetLoader] = Registry("target loader", "transferscope.targets")


def load_target(target: str | Target) -> Target:
    """Load a target by its spec, for example ``imagefolder:photos/train``; a `Target` is passed through."""
    if isinstance(target, Target):
        return target
    spec = Spec.parse(target, kind="target", example="imagefolder:photos/train")
    return TARGETS[spec.scheme](spec)
