"""Ridge regression on the features, each sample left out in turn, in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import Array, Task, check_inputs, storage_eps
from ..features.moments import EPS, Moments
from .registry import register_scorer

PENALTIES = np.logspace(-4, 4, 17)  # times the mean variance of a feature, summed over samples


@register_scorer(
    "ridge_loo",
    tasks=("classification", "multilabel", "regression"),
    range="0 to 1 (accuracy); up to 1 (R squared)",
    cost="one Gram matrix, one eigendecomposition, and N D K per penalty",
    is_accuracy=True,
    comparable_across_widths=True,
    misleads="Without signal in balanced classes it falls below chance: a sample left out leaves its class smaller.",
    reference="Allen, Technometrics 1974 (PRESS); Golub, Heath and Wahba, Technometrics 1979",
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
        Penalty on raw features. By default the one with the smallest leave-one-out squared error among 17 from 1e-4 to
        1e4 times the mean eigenvalue of the scatter matrix, so that the scale of the features does not matter.
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
    if alpha is not None and not alpha > 0:
        raise ScoreError(f"ridge_loo: alpha={alpha}; expected a positive penalty.")
    values, targets = check_inputs(features, labels, caller="ridge_loo", task=task)
    if moments is None:
        moments = Moments.from_checked(values, targets, storage_eps(features))
    elif (moments.n_samples, moments.n_features) != values.shape:
        raise ScoreError(
            f"ridge_loo: moments of {moments.n_samples} x {moments.n_features} features beside {values.shape[0]} x "
            f"{values.shape[1]} ones; give those of these very rows, since leaving one out needs the rows themselves."
        )
    columns = targets.columns()
    predicted = left_out_predictions(values, columns, moments, alpha)
    if targets.codes is not None:
        return float(np.mean(predicted.argmax(axis=1) == targets.codes))
    spread = np.square(columns - columns.mean(axis=0)).sum(axis=0)
    if not np.ptp(columns, axis=0).all():
        raise ScoreError("ridge_loo: a target column is constant; there is nothing to explain. Drop it.")
    return float(np.mean(1 - np.square(columns - predicted).sum(axis=0) / spread))


def left_out_predictions(values: Array, columns: Array, moments: Moments, alpha: float | None) -> Array:
    """Each row's prediction by the fit to all other rows, (n_samples, n_columns), at the best or the given penalty."""
    squares, _ = moments.factors
    left = moments.left_vectors(values)
    known = left.T @ columns
    mean = columns.mean(axis=0)
    scale = squares.sum() / moments.n_features if len(squares) else 1.0
    best, best_error = np.tile(mean, (len(columns), 1)), np.inf
    for penalty in PENALTIES * scale if alpha is None else [alpha]:
        shrink = squares / (squares + penalty)
        residual = columns - mean - left @ (shrink[:, None] * known)
        leverage = 1 / len(columns) + np.square(left) @ shrink
        wrong = residual / np.maximum(1 - leverage, EPS)[:, None]
        error = float(np.square(wrong).sum())
        if error < best_error:
            best, best_error = columns - wrong, error
    return best
