"""`Target`: the data someone wants to learn, read lazily."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..errors import CorruptSampleError, TargetError
from ..registry import Registry, Spec
from ..results import Modality, TargetCard

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

    def readable(self, rows: Iterable[int]) -> Iterator[tuple[int, Any]]:
        """Those of `rows` that can be decoded, each with its sample; extraction lists the others."""
        for row in map(int, rows):
            try:
                sample = self.samples[row]
            except CorruptSampleError:
                continue
            yield row, sample

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

    def card(self) -> TargetCard:
        """What results carry of this target; class names as text, told apart by type where the text is the same."""
        names = [str(name) for name in self.classes]
        if len(set(names)) < len(names):
            names = [repr(name) for name in self.classes]
        return TargetCard(
            name=self.name,
            modality=self.modality,
            n_samples=len(self),
            classes=tuple(name.encode(errors="backslashreplace").decode() for name in names),  # JSON is UTF-8
            class_counts=tuple(np.bincount(self.labels).tolist()),
            n_groups=None if self.groups is None else len(np.unique(self.groups)),
            content_sha256=self.content_sha256,
        )


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
        If there are no samples, lengths differ, a label or group is missing (None or NaN) or is no single
        hashable value, there is one class only, or a class has one sample.
    """
    names = _checked(name, "label", labels, samples)
    if not names:
        raise TargetError(f"{name}: no samples found; expected at least 2 classes with 2 samples each.")
    if len({isinstance(label, bool) for label in names if isinstance(label, int | float)}) > 1:
        raise TargetError(f"{name}: labels mix True/False with numbers, and 1 equals True; use one kind.")
    classes, codes = _codes(names)
    counts = np.bincount(codes)
    if len(classes) < 2:
        raise TargetError(
            f"{name}: all {len(names)} samples are of one class, {classes[0]!r}; expected at least 2 classes."
        )
    if single := [repr(classes[k]) for k in np.flatnonzero(counts < 2)]:
        raise TargetError(
            f"{name}: {len(single)} class(es) have one sample only: {', '.join(single[:5])}; "
            "expected at least 2 each. Add samples or drop the class."
        )
    coded_groups = None if groups is None else _codes(_checked(name, "group", groups, samples))[1]
    return Target(name, modality, samples, codes, classes, coded_groups)


def _checked(name: str, kind: str, values: Iterable[Hashable], samples: Samples) -> list[Hashable]:
    """One present and hashable value per sample; NumPy and torch scalars as the Python values they hold."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TargetError(
            f"{name}: {kind}s are a {type(values).__name__}; expected a sequence, one {kind} per sample."
        )
    found = list(values)
    if len(found) != len(samples):
        raise TargetError(f"{name}: {len(samples)} samples but {len(found)} {kind}s; give one {kind} per sample.")
    missing = []
    for row, value in enumerate(found):
        shape = getattr(value, "shape", ())
        if shape == () and hasattr(value, "item"):
            found[row] = value = value.item()  # 0-d tensors hash by identity, so each would be a class of its own
        try:
            hash(value)
        except TypeError:
            shape = None
        if shape != ():
            raise TargetError(
                f"{name}: {samples.describe(row)} has a {kind} of type {type(value).__name__}; expected one value per "
                "sample, such as a string or an integer."
            )
        if value is None or (value != value) is not False:  # NaN, and pandas.NA, differ from themselves
            missing.append(row)
    if missing:
        raise TargetError(
            f"{name}: {samples.describe(missing[0])} has no {kind} ({len(missing)} in all); fill them in or drop them."
        )
    return found


def _codes(names: Sequence[Hashable]) -> tuple[tuple[Hashable, ...], np.ndarray]:
    """Distinct names in sorted order (by type and text where they do not compare), and each one's index."""
    distinct: list[Any] = list(dict.fromkeys(names))
    try:
        distinct.sort()
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
