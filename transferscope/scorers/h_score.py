"""H-score: how much of the whitened feature variance lies between classes."""

from __future__ import annotations

from typing import Any

from ..features.moments import Moments
from .registry import register_scorer


@register_scorer(
    "h_score",
    needs="moments",
    range="0 to min(K - 1, rank)",
    cost="one Gram matrix and one eigendecomposition: N D^2 + D^3",
    comparable_across_widths=False,
    misleads="With as many features as samples it is K - 1 for any labels, noise included.",
    reference="Bao et al., ICIP 2019",
)
def h_score(features: Any, labels: Any, *, moments: Moments | None = None) -> float:
    r"""Trace of the inverse feature covariance times the covariance of class means.

    .. math:: H = \mathrm{tr}(\Sigma^{+}\Sigma_b) = \sum_k \lVert U'y_k \rVert^2 / n_k

    with U the left singular vectors of the centred features, cut at their numerical rank, and :math:`y_k` the
    indicator of class k: the sum of squared canonical correlations between features and classes.

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
        In [0, min(K - 1, rank)]; higher is better. Invariant to invertible linear maps of the features.

    Raises
    ------
    ScoreError
        If shapes disagree, values are not finite, or there is one class only.
    """
    if moments is None:
        moments = Moments.of(features, labels, task="classification", caller="h_score")
    return float((moments.centred.projections**2 / moments.target_sum).sum())
