"""Regularised H-score: the H-score under a covariance shrunk towards a sphere."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..features.arrays import Array
from ..features.moments import Moments
from .inputs import moments_of_classes
from .jackknife import Blocks
from .registry import register_scorer

FLAT = 1e-14  # share of a covariance's squares below which its distance from the sphere is rounding noise


def shrinkage(moments: Moments) -> float:
    """Ledoit and Wolf's weight of the sphere in the covariance of these features, from 0 to 1."""
    n, d = moments.n_samples, moments.n_features
    squared = moments.square_norm / n**2
    apart = (squared - (moments.trace / n) ** 2 / d) / d
    noise = (moments.fourth / n - squared) / (n * d)
    return float(np.clip(noise / apart, 0.0, 1.0)) if apart > FLAT * squared else 0.0


def _saturated(moments: Moments, value: float) -> str | None:
    if not moments.rank or shrinkage(moments) < 1:
        return None
    return "Saturated: the covariance is shrunk altogether, so it is 0 whatever the labels; give more samples."


def _left_out(blocks: Blocks) -> Array:
    """Count, class means, shrinkage and scale anew; the inverse to first order about that of all samples.

    For any W, ``2 tr(W'M) - tr(W'CW)`` is below ``tr(M'C^-1 M)`` by a square of W's distance from the best. Rows that
    are fitted vary too little, by their leverage: left as they are, intervals come out too narrow, and divided by its
    root (MacKinnon and White, Journal of Econometrics 1985), too wide; the root of that covers what it should.
    """
    total = blocks.total
    values, n = total.factors[0], total.n_samples
    weight = shrinkage(total)
    inverse = 1 / ((1 - weight) * values / n + weight * total.trace / n / total.n_features)
    along = np.sqrt(values)[:, None] * total.centred.projections / np.sqrt(total.target_sum * (n - 1))
    solved = total.right_vectors @ (inverse[:, None] * along)
    whole, lengths = total.spread_along(solved), np.square(solved).sum(axis=0)
    found = []
    for part, left in zip(blocks.aligned, blocks.remainders, strict=True):
        seen = total.target_sum > part.target_sum
        n, weight = left.n_samples, shrinkage(left)
        means = left.cross / np.sqrt(left.target_sum * max(n - 1, 1))
        away = (part.mean - total.mean) @ solved  # the two means lie apart too
        spread = whole - part.spread_along(solved) - part.n_samples * away**2 * total.n_samples / n
        bent = (1 - weight) * spread / n + weight * left.trace / n / left.n_features * lengths
        found.append(float((1 - weight) * (2 * (solved[:, seen] * means).sum() - bent[seen].sum())))
    fitted = (1 - (1 - shrinkage(total)) * (values * inverse).sum() / total.n_samples**2) ** 0.25
    return np.mean(found) + (np.array(found) - np.mean(found)) / fitted


@register_scorer(
    "h_score_regularized",
    range="0 to (K - 1) N / (N - 1)",
    cost="one Gram matrix and one eigendecomposition: N D^2 + D^3",
    comparable_across_widths=False,
    meaning=(
        "How much of the features' variation lies between the classes' averages, that variation being smoothed "
        "first, the more so the fewer samples there are."
    ),
    misleads="The fewer samples per feature, the stronger the shrinkage, which lowers it: neither compare widths nor "
    "sample sizes.",
    reference="Ibrahim, Ponomareva and Mazumder, ECML PKDD 2022; Ledoit and Wolf, J. Multivariate Analysis 2004",
    saturated=_saturated,
    left_out=_left_out,
)
def h_score_regularized(features: Any, labels: Any, *, moments: Moments | None = None) -> float:
    r"""Trace of the inverse shrunk covariance times the covariance of class means.

    .. math:: H_\alpha = (1-\alpha)\,\mathrm{tr}(C_\alpha^{-1}B), \quad C_\alpha = (1-\alpha)C + \alpha\,m I,
              \quad m = \mathrm{tr}(C)/D

    with C the covariance (divisor N), :math:`B = \sum_k n_k(\mu_k-\mu)(\mu_k-\mu)'/(N-1)` and :math:`\alpha` the
    shrinkage of Ledoit and Wolf. The two divisors are those of the publication.

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
        In [0, (K - 1) N / (N - 1)]; higher is better. Invariant to rotation, shift and scale. Unlike the H-score it
        is informative with fewer samples than features, but comparable only between sources of one width. 0 for
        features that do not vary.

    Raises
    ------
    ScoreError
        If shapes disagree, values are not finite, or there is one class only.

    References
    ----------
    Ibrahim, Ponomareva and Mazumder, "Newer is not always better: Rethinking transferability metrics, their
    peculiarities, stability and performance", ECML PKDD 2022.
    """
    moments = moments_of_classes(features, labels, moments, caller="h_score_regularized", powers=True)
    n, spectrum = moments.n_samples, moments.centred
    weight = shrinkage(moments)
    variances = spectrum.values / n
    shrunk = (1 - weight) * variances + weight * moments.trace / n / moments.n_features
    between = variances * (spectrum.projections**2 / moments.target_sum).sum(axis=1) * n / (n - 1)
    return float((1 - weight) * (between / shrunk).sum())
