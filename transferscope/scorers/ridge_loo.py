"""Ridge regression on the features, each sample left out in turn, in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import Task, as_float64, as_targets
from ..features.moments import Array, Moments
from .registry import register_scorer

PENALTIES = np.logspace(-4, 4, 17)  # times the mean variance of a feature, summed over samples


@register_scorer(
    "ridge_loo",
    needs="moments",
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
        Accuracy in [0, 1], or R squared, at most 1 and averaged over columns. Higher is better.

    Raises
    ------
    ScoreError
        If `alpha` is not positive, shapes disagree, or values are not finite.
    """
    if alpha is not None and not alpha > 0:
        raise ScoreError(f"ridge_loo: alpha={alpha}; expected a positive penalty.")
    values = as_float64(features, name="features", caller="ridge_loo")
    targets, told = as_targets(labels, n_samples=len(values), task=task, caller="ridge_loo")
    if moments is None:
        moments = Moments.of(features, targets, task="regression", caller="ridge_loo")
    predicted = left_out_predictions(values, targets, moments, alpha)
    if told == "classification":
        return float(np.mean(predicted.argmax(axis=1) == targets.argmax(axis=1)))
    spread = np.square(targets - targets.mean(axis=0)).sum(axis=0)
    if not spread.all():
        raise ScoreError("ridge_loo: a target column is constant; there is nothing to explain. Drop it.")
    return float(np.mean(1 - np.square(targets - predicted).sum(axis=0) / spread))


def left_out_predictions(values: Array, targets: Array, moments: Moments, alpha: float | None) -> Array:
    """Each row's prediction by the fit to all other rows, (n_samples, n_columns), at the best or the given penalty."""
    squares, _ = moments.factors
    left = moments.left_vectors(values)
    known = left.T @ targets
    mean = targets.mean(axis=0)
    scale = squares.sum() / moments.n_features if len(squares) else 1.0
    best, best_error = np.tile(mean, (len(targets), 1)), np.inf
    for penalty in PENALTIES * scale if alpha is None else [alpha]:
        shrink = squares / (squares + penalty)
        residual = targets - mean - left @ (shrink[:, None] * known)
        leverage = 1 / len(targets) + np.square(left) @ shrink
        wrong = residual / np.maximum(1 - leverage, np.finfo(np.float64).eps)[:, None]
        error = float(np.square(wrong).sum())
        if error < best_error:
            best, best_error = targets - wrong, error
    return best
