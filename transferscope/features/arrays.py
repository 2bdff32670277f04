"""Features and labels from outside: checked, as float64, and coded; the caller's arrays stay as they are."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoreError, UnknownNameError
from ..tasks import TASKS, Task, sorted_classes

__all__ = [
    "TASKS", "Array", "Checked", "Targets", "Task", "as_float64", "check_inputs", "check_task", "sorted_classes",
    "storage_eps",
]  # fmt: skip

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Targets:
    """What features are scored against: classes as codes, or columns of numbers.

    Attributes
    ----------
    task : Task
    codes : ndarray of shape (n_samples,), or None
        Dense class numbers 0..K-1; None for other tasks.
    classes : tuple
        What each code stands for, in sorted order; empty for other tasks.
    values : ndarray of shape (n_samples, n_columns), or None
        The columns of other tasks.
    """

    task: Task
    codes: NDArray[np.int64] | None = None
    classes: tuple[Hashable, ...] = ()
    values: Array | None = None

    def __len__(self) -> int:
        kept = self.values if self.codes is None else self.codes
        assert kept is not None
        return len(kept)

    @property
    def n_columns(self) -> int:
        """Number of label columns: of classes, or of targets."""
        return len(self.classes) if self.values is None else self.values.shape[1]

    def columns(self, rows: slice = slice(None)) -> Array:
        """Label columns of some rows, (n_rows, n_columns): one-hot for classes."""
        if self.codes is None:
            assert self.values is not None
            return self.values[rows]
        return np.eye(len(self.classes))[self.codes[rows]]

    def sparse_columns(self, rows: slice) -> Any:
        """The same, of classes as a scipy sparse array, so that sums by class cost one addition per feature."""
        if self.codes is None:
            return self.columns(rows)
        from scipy.sparse import csr_array

        codes = self.codes[rows]
        return csr_array((np.ones(len(codes)), codes, np.arange(len(codes) + 1)), (len(codes), self.n_columns))

    def take(self, rows: NDArray[np.int64]) -> Targets:
        """The targets of these rows, with the classes that occur among them."""
        if self.codes is None:
            assert self.values is not None
            return Targets(self.task, values=self.values[rows])
        present, codes = np.unique(self.codes[rows], return_inverse=True)
        return Targets(self.task, codes, tuple(self.classes[code] for code in present))


class Checked(np.ndarray):
    """Features that have been checked and are float64, and remember the precision they were stored in.

    Several scorers of the same features need not check them several times.
    """

    eps: float

    @classmethod
    def of(cls, values: Array, eps: float) -> Checked:
        """A view of what `check_inputs` returned; `eps` is `storage_eps` of the features as they came."""
        checked = values.view(cls)
        checked.eps = eps
        return checked

    def __array_finalize__(self, origin: Any) -> None:
        self.eps = getattr(origin, "eps", float(np.finfo(np.float64).eps))


def check_inputs(
    features: Any,
    labels: Any,
    *,
    caller: str,
    task: Task | None = None,
    tasks: Sequence[Task] = TASKS,
    fewest_classes: int = 2,
    name: str = "features",
) -> tuple[Array, Targets]:
    """Features as float64 and their targets, once everything a scorer takes for granted has been checked.

    Parameters
    ----------
    features, labels
        As the caller's docstring says. The task is told from `labels` when it is None: 0/1 columns are multi-label,
        other 2-d arrays and floating numbers are regression targets, and anything else is classes.
    caller, name : str
        For messages: the scorer, and what it calls its matrix.
    tasks : sequence of Task
        Those the scorer is defined for.
    fewest_classes : int, default=2

    Raises
    ------
    ScoreError
        If shapes or lengths disagree, values are not finite numbers, labels are missing, there are too few
        classes, or the scorer is not defined for the task.
    UnknownNameError
        If there is no such task.
    """
    values = as_float64(features, name=name, caller=caller)
    if task is None:
        told = _tell_task(labels)
        task = "classification" if tuple(tasks) == ("classification",) and told == "regression" else told
    check_task(task, tasks, caller)
    if task == "classification":
        codes, classes = _code_labels(labels, len(values), caller, name)
        if len(classes) < fewest_classes:
            raise ScoreError(
                f"{caller}: all {len(codes)} labels are of one class, {classes[0]!r}; expected at least 2 classes."
            )
        return values, Targets(task, codes, classes)
    columns = _to_numpy(labels, name="targets", caller=caller)
    columns = as_float64(columns[:, None] if columns.ndim == 1 else columns, name="targets", caller=caller)
    if len(columns) != len(values):
        raise ScoreError(
            f"{caller}: {len(values)} rows of {name} but {len(columns)} rows of targets; give one per sample."
        )
    return values, Targets(task, values=columns)


def check_task(task: str, tasks: Sequence[Task], caller: str) -> None:
    """Refuse a task that does not exist, or that `caller` is not defined for."""
    if task not in TASKS:
        raise UnknownNameError("task", task, TASKS)
    if task not in tasks:
        raise ScoreError(f"{caller} is not defined for {task}; it is for {', '.join(tasks)}.")


def as_float64(values: Any, *, name: str, caller: str) -> Array:
    """A 2-d float64 array of finite values from a NumPy array or a torch tensor on any device.

    Raises
    ------
    ScoreError
        If it is not 2-d, is empty, is not numeric, or holds NaN or infinite values.
    """
    if isinstance(values, Checked) and values.ndim == 2:
        return values.view(np.ndarray)
    array = _to_numpy(values, name=name, caller=caller)
    if array.ndim != 2 or 0 in array.shape:
        raise ScoreError(
            f"{caller}: {name} are of shape {array.shape}; expected (n_samples, n_columns) with at least one of each. "
            "Pool tokens or pixels to one row per sample first."
        )
    if array.dtype.kind not in "fiub":
        raise ScoreError(f"{caller}: {name} are of dtype {array.dtype}; expected real numbers.")
    array = array.astype(np.float64, copy=False)
    finite = np.isfinite(array)
    if not finite.all():
        rows = np.flatnonzero(~finite.all(axis=1))
        raise ScoreError(
            f"{caller}: {name} hold {np.isnan(array).sum()} NaN and {np.isinf(array).sum()} infinite values in "
            f"{len(rows)} rows, the first at row {rows[0]}; expected finite numbers. Drop those rows or mend what "
            "made them."
        )
    return array


def storage_eps(values: Any) -> float:
    """Machine epsilon of the type the values were stored in: float64's for whole numbers, which are exact.

    Half types count as float32: they come out of arithmetic that keeps more, and taken at their word they would
    cut signal away.
    """
    if isinstance(values, Checked):
        return values.eps
    dtype = str(getattr(values, "dtype", "float64"))
    return float(np.finfo(np.float32 if "float" in dtype and "64" not in dtype else np.float64).eps)


def _code_labels(
    labels: Any, n_samples: int, caller: str, name: str
) -> tuple[NDArray[np.int64], tuple[Hashable, ...]]:
    """Dense codes 0..K-1 of the classes that occur, and those classes; labels of any hashable kind."""
    found = _names(labels, caller)
    if isinstance(found, np.ndarray) and len(found) == n_samples:  # whole numbers or text: nothing can be missing
        present, codes = np.unique(found, return_inverse=True)
        return codes.astype(np.int64), tuple(present.tolist())
    found = list(found)
    if len(found) != n_samples:
        raise ScoreError(f"{caller}: {n_samples} rows of {name} but {len(found)} labels; give one label per row.")
    missing = [row for row, label in enumerate(found) if label is None or (label != label) is not False]
    if missing:  # NaN, and pandas.NA, differ from themselves
        raise ScoreError(
            f"{caller}: {len(missing)} labels are missing (None or NaN), the first at row {missing[0]}; "
            "label or drop those rows."
        )
    fraction = next((label for label in found if isinstance(label, float) and not label.is_integer()), None)
    if fraction is not None:
        raise ScoreError(
            f"{caller}: labels hold fractions such as {fraction:g}; expected classes. For numeric targets use a "
            "scorer of regression; if these are class names, give them as strings."
        )
    classes = sorted_classes(found)
    index = {label: code for code, label in enumerate(classes)}
    return np.array([index[label] for label in found], dtype=np.int64), classes


def _names(labels: Any, caller: str) -> list[Any] | np.ndarray:
    """Labels as plain Python values, so that equal ones compare equal whatever held them; or whole arrays of such."""
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise ScoreError(f"{caller}: labels are a {type(labels).__name__}; expected a sequence, one per sample.")
    if hasattr(labels, "dtype") and hasattr(labels, "ndim"):
        array = _to_numpy(labels, name="labels", caller=caller)
        if array.ndim != 1:
            raise ScoreError(f"{caller}: labels are of shape {array.shape}; expected one class per row, (n_samples,).")
        return array if array.dtype.kind in "iubU" else list(array.tolist())
    # 0-d tensors hash by identity, so each would be a class of its own
    found = [label.item() if getattr(label, "shape", None) == () else label for label in labels]
    for row, label in enumerate(found):
        try:
            hash(label)
        except TypeError:
            raise ScoreError(
                f"{caller}: the label at row {row} is a {type(label).__name__}; expected one hashable value, "
                "such as a string or an integer."
            ) from None
    return found


def _tell_task(labels: Any) -> Task:
    """The task that labels are for, from their shape and type."""
    if hasattr(labels, "to_numpy"):  # a pandas frame or series
        labels = labels.to_numpy()
    if not hasattr(labels, "dtype"):
        first = next(iter(labels), None) if isinstance(labels, Sequence) else None
        if not isinstance(first, float | list | np.ndarray | np.floating):
            return "classification"
        try:
            labels = np.asarray(labels)
        except ValueError:  # of unequal lengths; what expects classes will say so
            return "classification"
    if getattr(labels, "ndim", 1) == 2:
        kind = str(labels.dtype)
        return "multilabel" if "float" not in kind and bool(((labels == 0) | (labels == 1)).all()) else "regression"
    return "regression" if "float" in str(labels.dtype) else "classification"


def _to_numpy(values: Any, *, name: str, caller: str) -> np.ndarray:
    """NumPy as it is; a tensor detached, on the CPU, and out of the types that NumPy lacks."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":
            values = values.float()
        return np.asarray(values.numpy())
    try:
        return np.asarray(values)
    except ValueError:
        raise ScoreError(f"{caller}: rows of {name} are of unequal lengths; expected a rectangular array.") from None
