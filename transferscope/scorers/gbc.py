"""Gaussian Bhattacharyya coefficient: how much the classes overlap, each taken for a Gaussian."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..errors import ScoreError, UnknownNameError
from ..features.arrays import Array, storage_eps
from ..features.moments import Moments
from .inputs import moments_of_classes, rows_and_moments
from .jackknife import Blocks, left_out_values
from .registry import register_scorer

COVARIANCES = ("spherical", "diagonal")
SMALLEST = 1e-4  # published floor of a variance; it is absolute
ROUNDING = 1e-14  # share of a class's squares about the mean of all below which its variance is rounding noise
TINY = 1e-12  # overlap of a pair of classes below which only rounding is left
MISLEADS = (
    "Variances below 1e-4 count as 1e-4, so it depends on the features' scale; in many dimensions every overlap "
    "underflows to 0."
)
REFERENCE = "Pandy, Agostinelli, Uijlings, Ferrari and Mensink, CVPR 2022"


def _saturated(moments: Moments, value: float) -> str | None:
    pairs = len(moments.target_sum) * (len(moments.target_sum) - 1)
    if -value < TINY * pairs:
        return (
            "Saturated: no two classes overlap by more than rounding in so many dimensions; gbc_pca takes fewer, "
            "n_components of them."
        )
    floored = (moments.squares / moments.target_sum - moments.class_means**2 < SMALLEST).all()
    if floored or -value > (1 - TINY) * pairs:
        return "Saturated: all classes coincide, or all variances are below the floor of 1e-4; scale the features up."
    return None


def _left_out(blocks: Blocks) -> Array:
    return left_out_values(lambda moments: _score(moments, "spherical"), blocks)


@register_scorer(
    "gbc",
    range="-K (K - 1) to 0",
    cost="sums and squares by class: N D + K^2 D",
    comparable_across_widths=False,
    meaning=(
        "How little the classes overlap if each is taken for a bell-shaped cloud of features; 0 means that none do."
    ),
    misleads=MISLEADS,
    reference=REFERENCE,
    saturated=_saturated,
    left_out=_left_out,
)
def gbc(
    features: Any,
    labels: Any,
    *,
    covariance: Literal["spherical", "diagonal"] = "spherical",
    n_components: int | None = None,
    moments: Moments | None = None,
) -> float:
    r"""Minus the sum over ordered pairs of classes of their Bhattacharyya coefficient.

    .. math:: -\sum_{i \ne j} e^{-D_{ij}}, \quad D_{ij} = \tfrac18\sum_d\frac{(\mu_{id}-\mu_{jd})^2}{v_d}
              + \tfrac12\sum_d\ln\frac{v_d}{\sqrt{v_{id}v_{jd}}}, \quad v_d = \frac{v_{id}+v_{jd}}2

    with population variances floored at 1e-4, per feature ("diagonal") or averaged over features ("spherical"). The
    logarithm counts once per dimension in both; published code counts it once in all for the spherical form.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : classes of shape (n_samples,)
        Any hashable values, at least two classes.
    covariance : {"spherical", "diagonal"}
    n_components : int, optional
        Leading principal components to score instead of all features; the publication takes 64, as `gbc_pca` does.
    moments : Moments, optional
        Of these features and labels, to share work between scorers; without `n_components` the arrays themselves are
        not read then.

    Returns
    -------
    score : float
        In [-K (K - 1), 0]; higher is better. Invariant to shift and, while no variance is below the floor, to scale
        and, where spherical, to rotation.

    Raises
    ------
    ScoreError
        If `n_components` is not positive, shapes disagree, values are not finite, or there is one class only.

    References
    ----------
    Pandy et al., "Transferability Estimation using Bhattacharyya Class Separability", CVPR 2022.
    """
    if n_components is not None:
        return _score(_of_components(features, labels, n_components, moments, caller="gbc"), covariance)
    return _score(moments_of_classes(features, labels, moments, caller="gbc", powers=True), covariance)


@register_scorer(
    "gbc_pca",
    range="-K (K - 1) to 0",
    cost="one Gram matrix, one eigendecomposition, and 64 N D",
    comparable_across_widths=True,
    meaning=(
        "How little the classes overlap, taken for bell-shaped clouds, in the 64 directions in which the features "
        "vary most; 0 means that none do."
    ),
    misleads="Variances below 1e-4 count as 1e-4, so it depends on the features' scale; what the leading components "
    "leave out does not count.",
    reference=REFERENCE,
    saturated=_saturated,
)
def gbc_pca(
    features: Any,
    labels: Any,
    *,
    covariance: Literal["spherical", "diagonal"] = "spherical",
    n_components: int = 64,
    moments: Moments | None = None,
) -> float:
    """`gbc` of the 64 leading principal components, as published.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : classes of shape (n_samples,)
        Any hashable values, at least two classes.
    covariance : {"spherical", "diagonal"}
    n_components : int, default=64
        All there are, if these are fewer.
    moments : Moments, optional
        Of these features and labels, to share work between scorers.

    Returns
    -------
    score : float
        In [-K (K - 1), 0]; higher is better. Invariant to rotation and shift and, while no variance is below the
        floor, to scale.

    Raises
    ------
    ScoreError
        As `gbc`.

    References
    ----------
    Pandy et al., "Transferability Estimation using Bhattacharyya Class Separability", CVPR 2022.
    """
    return _score(_of_components(features, labels, n_components, moments, caller="gbc_pca"), covariance)


def _of_components(features: Any, labels: Any, n_components: int, moments: Moments | None, *, caller: str) -> Moments:
    """Moments of the leading principal components."""
    if n_components < 1:
        raise ScoreError(f"{caller}: n_components={n_components}; expected at least 1.")
    values, targets, moments = rows_and_moments(
        features, labels, None, moments, caller=caller, tasks=("classification",), powers=True
    )
    directions = moments.right_vectors[:, :n_components]
    if not directions.shape[1]:  # nothing varies
        return moments
    return Moments.from_checked((values - moments.mean) @ directions, targets, storage_eps(features), powers=True)


def _score(moments: Moments, covariance: str) -> float:
    """Minus the summed coefficients of all ordered pairs of classes."""
    if covariance not in COVARIANCES:
        raise UnknownNameError("covariance of gbc", covariance, COVARIANCES)
    means = moments.class_means
    squares = moments.squares / moments.target_sum
    variances = squares - means**2
    variances = np.where(variances > ROUNDING * squares, np.maximum(variances, SMALLEST), SMALLEST)
    distance = _spherical(means, variances.mean(axis=0)) if covariance == "spherical" else _diagonal(means, variances)
    np.fill_diagonal(distance, np.inf)
    return -float(np.exp(-distance).sum()) + 0.0  # no negative zero


def _spherical(means: Array, variances: Array) -> Array:
    """Bhattacharyya distances of all pairs of classes, one variance each."""
    norms = np.square(means).sum(axis=0)
    apart = np.maximum(norms[:, None] + norms - 2 * means.T @ means, 0.0)
    middle = (variances[:, None] + variances) / 2
    return np.asarray(apart / middle / 8 + len(means) / 2 * np.log(middle / np.sqrt(np.outer(variances, variances))))


def _diagonal(means: Array, variances: Array) -> Array:
    """The same with a variance per feature."""
    logs = np.log(variances).sum(axis=0)
    distance = np.empty((means.shape[1],) * 2)
    for i in range(len(distance)):
        middle = (variances + variances[:, [i]]) / 2
        distance[i] = ((means - means[:, [i]]) ** 2 / middle).sum(axis=0) / 8
        distance[i] += 0.5 * np.log(middle).sum(axis=0) - 0.25 * (logs + logs[i])
    return distance
