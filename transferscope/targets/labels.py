"""What is to be learned, checked and coded: a class, several labels, or numbers per sample."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TargetError, UnknownNameError
from ..tasks import TASKS, Task, sorted_classes

if TYPE_CHECKING:
    from .target import Samples

BINS = 10  # of numbers, to divide them evenly
BIN_SIZE = 5  # samples of a bin at least: one for each fifth of a split
SMALLEST, LARGEST = 1e-140, 1e140  # of numbers: sums of their squares fit float64
Coded = tuple[np.ndarray, tuple[Hashable, ...]]


def code_labels(
    name: str, task: Task, labels: Iterable[Any], samples: Samples, columns: Sequence[str] | None
) -> Coded:
    """Labels as `Target.labels` holds them, and what classes or columns are called.

    Raises
    ------
    UnknownNameError
        If there is no such task.
    TargetError
        As `make_target` says.
    """
    if task not in TASKS:
        raise UnknownNameError("task", task, TASKS)
    if task == "classification":
        if columns is not None:
            raise TargetError(f"{name}: columns are of multi-label or regression targets; leave them out for classes.")
        return _code_classes(name, labels, samples)
    columns = columns if columns is not None else getattr(labels, "columns", None)  # a pandas frame brings its own
    if task == "multilabel":
        return _code_sets(name, labels, samples, columns)
    return _code_numbers(name, labels, samples, columns)


def strata_of(task: Task, labels: np.ndarray) -> np.ndarray:
    """A code per sample, 0..K-1: what splits and stages of a race hold in proportion.

    Classes are their own strata. A sample of several labels counts for the rarest of those that set it apart, so that
    rare labels are spread evenly first (after Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label
    data", ECML 2011). Numbers are cut into up to `BINS` bins of equal size, along the first principal component where
    there are several.
    """
    if task == "classification":
        return labels
    if task == "multilabel":
        odd = np.where(labels.mean(axis=0) > 0.5, 1 - labels, labels).astype(bool)
        weights = np.where(odd, odd.sum(axis=0) + np.arange(odd.shape[1]) / odd.shape[1], np.inf)
        rarest = np.where(odd.any(axis=1), weights.argmin(axis=1), odd.shape[1])
        return np.unique(rarest, return_inverse=True)[1].astype(np.int64)
    values = (labels - labels.mean(axis=0)) / labels.std(axis=0)
    first = np.linalg.svd(values, full_matrices=False)[2][0] if values.shape[1] > 1 else np.ones(1)
    n_bins = max(1, min(BINS, len(labels) // BIN_SIZE))
    place = np.empty(len(labels), dtype=np.int64)
    place[np.argsort(values @ first, kind="stable")] = np.arange(len(labels))
    return place * n_bins // len(labels)


def check_present(name: str, kind: str, values: Iterable[Any], samples: Samples) -> list[Hashable]:
    """One present and hashable value per sample; NumPy and torch scalars as the Python values they hold."""
    found = _as_list(name, kind, values, samples)
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
                "sample, such as a string or an integer. For several labels or numbers per sample give "
                'task="multilabel" or task="regression".'
            )
        if value is None or (value != value) is not False:  # NaN, and pandas.NA, differ from themselves
            missing.append(row)
    if missing:
        raise TargetError(
            f"{name}: {samples.describe(missing[0])} has no {kind} ({len(missing)} in all); fill them in or drop them."
        )
    return found


def code_names(names: Sequence[Hashable]) -> tuple[tuple[Hashable, ...], np.ndarray]:
    """Distinct names in sorted order (by type and text where they do not compare), and each one's index."""
    distinct = sorted_classes(names)
    index = {name: code for code, name in enumerate(distinct)}
    return distinct, np.array([index[name] for name in names], dtype=np.int64)


def _as_list(name: str, kind: str, values: Iterable[Any], samples: Samples) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TargetError(
            f"{name}: {kind}s are a {type(values).__name__}; expected a sequence, one {kind} per sample."
        )
    found = list(values)
    if len(found) != len(samples):
        raise TargetError(f"{name}: {len(samples)} samples but {len(found)} {kind}s; give one {kind} per sample.")
    return found


def _code_classes(name: str, labels: Iterable[Any], samples: Samples) -> Coded:
    names = check_present(name, "label", labels, samples)
    if not names:
        raise TargetError(f"{name}: no samples found; expected at least 2 classes with 2 samples each.")
    if len({isinstance(label, bool) for label in names if isinstance(label, int | float)}) > 1:
        raise TargetError(f"{name}: labels mix True/False with numbers, and 1 equals True; use one kind.")
    classes, codes = code_names(names)
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
    return codes, classes


def _code_numbers(name: str, labels: Iterable[Any], samples: Samples, columns: Sequence[str] | None) -> Coded:
    """Columns of numbers whose variance float64 can hold."""
    table = _table(name, labels, samples, "float numbers")
    if not np.isfinite(table).all():
        row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
        raise TargetError(f"{name}: {samples.describe(row)} has a NaN or infinite target; fill it in or drop the row.")
    named = _named(name, columns, table, "value")
    for column, values in zip(named, table.T, strict=True):
        if (values == values[0]).all():
            raise TargetError(f"{name}: target column {column!r} is {values[0]:g} for all samples; drop it.")
        if not SMALLEST < np.abs(values / 2 - values[0] / 2).max() < LARGEST or np.abs(values).max() > LARGEST:
            raise TargetError(
                f"{name}: target column {column!r} goes from {values.min():g} to {values.max():g}, whose squares are "
                "no floating numbers; expected a range of ordinary size. Take its logarithm, or another unit."
            )
    return table, named


def _code_sets(name: str, labels: Iterable[Any], samples: Samples, columns: Sequence[str] | None) -> Coded:
    """Columns of 0 and 1, or a collection of names per sample."""
    if not hasattr(labels, "shape"):
        labels = _as_list(name, "label", labels, samples)
        if any(_holds_names(one) for one in labels):
            labels, columns = _columns_of(name, labels, samples, columns)
    table = _table(name, labels, samples, "0/1 columns, or a list of names per sample")
    named = _named(name, columns, table, "label")
    for column, label in zip(table.T, named, strict=True):
        if len(other := column[~np.isin(column, (0, 1))]):
            raise TargetError(
                f"{name}: column {label!r} holds {other[0]:g}; expected 0 or 1 for every sample. For numbers to "
                'predict give task="regression".'
            )
    for column, label in zip(table.T, named, strict=True):
        n_with = int(column.sum())
        if min(n_with, len(column) - n_with) < 2:
            raise TargetError(
                f"{name}: label {label!r} is set in {n_with} of {len(column)} samples; "
                "expected at least 2 with it and 2 without. Add samples or drop the label."
            )
    return table.astype(np.int64), named


def _holds_names(one: Any) -> bool:
    """A set, or a list that is empty or holds text: not a row of 0 and 1."""
    if isinstance(one, str) or not isinstance(one, Collection) or getattr(one, "shape", None) == ():
        return False
    return isinstance(one, Set) or len(one) == 0 or any(isinstance(label, str) for label in one)


def _columns_of(
    name: str, labels: Sequence[Any], samples: Samples, columns: Sequence[str] | None
) -> tuple[np.ndarray, Sequence[str]]:
    """0/1 columns from collections of names."""
    for row, one in enumerate(labels):
        is_list = isinstance(one, Iterable) and not isinstance(one, str | dict)
        if not is_list or not all(isinstance(label, Hashable) for label in one):
            raise TargetError(
                f"{name}: {samples.describe(row)} has labels of type {type(one).__name__}; expected a list of names."
            )
    known: Sequence[Any] = columns if columns is not None else code_names([n for one in labels for n in one])[0]
    if labels and not known:
        raise TargetError(f"{name}: no sample has any label; expected at least 2 samples with each label.")
    place = {label: at for at, label in enumerate(known)}
    table = np.zeros((len(labels), len(place)))
    for row, one in enumerate(labels):
        for label in one:
            if label not in place:
                raise TargetError(
                    f"{name}: {samples.describe(row)} has label {label!r}; columns are {', '.join(map(str, known))}."
                )
            table[row, place[label]] = 1
    return table, known


def _table(name: str, labels: Any, samples: Samples, expected: str) -> np.ndarray:
    """Float64 of shape (n_samples, n_columns)."""
    if hasattr(labels, "detach"):
        labels = labels.detach().cpu().numpy()
    try:
        given = np.asarray(labels if hasattr(labels, "shape") else list(labels))
        if np.iscomplexobj(given):  # NumPy would warn, and drop the imaginary parts
            raise TypeError("complex numbers")
        found = given.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TargetError(f"{name}: labels are no table of numbers ({error}); expected {expected}.") from None
    found = found[:, None] if found.ndim == 1 else found
    if not len(found):
        raise TargetError(f"{name}: no samples found; expected {expected}.")
    if found.ndim != 2 or 0 in found.shape:
        raise TargetError(f"{name}: labels are of shape {found.shape}; expected {expected}.")
    if len(found) != len(samples):
        raise TargetError(f"{name}: {len(samples)} samples but {len(found)} labels; give one label per sample.")
    return found


def _named(name: str, columns: Sequence[str] | None, table: np.ndarray, default: str) -> tuple[Hashable, ...]:
    """Column names, numbered where none are given."""
    n = table.shape[1]
    named = (
        tuple(columns) if columns is not None else (default,) if n == 1 else tuple(f"{default} {k}" for k in range(n))
    )
    if len(named) != n:
        raise TargetError(f"{name}: {len(named)} names for {n} label columns; give one for each.")
    if twice := [column for place, column in enumerate(named) if column in named[:place]]:
        raise TargetError(f"{name}: label column {twice[0]!r} is named twice; name each column once.")
    return named
