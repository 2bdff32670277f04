"""H-score: how much of the whitened feature variance lies between classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ScoreError
from ..features.arrays import check_inputs, storage_eps
from ..features.moments import Moments
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


@register_scorer(
    "h_score",
    range="0 to min(K - 1, rank)",
    cost="one Gram matrix and one eigendecomposition: N D^2 + D^3",
    comparable_across_widths=False,
    misleads="With as many features as samples it is K - 1 for any labels, noise included.",
    reference="Bao et al., ICIP 2019",
    caveats=_caveats,
    saturated=_saturated,
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
    if moments is None:
        values, targets = check_inputs(features, labels, caller="h_score", tasks=("classification",))
        moments = Moments.from_checked(values, targets, storage_eps(features))
    elif moments.classes is None or len(moments.classes) < 2:
        raise ScoreError("h_score: these moments are not of 2 classes or more; take them with task='classification'.")
    return float((moments.centred.projections**2 / moments.target_sum).sum())
