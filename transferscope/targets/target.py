"""`Target`: the data someone wants to learn, read lazily."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from ..errors import TargetError
from ..registry import Registry, Spec

Modality = Literal["image", "audio", "text"]


class Waveform(NamedTuple):
    """One decoded sound."""

    samples: np.ndarray  # float32 of shape (n_channels, n_frames), full scale is -1..1
    rate: int  # frames per second


class Samples(Protocol):
    """Raw samples by row, loaded one at a time.

    `__getitem__` gives a `PIL.Image.Image` (image), a `Waveform` (audio) or a `str` (text), and raises
    `CorruptSampleError` when the sample cannot be decoded.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> Any: ...

    def digest(self, row: int) -> bytes:
        """SHA-256 of the sample's content; must not need decoding when the content is a file."""

    def describe(self, row: int) -> str:
        """The sample's name in messages: a path, or "row 12"."""


@dataclass(frozen=True, eq=False)
class Target:
    """A data set to learn: lazy samples, one class per sample, and optionally a group per sample.

    Attributes
    ----------
    name : str
        The spec it was loaded from, or a name given in Python.
    modality : {"image", "audio", "text"}
    samples : Samples
        Raw samples by row.
    labels : ndarray of shape (n_samples,), int64
        Class codes 0..K-1; every class of `classes` occurs.
    classes : tuple of hashable
        The labels as the person gave them, in sorted order where they sort.
    groups : ndarray of shape (n_samples,), int64, or None
        Samples of one group (a speaker, a kit, near-duplicates) stay on one side of every split.
    """

    name: str
    modality: Modality
    samples: Samples
    labels: np.ndarray
    classes: tuple[Hashable, ...]
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

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
        if self.groups is not None:
            state.update(self.groups.tobytes())
        return state.hexdigest()


def make_target(
    name: str,
    modality: Modality,
    samples: Samples,
    labels: Iterable[Hashable],
    groups: Iterable[Hashable] | None = None,
) -> Target:
    """Check labels and groups, code them, and build the `Target`; every loader ends here.

    Raises
    ------
    TargetError
        If there are no samples, lengths differ, a label is missing (None or NaN), there is one class only,
        or a class has one sample.
    """
    names = list(labels)
    if not names:
        raise TargetError(f"{name}: no samples found; expected at least 2 classes with 2 samples each.")
    if len(names) != len(samples):
        raise TargetError(f"{name}: {len(samples)} samples but {len(names)} labels; give one label per sample.")
    if bad := [row for row, label in enumerate(names) if label is None or label != label]:
        raise TargetError(f"{name}: {samples.describe(bad[0])} has no label ({len(bad)} in all); label or drop them.")
    classes, codes = _codes(names)
    counts = np.bincount(codes)
    if len(classes) < 2:
        raise TargetError(
            f"{name}: all {len(names)} samples are of one class, {classes[0]!r}; expected at least 2 classes."
        )
    if single := [str(classes[k]) for k in np.flatnonzero(counts < 2)]:
        raise TargetError(
            f"{name}: {len(single)} class(es) have one sample only: {', '.join(single[:5])}; "
            "expected at least 2 each. Add samples or drop the class."
        )
    coded_groups = None
    if groups is not None:
        group_names = list(groups)
        if len(group_names) != len(names):
            raise TargetError(f"{name}: {len(names)} samples but {len(group_names)} groups; give one per sample.")
        coded_groups = _codes(group_names)[1]
    return Target(name, modality, samples, codes, classes, coded_groups)


def _codes(names: Sequence[Hashable]) -> tuple[tuple[Hashable, ...], np.ndarray]:
    """Distinct names in sorted order (order of appearance where they do not compare), and each one's index."""
    distinct = list(dict.fromkeys(names))
    try:
        distinct.sort(key=lambda name: name)  # type: ignore[arg-type, return-value]
    except TypeError:
        distinct.sort(key=lambda name: (type(name).__name__, str(name)))
    index = {name: code for code, name in enumerate(distinct)}
    return tuple(distinct), np.array([index[name] for name in names], dtype=np.int64)


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
