"""What is to be learned of a target, and what a trained model is measured by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

Task = Literal["classification", "multilabel", "regression"]
TASKS: tuple[Task, ...] = get_args(Task)
# What results call `accuracy`: a share for every task, higher is better, 1 at most.
METRICS: Mapping[Task, str] = {"classification": "accuracy", "multilabel": "ROC-AUC", "regression": "R²"}
# What a measure is of nothing learned, and what does as well; of accuracy that depends on the classes.
NOTHING: Mapping[str, tuple[float, str]] = {
    "ROC-AUC": (0.5, "drawing lots"), "R²": (0.0, "always naming the mean"),
}  # fmt: skip
# What there is to tell of a sample, in words.
ANSWERS: Mapping[Task, str] = {"classification": "classes", "multilabel": "labels", "regression": "numbers"}


def sorted_classes(classes: Iterable[Any]) -> tuple[Any, ...]:
    """Distinct classes in sorted order, by type and text where they do not compare."""
    distinct = list(dict.fromkeys(classes))
    try:
        return tuple(sorted(distinct))
    except TypeError:
        return tuple(sorted(distinct, key=lambda name: (type(name).__name__, str(name))))


def share_error(share: float, n: int) -> float:
    """Standard error of a share of n samples; of none or all that of the rule of succession, as 0 would be sure."""
    p = share if 0 < share < 1 else (share * n + 1) / (n + 2)
    return math.sqrt(p * (1 - p) / n)


def explained_by_row(columns: NDArray[float64], predicted: NDArray[float64]) -> NDArray[float64]:
    r"""What each row adds to R squared, averaged over columns.

    .. math:: v_i = 1 - \frac{e_i^2}{\overline{d^2}} + (1 - R^2)\Big(\frac{d_i^2}{\overline{d^2}} - 1\Big)

    with errors e and distances d from the mean: the mean of v is R squared, and its variance that of R squared to
    first order, as far as the predictions are given (the delta method for a ratio of means).

    Parameters
    ----------
    columns, predicted : ndarrays of shape (n_samples, n_columns)
        No column is constant.

    Returns
    -------
    ndarray of shape (n_samples,)
    """
    import numpy as np

    wrong, spread = np.square(columns - predicted), np.square(columns - columns.mean(axis=0))
    total = spread.mean(axis=0)
    lost = wrong.mean(axis=0) / total
    return np.asarray(1 - (wrong / total - lost * (spread / total - 1)).mean(axis=1))
