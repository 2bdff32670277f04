"""NCTI: how near features are to neural collapse, in three numbers that add up only beside other sources."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoreError
from ..features.arrays import Array, check_inputs
from ..features.moments import Moments
from .lda import CERTAIN, own
from .registry import register_scorer

COMPONENTS = 64  # principal components that are looked at,
LEADING = 32  # and those whose variances set the shrinkage,
LEAST = 1e-10  # below which there is none
SMALL = 1e-6  # sum of those variances below which nothing but the shrinkage is left
COST = "one singular value decomposition of all rows: N D min(N, D)"
REFERENCE = "Wang et al., ICCV 2023"


class NCTI(NamedTuple):
    """The three parts; see `ncti`."""

    seli: float
    ncc: float
    vc: float


def ncti(features: Any, labels: Any, *, caller: str = "ncti") -> NCTI:
    r"""How near features are to neural collapse, by three measures of one linear discriminant analysis.

    The analysis is of the first 64 principal components. Its shrinkage h is the exponential of minus the sum of the
    first 32 variances, and none where that is below 1e-10. It gives projections Z and class probabilities Q, with
    rows :math:`Z_k, Q_k` of class k.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
        At least 64 of each.
    labels : classes of shape (n_samples,)
        Any hashable values, at least two classes.
    caller : str, default="ncti"
        Whom messages name.

    Returns
    -------
    parts : NCTI
        ``seli``, the nuclear norm of Z about its mean (higher is better); ``ncc``, the mean over rows of Q at their
        own class (higher is better); ``vc``, :math:`\ln\sum_k\lVert Q_k\rVert_*` (lower is better). Where all rows are
        equal, Z is 0 and Q the class shares. Invariant to rotation and shift, not to scale: h falls to 0 at once
        where the variances exceed 23 in sum.

    Raises
    ------
    ScoreError
        If there are fewer than 64 rows or features, shapes disagree, values are not finite, there is one class only,
        or nothing varies within classes.

    Notes
    -----
    The paper's score is ``seli + ncc - vc``, each brought to 0 .. 1 over the sources that are compared.

    Digits of the value are the machine's where features fill fewer than 64 directions, since the unshrunk analysis
    scales the rounding noise in the other components up to unit variance; and, of Z, where variances are far below 1,
    since the shrunk covariance is then a sphere. Before version 1.9, scikit-learn's unshrunk analysis divided
    covariances by n_samples - n_classes in place of n_samples, for every source alike.

    References
    ----------
    Wang et al., "How Far Pre-trained Models Are from Neural Collapse on the Target Dataset Informs their
    Transferability", ICCV 2023.
    """
    projected, probs, codes = _analyse(features, labels, caller)
    norms = [np.linalg.norm(probs[codes == k], "nuc") for k in range(probs.shape[1])]
    seli = np.linalg.norm(projected, "nuc")
    return NCTI(float(seli), float(own(probs, codes).mean()), float(np.log(np.sum(norms))))


def _caveats(moments: Moments) -> Sequence[str]:
    found, missing = [], COMPONENTS - moments.rank
    if missing > 0:
        found.append(f"{missing} of its {COMPONENTS} principal components are rounding noise.")
    if moments.factors[0][:LEADING].sum() < SMALL * moments.n_samples:
        found.append(
            "Features this small are shrunk altogether, so that its projections are arbitrary; scale them up."
        )
    return found


def _per_sample(features: Any, labels: Any) -> Array:
    """Each row's probability of its own class."""
    _, probs, codes = _analyse(features, labels, "ncti_ncc")
    return own(probs, codes)


def _saturated(moments: Moments, value: float) -> str | None:
    if value < 1 - CERTAIN:
        return None
    return (
        f"Saturated: {COMPONENTS} components are certain of all {moments.n_samples} samples that they were fitted to; "
        "lda_loo leaves samples out."
    )


def _collapsed(moments: Moments, value: float) -> str | None:
    if moments.rank:
        return None
    return "Saturated: probabilities that are the same for every row have the least norm, whatever the labels."


@register_scorer(
    "ncti_seli",
    range="0 upwards",
    cost=COST,
    comparable_across_widths=True,
    meaning="How widely the samples spread in the directions that set the classes apart.",
    misleads="Made to be added to ncti_ncc less ncti_vc, each brought to 0 .. 1 over the compared sources.",
    reference=REFERENCE,
    caveats=_caveats,
)
def ncti_seli(features: Any, labels: Any) -> float:
    """Nuclear norm of discriminant projections of the features: NCTI's distance from simplex-encoded labels.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
        At least 64 of each.
    labels : classes of shape (n_samples,)

    Returns
    -------
    score : float
        Not below 0, and of the order of ``sqrt(n_samples)``; higher is better. Invariant to rotation and shift, not to
        scale; see `ncti`, which also says when it misleads.

    Raises
    ------
    ScoreError
        As `ncti`.

    References
    ----------
    Wang et al., ICCV 2023; see `ncti`.
    """
    return ncti(features, labels, caller="ncti_seli").seli


@register_scorer(
    "ncti_ncc",
    range="0 to 1",
    cost=COST,
    comparable_across_widths=True,
    meaning=(
        "How near the features are to being told apart by their classes' averages: how sure a simple classifier is "
        "of the right class."
    ),
    misleads="A row counts in its own class mean: with few more than 64 samples it is near 1 for any labels.",
    reference=REFERENCE,
    caveats=_caveats,
    saturated=_saturated,
    per_sample=_per_sample,
)
def ncti_ncc(features: Any, labels: Any) -> float:
    """Mean probability of the true class by discriminant analysis: NCTI's nearness to a nearest-centre classifier.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
        At least 64 of each.
    labels : classes of shape (n_samples,)

    Returns
    -------
    score : float
        In [0, 1]; higher is better. Invariant to rotation and shift, not to scale; see `ncti`, which also says when it
        misleads.

    Raises
    ------
    ScoreError
        As `ncti`.

    References
    ----------
    Wang et al., ICCV 2023; see `ncti`.
    """
    return float(_per_sample(features, labels).mean())


@register_scorer(
    "ncti_vc",
    higher_is_better=False,
    range="any real number",
    cost=COST,
    comparable_across_widths=True,
    meaning=(
        "How varied a simple classifier's answers are among samples of one class: the less, the more each class has "
        "drawn together."
    ),
    misleads="Probabilities that are the same for every row score best of all: read it beside ncti_ncc.",
    reference=REFERENCE,
    caveats=_caveats,
    saturated=_collapsed,
)
def ncti_vc(features: Any, labels: Any) -> float:
    """Log of the summed nuclear norms of each class's rows of probabilities: NCTI's collapse of variability.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
        At least 64 of each.
    labels : classes of shape (n_samples,)

    Returns
    -------
    score : float
        A logarithm; lower is better. Invariant to rotation and shift, not to scale; see `ncti`, which also says when
        it misleads.

    Raises
    ------
    ScoreError
        As `ncti`.

    References
    ----------
    Wang et al., ICCV 2023; see `ncti`.
    """
    return ncti(features, labels, caller="ncti_vc").vc


def _analyse(features: Any, labels: Any, caller: str) -> tuple[Array, Array, NDArray[np.int64]]:
    """Discriminant projections about their mean, class probabilities, and the classes themselves."""
    values, targets = check_inputs(features, labels, caller=caller, tasks=("classification",))
    codes = targets.codes
    assert codes is not None
    if min(values.shape) < COMPONENTS:
        raise ScoreError(
            f"{caller}: {values.shape[0]} rows of {values.shape[1]} features; it is defined on {COMPONENTS} principal "
            f"components, so from {COMPONENTS} of each on. Use another scorer here."
        )
    if not np.ptp(values, axis=0).any():
        shares = np.bincount(codes) / len(codes)
        return np.zeros((len(codes), 1)), np.tile(shares, (len(codes), 1)), codes
    if not any(np.ptp(values[codes == k], axis=0).any() for k in range(len(targets.classes))):
        raise ScoreError(f"{caller}: rows of one class are all equal, in every class; expected some spread in them.")
    return *_discriminate(values, codes), codes


def _discriminate(values: Array, codes: NDArray[np.int64]) -> tuple[Array, Array]:
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    pca = PCA(COMPONENTS, svd_solver="full")
    components = pca.fit_transform(values)
    shrinkage = float(np.exp(-pca.explained_variance_[:LEADING].sum()))
    if shrinkage > LEAST:
        analysis = LinearDiscriminantAnalysis(solver="eigen", shrinkage=shrinkage)
    else:
        analysis = LinearDiscriminantAnalysis(solver="svd")
    with warnings.catch_warnings():  # a class of one row has no spread of its own, which is meant
        warnings.filterwarnings("ignore", "Only one sample available", UserWarning)
        projected = analysis.fit(components, codes).transform(components)
    return projected - projected.mean(axis=0), analysis.predict_proba(components)
