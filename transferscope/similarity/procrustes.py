"""Orthogonal Procrustes distance between two representations of the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..features.arrays import Array
from .paired import check_paired, unit
from .registry import register_measure


@register_measure(
    "procrustes",
    kind="similarity",
    higher_is_closer=False,
    range="0 to the root of 2",
    cost="N D D' + D D' min(D, D'), with N for D or D' where it is less",
    reference="Ding, Denain and Steinhardt, NeurIPS 2021; Williams, Kunz, Kornblith and Linderman, NeurIPS 2021",
    misleads="It falls towards 0 for any two with far more features than samples; the few directions, or rows, of "
    "largest variance decide it.",
)
def procrustes(a: Any, b: Any) -> float:
    r"""Distance that is left between two representations, centred and of norm 1, after the best rotation.

    :math:`\min_Q \lVert AQ - B\rVert_F = \sqrt{2 - 2\lVert A'B\rVert_*}` over orthogonal Q, reflections included, with
    the nuclear norm; the narrower one is filled up with zero columns.

    Parameters
    ----------
    a, b : arrays or tensors of shape (n_samples, n_features), (n_samples, n_other_features)
        Row i of both is the same sample.

    Returns
    -------
    value : float
        In [0, sqrt(2)]; lower is closer; NaN where a representation is constant. Symmetric, and invariant to
        rotation, shift and scale of either. Misleads with far more features than samples: near 0 for any two.

    Raises
    ------
    ScoreError
        If row counts differ or values are not finite.

    References
    ----------
    Ding, Denain and Steinhardt, "Grounding Representation Similarity with Statistical Testing", NeurIPS 2021.
    """
    first, second = check_paired(a, b, caller="procrustes")
    x, z = sorted((unit(first), unit(second)), key=lambda rows: rows.shape[1])
    if not (x.any() and z.any()):
        return float("nan")
    x, z = _no_wider_than_long(x), _no_wider_than_long(z)
    u, _, vt = np.linalg.svd(x.T @ z, full_matrices=False)
    # the rest itself: 2 minus twice a norm that rounds to 1 would have half of the digits
    return float(np.linalg.norm(x @ (u @ vt) - z))


def _no_wider_than_long(values: Array) -> Array:
    """Rows of at most n_samples features, rotated from those of `values`."""
    n, d = values.shape
    return values if d <= n else np.asarray(np.linalg.qr(values.T, mode="r")).T
