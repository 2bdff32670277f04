"""Features and labels from outside: checked, copied to float64, and coded; the caller's arrays stay as they are."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np

from ..errors import ScoreError

Task = Literal["classification", "multilabel", "regression"]


def as_float64(values: Any, *, name: str, caller: str) -> np.ndarray:
    """A 2-d float64 array of finite values from a NumPy array or a torch tensor on any device.

    Raises
    ------
    ScoreError
        If it is not 2-d, is empty, or holds NaN or infinite values.
    """
    array = _to_numpy(values)
    if array.ndim != 2 or 0 in array.shape:
        raise ScoreError(
            f"{caller}: {name} must be of shape (n_samples, n_columns) with at least one of each, got {array.shape}."
        )
    if array.dtype.kind not in "fiub":
        raise ScoreError(f"{caller}: {name} must be numbers, got dtype {array.dtype}.")
    array = array.astype(np.float64, copy=False)
    finite = np.isfinite(array)
    if not finite.all():
        rows = np.flatnonzero(~finite.all(axis=1))
        raise ScoreError(
            f"{caller}: {name} hold {np.isnan(array).sum()} NaN and {np.isinf(array).sum()} infinite values in "
            f"{len(rows)} rows, the first at row {rows[0]}; drop those rows or mend what made them."
        )
    return array


def storage_eps(values: Any) -> float:
    """Machine epsilon of the type the values were stored in; half types count as float32.

    Rounding noise of the stored type would otherwise pass for signal in directions that hold none. Half types
    would cut away signal too if taken at their word.
    """
    dtype = str(getattr(values, "dtype", "float64"))
    return float(np.finfo(np.float64 if dtype.endswith(("float64", "int64", "int32")) else np.float32).eps)


def code_labels(labels: Any, *, n_samples: int, caller: str) -> tuple[np.ndarray, tuple[Hashable, ...]]:
    """Dense codes 0..K-1 of the classes that occur, and those classes; labels of any hashable kind.

    Raises
    ------
    ScoreError
        If there is not one label per sample, or fewer than two classes.
    """
    names = _names(labels)
    if len(names) != n_samples:
        raise ScoreError(f"{caller}: {n_samples} rows of features but {len(names)} labels; give one label per row.")
    if any(name is None or name != name for name in names):
        raise ScoreError(f"{caller}: some labels are missing (None or NaN); label or drop those rows.")
    index: dict[Hashable, int] = {}
    codes = np.array([index.setdefault(name, len(index)) for name in names], dtype=np.int64)
    if len(index) < 2:
        raise ScoreError(f"{caller}: all {n_samples} labels are of one class, {names[0]!r}; expected at least 2.")
    order = _sorted_order(list(index))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    classes = list(index)
    return rank[codes], tuple(classes[i] for i in order)


def as_targets(labels: Any, *, n_samples: int, task: Task | None, caller: str) -> tuple[np.ndarray, Task]:
    """Label columns: one-hot for classes, else the given ones as float64; the task is told from them when None.

    A 2-d array or 1-d floating numbers are regression targets (0/1 columns included); anything else is classes.
    """
    array = labels if isinstance(labels, np.ndarray) else _to_numpy(labels) if _is_tensor(labels) else None
    if task is None:
        continuous = array is not None and (array.ndim == 2 or array.dtype.kind == "f")
        task = "regression" if continuous else "classification"
    if task == "classification":
        codes, classes = code_labels(labels, n_samples=n_samples, caller=caller)
        return np.eye(len(classes))[codes], task
    values = np.asarray(_to_numpy(labels))
    values = values[:, None] if values.ndim == 1 else values
    targets = as_float64(values, name="targets", caller=caller)
    if len(targets) != n_samples:
        raise ScoreError(f"{caller}: {n_samples} rows of features but {len(targets)} rows of targets.")
    return targets, task


def _names(labels: Any) -> list[Hashable]:
    """Labels as plain Python values, so that equal ones compare equal whatever array held them."""
    if _is_tensor(labels) or isinstance(labels, np.ndarray):
        array = _to_numpy(labels)
        if array.ndim != 1:
            raise ScoreError(
                f"labels must be of shape (n_samples,), got {array.shape}; classes are one value per row."
            )
        return list(array.tolist())
    return list(labels)


def _sorted_order(classes: Sequence[Any]) -> list[int]:
    """Positions in sorted order, by type and text where values do not compare."""
    try:
        return sorted(range(len(classes)), key=lambda i: classes[i])
    except TypeError:
        return sorted(range(len(classes)), key=lambda i: (type(classes[i]).__name__, str(classes[i])))


def _is_tensor(values: Any) -> bool:
    return hasattr(values, "detach")


def _to_numpy(values: Any) -> np.ndarray:
    """NumPy as it is; a tensor detached, on the CPU, and out of the types that NumPy lacks."""
    if _is_tensor(values):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":
            values = values.float()
        return values.numpy()
    return np.asarray(values)
