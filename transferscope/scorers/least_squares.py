"""Least squares: what of the targets no linear map of the features explains."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..features.arrays import Task, check_inputs, storage_eps
from ..features.moments import EPS, Moments
from .registry import register_scorer

TASKS: tuple[Task, ...] = ("multilabel", "regression")


def _saturated(moments: Moments, value: float) -> str | None:
    if moments.rank < moments.n_samples - 1:
        return None
    return (
        f"Saturated: {moments.n_samples} samples span all of their {moments.n_samples - 1} directions, so every "
        "target is fitted without a residual; ridge_loo leaves samples out."
    )


@register_scorer(
    "least_squares",
    tasks=TASKS,
    range="minus infinity to 0",
    cost="one Gram matrix and one eigendecomposition: N D^2 + D^3",
    comparable_across_widths=False,
    meaning=(
        "How far a linear fit to the features is from the labels: its mean squared error with a minus, so that 0 "
        "would be perfect."
    ),
    misleads="Nothing is left out: more features always fit better, and as many as samples fit anything.",
    reference="Gholami et al., ICCV 2023 (ETran)",
    saturated=_saturated,
)
def least_squares(
    features: Any, labels: Any, *, intercept: bool = True, task: Task | None = None, moments: Moments | None = None
) -> float:
    r"""Minus the mean squared residual of the least-squares fit, over samples and target columns.

    With U the left singular vectors of the centred features, cut at their numerical rank, and T the C centred target
    columns, :math:`-\left(\lVert T\rVert_F^2 - \lVert U'T\rVert_F^2\right) / (NC)`. Columns of larger spread weigh
    more: bring targets to one scale first.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : float targets of shape (n_samples,) or (n_samples, n_columns), or 0/1 columns
    intercept : bool, default=True
        False centres neither side, as the paper's formula does.
    task : {"multilabel", "regression"}, optional
        Told from the labels when not given.
    moments : Moments, optional
        Of these features and labels, to share work between scorers; the arrays themselves are not read then.

    Returns
    -------
    score : float
        At most 0, in squared units of the targets; higher is better. A constant target column counts as fitted.
        Invariant to invertible linear maps of the features, and with the intercept to shifts of both sides. With
        n_samples <= n_features it is 0 whatever the targets.

    Raises
    ------
    ScoreError
        If shapes disagree, values are not finite, or the task is classification.

    Notes
    -----
    It is a difference of sums, so a residual below n_samples * 2.2e-16 of the sum of squared targets counts as 0.

    References
    ----------
    Gholami et al., "ETran: Energy-Based Transferability Estimation", ICCV 2023.
    """
    if moments is None:
        values, targets = check_inputs(features, labels, caller="least_squares", task=task, tasks=TASKS)
        moments = Moments.from_checked(values, targets, storage_eps(features))
    n, total = moments.n_samples, moments.target_square
    spectrum = moments.centred if intercept else moments.uncentred
    if len(spectrum.values) == n - intercept:  # as many directions as samples explain everything
        return 0.0
    spread = total - moments.target_sum**2 / n if intercept else total
    residual = spread - np.square(spectrum.projections).sum(axis=0)
    return -float(np.where(residual > n * EPS * total, residual, 0.0).mean()) / n
