"""Ridge regression on the features, each sample left out in turn, in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoreError
from ..features.arrays import Array, Task
from ..features.moments import EPS, Moments
from ..tasks import explained_by_row
from .hat import Hat
from .inputs import rows_and_moments
from .registry import register_scorer


def _per_sample(features: Any, labels: Any, *, task: Task | None = None, moments: Moments | None = None) -> Array:
    """Whether each sample is classified rightly; of R squared what a sample adds to first order.

    That the fits differ with the samples is not in it: below ten samples a feature errors are a fifth too small.
    """
    values, targets, moments = rows_and_moments(features, labels, task, moments, caller="ridge_loo")
    if targets.codes is not None:
        return _hits(values, targets.codes, moments, None)
    columns = targets.columns()
    _refuse_constant(columns)
    return explained_by_row(columns, left_out_predictions(values, columns, moments, None))


@register_scorer(
    "ridge_loo",
    tasks=("classification", "multilabel", "regression"),
    range="0 to 1 (accuracy); up to 1 (R squared)",
    cost="one Gram matrix, one eigendecomposition, and N D (D + K)",
    is_accuracy=True,
    comparable_across_widths=True,
    meaning=(
        "The share of samples that a linear classifier on the frozen features gets right when each is left out of "
        "its fitting in turn; for numbers, the share of their variation that is explained."
    ),
    misleads="Without signal in balanced classes it falls below chance: a sample left out leaves its class smaller.",
    reference="Allen, Technometrics 1974 (PRESS); Golub, Heath and Wahba, Technometrics 1979",
    per_sample=_per_sample,
)
def ridge_loo(
    features: Any, labels: Any, *, alpha: float | None = None, task: Task | None = None, moments: Moments | None = None
) -> float:
    r"""Leave-one-out accuracy of a ridge classifier on one-hot columns; R squared for other targets.

    With centred features :math:`X = USV'` and leverages :math:`h_i = 1/N + \sum_j u_{ij}^2 s_j^2/(s_j^2+\alpha)`,
    the prediction for a sample that was left out is :math:`t_i - e_i/(1 - h_i)`: exact, with an unpenalised
    intercept.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : classes of shape (n_samples,), or float targets of shape (n_samples,) or (n_samples, n_columns)
    alpha : float, optional
        Penalty on raw features. By default the one with the smallest generalised cross-validation error among 17 from
        1e-4 to 1e4 times the mean eigenvalue of the scatter matrix, so that the scale of the features does not matter.
    task : {"classification", "multilabel", "regression"}, optional
        Told from the labels when not given.
    moments : Moments, optional
        Of these features and labels, to share work between scorers.

    Returns
    -------
    score : float
        Accuracy in [0, 1], or R squared, at most 1 and averaged over columns. Higher is better. Misleads where there
        is no signal: in balanced classes it falls to 0, not to chance, since a left-out sample's class is rarer.

    Raises
    ------
    ScoreError
        If `alpha` is not positive, shapes disagree, values are not finite, or a target column is constant.

    References
    ----------
    Allen, "The Relationship between Variable Selection and Data Augmentation and a Method for Prediction",
    Technometrics 1974; Golub, Heath and Wahba, "Generalized Cross-Validation", Technometrics 1979.
    """
    values, targets, moments = rows_and_moments(features, labels, task, moments, caller="ridge_loo")
    if alpha is not None and not alpha > 0:
        raise ScoreError(f"ridge_loo: alpha={alpha}; expected a positive penalty.")
    if targets.codes is not None:
        return float(_hits(values, targets.codes, moments, alpha).mean())
    columns = targets.columns()
    _refuse_constant(columns)
    return float(explained_by_row(columns, left_out_predictions(values, columns, moments, alpha)).mean())


def _refuse_constant(columns: Array) -> None:
    if not np.ptp(columns, axis=0).all():
        raise ScoreError("ridge_loo: a target column is constant; there is nothing to explain. Drop it.")


def left_out_predictions(values: Array, columns: Array, moments: Moments, alpha: float | None) -> Array:
    """Each row's prediction by the fit to all other rows, (n_samples, n_columns)."""
    hat = Hat.of(values, moments, alpha)
    residual = columns - columns.mean(axis=0) - hat.fitted
    left = np.maximum(1 - 1 / len(columns) - hat.leverages, EPS)
    return np.asarray(columns - residual / left[:, None])


def _hits(values: Array, codes: NDArray[np.int64], moments: Moments, alpha: float | None) -> Array:
    """1 for every sample whose largest left-out prediction is that of its class; no one-hot columns are made."""
    hat, n = Hat.of(values, moments, alpha), len(values)
    left = np.maximum(1 - 1 / n - hat.leverages, EPS)
    predicted = hat.fitted + moments.target_sum / n
    predicted /= left[:, None]
    predicted[np.arange(n), codes] += 1 - 1 / left
    return np.asarray(predicted.argmax(axis=1) == codes, dtype=float)
