"""CORAL: how far two covariances lie apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from .frechet import Gaussian
from .registry import register_measure
from .samples import check_samples


@register_measure(
    "coral",
    kind="discrepancy",
    higher_is_closer=False,
    range="0 and up",
    cost="(N + M) D^2, or (N + M)^2 D where there are fewer rows than features",
    reference="Sun, Feng and Saenko, AAAI 2016; Sun and Saenko, ECCV workshops 2016",
    misleads="It does not see a difference of means, and grows with the fourth power of the features' scale.",
)
def coral(source: Any, target: Any) -> float:
    r"""Squared Frobenius distance of the covariances, :math:`\lVert C - C'\rVert_F^2 / (4 D^2)`, divisor N - 1.

    Parameters
    ----------
    source, target : arrays or tensors of shape (n_samples, n_features), (n_other_samples, n_features)

    Returns
    -------
    value : float
        At least 0, and 0 for equal samples; lower is closer. Invariant to rotation of both and to a shift of either,
        so that samples far apart may score 0; it grows with the fourth power of a common scale. Biased upward with few
        rows: each covariance's own noise adds to the gap.

    Raises
    ------
    ScoreError
        If widths differ, values are not finite, or a side has fewer than 2 rows.

    References
    ----------
    Sun, Feng and Saenko, "Return of Frustratingly Easy Domain Adaptation", AAAI 2016; Sun and Saenko, "Deep CORAL",
    ECCV workshops 2016.
    """
    s, t = check_samples(source, target, caller="coral")
    first, second = Gaussian.of(s).root, Gaussian.of(t).root
    if len(first) + len(second) < s.shape[1]:  # the gap, seen from the space that the rows of both span
        triangle = np.asarray(np.linalg.qr(np.concatenate([first, second]).T, mode="r"))
        signs = np.repeat([1.0, -1.0], [len(first), len(second)])
        gap = (triangle * signs) @ triangle.T
    else:
        gap = first.T @ first - second.T @ second
    return float(np.square(gap).sum() / (4 * s.shape[1] ** 2))
