"""H-score: how much of the whitened feature variance lies between classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..features.arrays import Array
from ..features.moments import Moments
from .inputs import moments_of_classes
from .jackknife import Blocks
from .registry import register_scorer

UNEVEN = 10.0  # largest over smallest class from which equal weights deserve a warning


def _caveats(moments: Moments) -> Sequence[str]:
    found = []
    rarest = moments.target_sum.min()
    if moments.target_sum.max() > UNEVEN * rarest:
        found.append(f"Every class weighs the same in it, and the rarest has {rarest:.0f} sample(s).")
    return found


def _saturated(moments: Moments, value: float) -> str | None:
    if moments.rank < moments.n_samples - 1:
        return None
    return (
        f"Saturated: {moments.n_samples} samples span all of their {moments.n_samples - 1} directions, so it is "
        "K - 1 whatever the labels; lda_loo leaves samples out."
    )


def _left_out(blocks: Blocks) -> Array:
    """To first order: it is what least squares explains of each class's column, and removing rows moves no minimum.

    Rows that are left out are predicted worse than rows that are fitted, by the leverage; dividing by its root makes
    the variance unbiased (MacKinnon and White, Journal of Econometrics 1985).
    """
    total, n = blocks.total, blocks.total.n_samples
    projections = total.centred.projections
    weights = total.right_vectors @ (projections / np.sqrt(total.centred.values)[:, None])
    intercept = total.target_sum / n - total.mean @ weights
    residual = total.target_sum * (1 - total.target_sum / n) - (projections**2).sum(axis=0)
    lever = np.sqrt(max(1 - (total.rank + 1) / n, 1 / n))
    found = []
    for part in blocks.aligned:
        counts, left = total.target_sum - part.target_sum, n - part.n_samples
        seen = counts > 0
        explained = counts * (1 - counts / left) - residual + part.residual_squares(weights, intercept) / lever
        found.append(float((explained[seen] / counts[seen]).sum()))
    return np.array(found)


@register_scorer(
    "h_score",
    range="0 to min(K - 1, rank)",
    cost="one Gram matrix and one eigendecomposition: N D^2 + D^3",
    comparable_across_widths=False,
    meaning=(
        "How much of the features' variation lies between the classes' averages, added up over the directions that "
        "set them apart."
    ),
    misleads="With as many features as samples it is K - 1 for any labels, noise included.",
    reference="Bao et al., ICIP 2019",
    caveats=_caveats,
    saturated=_saturated,
    left_out=_left_out,
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
        Of these features and labels, to share work between scorers; the arrays themselves are not read then.

    Returns
    -------
    score : float
        In [0, min(K - 1, rank)]; higher is better. Invariant to invertible linear maps of the features. Misleads
        with n_samples <= n_features, where it is K - 1 whatever the labels.

    Raises
    ------
    ScoreError
        If shapes disagree, values are not finite, or there is one class only.

    References
    ----------
    Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer Learning", ICIP 2019.
    """
    moments = moments_of_classes(features, labels, moments, caller="h_score")
    return float((moments.centred.projections**2 / moments.target_sum).sum())
