"""What scorers that share moments check first: that the moments are of classes, or of the rows beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ScoreError
from ..features.arrays import TASKS, Array, Targets, Task, check_inputs, storage_eps
from ..features.moments import Moments


def moments_of_classes(
    features: Any, labels: Any, moments: Moments | None, *, caller: str, powers: bool = False
) -> Moments:
    """The given moments once it is checked that they are of classes, or those of the features."""
    if moments is None:
        values, targets = check_inputs(features, labels, caller=caller, tasks=("classification",))
        return Moments.from_checked(values, targets, storage_eps(features), powers=powers)
    if moments.classes is None or len(moments.classes) < 2:
        raise ScoreError(
            f"{caller}: these moments are not of 2 classes or more; take them with task='classification'."
        )
    return moments


def rows_and_moments(
    features: Any,
    labels: Any,
    task: Task | None,
    moments: Moments | None,
    *,
    caller: str,
    tasks: Sequence[Task] = TASKS,
    powers: bool = False,
) -> tuple[Array, Targets, Moments]:
    """Checked features and targets with their moments, which must be of these very rows."""
    values, targets = check_inputs(features, labels, caller=caller, task=task, tasks=tasks)
    if moments is None:
        return values, targets, Moments.from_checked(values, targets, storage_eps(features), powers=powers)
    if (moments.n_samples, moments.n_features) != values.shape:
        raise ScoreError(
            f"{caller}: moments of {moments.n_samples} x {moments.n_features} features beside {values.shape[0]} x "
            f"{values.shape[1]} ones; give those of these very rows, since the rows themselves are read too."
        )
    return values, targets, moments
