"""OTCE: what source labels tell of target labels, through the optimal transport of features."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .registry import register_measure
from .samples import about_own_means, check_labelled, squared_distances
from .transport import coupling


@register_measure(
    "otce",
    kind="discrepancy",
    higher_is_closer=False,
    range="0 to ln of the number of target classes",
    cost="(N + M)^3 at worst, exact; N M D per pass (some hundreds) beyond 5000 x 5000",
    reference="Tan, Li and Huang, CVPR 2021 (conditional entropy: F-OTCE, arXiv 2106.10479)",
    misleads="It does not see a shift between the samples, and more source classes lower it whatever the features. "
    "The optimal coupling need not be unique. Compare it for one target only.",
    needs_labels=True,
)
def otce(
    source: Any, source_labels: Any, target: Any, target_labels: Any, *, regularisation: float | None = None
) -> float:
    r"""Conditional entropy :math:`H(y_t \mid y_s)` of target given source classes, under the coupling of the features.

    All rows weigh the same, and the coupling has the least mean squared Euclidean distance. With P(a, b) its mass
    between source class a and target class b, the value is :math:`-\sum P(a, b) \ln(P(a, b) / P(a))`.

    Parameters
    ----------
    source : array or tensor of shape (n_samples, n_features)
    source_labels : classes of shape (n_samples,)
    target : array or tensor of shape (n_other_samples, n_features)
        Features from the same source model.
    target_labels : classes of shape (n_other_samples,)
        They need have nothing in common with the source's.
    regularisation : float, optional
        Weight of an entropy of the coupling, in median squared distances between the samples about their own means.
        By default none up to 5000 x 5000 rows (or as many pairs), and 0.02 beyond, where the coupling is smoother and
        the value larger for it.

    Returns
    -------
    value : float
        From 0 (each source class goes to one target class) to ln of the number of target classes; lower is closer.
        Its negative is the published score without fitted weights. Invariant to rotation and scale of both samples, to
        a shift of either, and to the classes' names. Where several couplings are optimal, as with repeated rows, it is
        that of one of them. Misleads between sources of unlike numbers of classes: with a class for every source row
        it is 0 or nearly so, whatever the features.

    Raises
    ------
    ScoreError
        If widths or lengths differ, values are not finite, labels are missing, or `regularisation` is not positive or
        too small to settle.

    References
    ----------
    Tan, Li and Huang, "OTCE: A Transferability Metric for Cross-Domain Cross-Task Representations", CVPR 2021;
    "Practical Transferability Estimation for Image Classification Tasks", arXiv 2106.10479.
    """
    _, entropy = otce_parts(source, source_labels, target, target_labels, regularisation=regularisation)
    return entropy


def otce_parts(
    source: Any, source_labels: Any, target: Any, target_labels: Any, *, regularisation: float | None = None
) -> tuple[float, float]:
    """The two terms of OTCE, lower is closer for both: the coupling's mean squared distance, and `otce`.

    The published score adds them with weights fitted on tasks whose transfer is known.

    Parameters
    ----------
    source, source_labels, target, target_labels, regularisation
        As of `otce`.

    Returns
    -------
    distance, entropy : float

    Raises
    ------
    ScoreError
        As `otce`.
    """
    s, ys, t, yt = check_labelled(source, source_labels, target, target_labels, caller="otce")
    x, z, gap = about_own_means(s, t)  # a shift adds its square to every coupling's distance alike
    costs = partial(squared_distances, x, z)
    distance, joint = float(gap @ gap), np.zeros((len(ys.classes), len(yt.classes)))
    members = yt.columns()
    for block, cost, masses in coupling(costs, (len(s), len(t)), regularisation, "otce"):
        distance += float(np.vdot(cost, masses))
        joint += ys.columns(block).T @ (masses @ members)
    joint /= joint.sum()
    held = joint > 0
    given = np.broadcast_to(joint.sum(axis=1, keepdims=True), joint.shape)
    return distance, float((joint[held] * np.log(given[held] / joint[held])).sum())
