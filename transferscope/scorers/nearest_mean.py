"""Nearest mean: how sure the distances to the class means are of each row's own class."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..features.arrays import Array
from ..features.moments import Moments
from .inputs import rows_and_moments
from .lda import CERTAIN, own, softmax
from .registry import register_scorer


def _per_sample(features: Any, labels: Any, *, moments: Moments | None = None) -> Array:
    """Each row's probability of its own class."""
    values, targets, moments = rows_and_moments(
        features, labels, None, moments, caller="nearest_mean", tasks=("classification",)
    )
    assert targets.codes is not None
    means = moments.class_means  # about the mean of all, as the rows are: the value stays, and loses fewer digits
    shares = moments.target_sum / moments.n_samples
    logits = (values - moments.mean) @ means - np.square(means).sum(axis=0) / 2 + np.log(shares)
    return own(softmax(logits), targets.codes)


def _saturated(moments: Moments, value: float) -> str | None:
    if value < 1 - CERTAIN:
        return None
    return "Saturated: every sample is nearest to its own class mean, in which it counts; knn leaves samples out."


@register_scorer(
    "nearest_mean",
    range="0 to 1",
    cost="N D K",
    comparable_across_widths=False,
    meaning=(
        "How sure a classifier that goes by the distance to each class's average is of the right class, on average."
    ),
    misleads="Features of a larger scale score higher, and a row counts in its own class mean.",
    reference="Gholami et al., ICCV 2023 (ETran), as its released code computes LDA",
    saturated=_saturated,
    per_sample=_per_sample,
)
def nearest_mean(features: Any, labels: Any, *, moments: Moments | None = None) -> float:
    r"""Mean probability of the true class under Gaussian classes of unit covariance.

    .. math:: \frac1N\sum_n \mathrm{softmax}_k\left(-\tfrac12\lVert x_n - \mu_k\rVert^2 + \ln\frac{n_k}N\right)_{y_n}

    ETran describes linear discriminant analysis; the code released with it comes down to this, since the basis that it
    projects on is orthonormal and so cancels. `lda` takes the covariance within classes into account.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : classes of shape (n_samples,)
        Any hashable values, at least two classes.
    moments : Moments, optional
        Of these features and labels, to share work between scorers.

    Returns
    -------
    score : float
        In (0, 1]; higher is better. Invariant to rotation and shift, not to scale: small features tend to the sum of
        squared class shares, large ones to the share of rows that are nearest to their own class mean.

    Raises
    ------
    ScoreError
        If shapes disagree, values are not finite, or there is one class only.

    References
    ----------
    Gholami et al., "ETran: Energy-Based Transferability Estimation", ICCV 2023.
    """
    return float(_per_sample(features, labels, moments=moments).mean())
