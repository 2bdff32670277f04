"""Projection-weighted canonical correlation analysis of two representations of the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..features.arrays import storage_eps
from ..features.moments import EPS
from .paired import check_paired, directions
from .registry import register_measure


@register_measure(
    "pwcca",
    kind="similarity",
    higher_is_closer=True,
    range="0 to 1; always 1 with N <= D of either",
    cost="N D min(N, D) of each",
    reference="Morcos, Raghu and Bengio, NeurIPS 2018",
    misleads="Without far more samples than features it is high for any two, and 1 with N <= D. Only the narrower "
    "representation weighs: what the wider one holds besides does not count.",
)
def pwcca(a: Any, b: Any) -> float:
    r"""Mean canonical correlation of two representations, weighted by what the canonical vectors hold of the narrower.

    With :math:`\rho_i` the canonical correlations of the centred representations, as many as the lower of their
    numerical ranks, and :math:`h_i` the canonical vectors of the one with fewer features, of columns :math:`x_j`:
    :math:`\sum_i \alpha_i\rho_i / \sum_i \alpha_i` with :math:`\alpha_i = \sum_j |h_i'x_j|`. Directions that both
    span, as there are some wherever the two ranks exceed n_samples - 1 together, have no canonical vectors of their
    own: the principal axes of the narrower within them are taken.

    Parameters
    ----------
    a, b : arrays or tensors of shape (n_samples, n_features), (n_samples, n_other_features)
        Row i of both is the same sample. Of equally wide ones, `a` gives the weights.

    Returns
    -------
    value : float
        In [0, 1]; higher is more alike; NaN where a representation is constant. Invariant to shift and scale of
        either and to every invertible linear map of the wider; rotation of the narrower changes the weights. Symmetric
        unless both are equally wide. Misleads without far more samples than features: it is 1, whatever the features,
        where either rank is n_samples - 1.

    Raises
    ------
    ScoreError
        If row counts differ or values are not finite.

    References
    ----------
    Morcos, Raghu and Bengio, "Insights on representational similarity in neural networks with canonical correlation",
    NeurIPS 2018.
    """
    first, second = check_paired(a, b, caller="pwcca")
    sides = [(first, storage_eps(a)), (second, storage_eps(b))]
    sides.sort(key=lambda side: side[0].shape[1])  # stable: of equally wide ones, a stays first
    (u, s, vt), (other, _, _) = (directions(*side) for side in sides)
    if 0 in (u.shape[1], other.shape[1]):
        return float("nan")
    turn, correlations, _ = np.linalg.svd(u.T @ other, full_matrices=False)
    held = turn.T @ (s[:, None] * vt)
    shared = correlations > 1 - np.sqrt(EPS)  # any basis of what both span will do, and rounding would choose it
    _, spread, axes = np.linalg.svd(held[shared], full_matrices=False)
    held[shared] = spread[:, None] * axes
    weights = np.abs(held).sum(axis=1)
    return float(weights @ correlations.clip(max=1.0) / weights.sum())
