"""Cross-fitted LogME: the log predictive density of samples that were held out."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import TASKS, Array, Task, check_inputs, storage_eps
from ..features.moments import Moments
from .evidence import Evidence, maximise
from .jackknife import assign_blocks
from .registry import register_scorer

SMALLEST = 1e-6  # predictive variance in shares of a column's mean square: copies of fitted rows have none


def _per_sample(features: Any, labels: Any, *, n_folds: int = 5, task: Task | None = None, seed: int = 0) -> Array:
    """Mean over columns of each sample's log predictive density, fitted without its fold."""
    values, targets = check_inputs(features, labels, caller="logme_cv", task=task)
    if not 2 <= n_folds <= len(values):
        raise ScoreError(f"logme_cv: n_folds={n_folds} with {len(values)} samples; expected 2 to as many as samples.")
    folds = assign_blocks(targets, seed, n_folds)
    parts = [Moments.from_checked(values[fold], targets.take(fold), storage_eps(features)) for fold in folds]
    others = [[part for place, part in enumerate(parts) if place != number] for number in range(len(parts))]
    trains = [Moments.merge(rest).over(targets.classes or None) for rest in others]
    kept = np.flatnonzero(np.all([train.target_square > 0 for train in trains], axis=0))
    if not len(kept):
        raise ScoreError(
            "logme_cv: every target column is all zeros without one of the folds; nothing can be predicted."
        )
    found = np.empty(len(values))
    for train, fold in zip(trains, folds, strict=True):
        classes = None if train.classes is None else tuple(train.classes[column] for column in kept)
        found[fold] = _log_density(train.select(classes, kept), values[fold], targets.columns()[fold][:, kept])
    return found


def _log_density(train: Moments, rows: Array, columns: Array) -> Array:
    """Mean over columns of the log density of held-out rows under the fit to others, at its best precisions."""
    evidence = Evidence.of(train)
    _, u, _ = maximise(evidence)
    noise = evidence.terms(u)[0] / train.n_samples  # 1 / beta
    smallest = SMALLEST * train.target_square / train.n_samples
    variance = np.maximum(noise * (1 + _leverages(train, rows, np.exp(u))), smallest)
    error = columns - rows @ evidence.weights(u, train)
    return np.asarray(-0.5 * (np.log(2 * np.pi * variance) + error**2 / variance).mean(axis=1))


def _leverages(train: Moments, rows: Array, t: Array) -> Array:
    """x'(X'X + t I)^-1 x of every row at every t, (n_rows, n_columns); X'X about the mean plus that of the mean."""
    centred = rows - train.mean
    inverse = 1 / (train.factors[0][:, None] + t)
    along, outside = train.mean_along
    inside = centred @ train.right_vectors
    beyond = centred - inside @ train.right_vectors.T
    tilt = beyond @ (train.mean - train.right_vectors @ along)
    to_mean = (inside * along) @ inverse + tilt[:, None] / t
    mean_square = np.square(along) @ inverse + outside / t
    own = np.square(inside) @ inverse + np.square(beyond).sum(axis=1)[:, None] / t
    # in this order a large mean, nearly all of whose length cancels, costs no digits
    of_mean = mean_square + 2 * to_mean - train.n_samples * to_mean**2
    return np.asarray(own + of_mean / (1 + train.n_samples * mean_square))


@register_scorer(
    "logme_cv",
    tasks=TASKS,
    range="any real number; for classes typically -1 to 1",
    cost="five Gram matrices and eigendecompositions, and N D (D + K)",
    comparable_across_widths=True,
    meaning=(
        "How probable the labels of held-out samples are under a linear model of the features that was fitted to "
        "the other samples."
    ),
    misleads="It grows with the number and rarity of classes: compare sources on one target, never targets.",
    reference="You, Liu, Wang and Long, ICML 2021 (the model); Geisser, JASA 1975 (predictive sample reuse)",
    per_sample=_per_sample,
)
def logme_cv(features: Any, labels: Any, *, n_folds: int = 5, task: Task | None = None, seed: int = 0) -> float:
    r"""Mean log predictive density of held-out samples under LogME's model of the others.

    Precisions and posterior are those of the largest evidence of the other folds; a held-out sample of column c has
    density :math:`N(y;\, x'm,\, \beta^{-1}(1 + x'(X'X + tI)^{-1}x))`. The counterpart of `logme` that a perfect fit
    (fewer samples than features) cannot drive up.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : classes of shape (n_samples,), or float targets of shape (n_samples,) or (n_samples, n_columns)
        Classes become one-hot columns; 0/1 columns are multi-label.
    n_folds : int, default=5
        Classes are spread evenly over them.
    task : {"classification", "multilabel", "regression"}, optional
        Told from the labels when not given.
    seed : int, default=0
        Of the folds.

    Returns
    -------
    score : float
        A log density per sample and column: no bound, higher is better. Invariant to the scale of the features and to
        rotations, not to shifts. A predictive variance is at least 1e-6 of its column's mean square, and columns that
        are all zeros without one of the folds, such as classes of one sample, do not count.

    Raises
    ------
    ScoreError
        If there are fewer samples than folds, shapes disagree, values are not finite, there is one class only, or no
        column is left.

    References
    ----------
    Geisser, "The Predictive Sample Reuse Method with Applications", Journal of the American Statistical Association
    1975.
    """
    return float(_per_sample(features, labels, n_folds=n_folds, task=task, seed=seed).mean())
