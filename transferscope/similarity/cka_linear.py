"""Linear centred kernel alignment between two representations of the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import Array, as_float64
from ..features.moments import EPS
from .registry import register_measure


@register_measure(
    "cka_linear",
    kind="similarity",
    higher_is_closer=True,
    range="0 to 1 (biased); about 0 to 1, can be a little below 0 (debiased)",
    cost="N D D', or N^2 (D + D') where that is less",
    reference="Kornblith, Norouzi, Lee and Hinton, ICML 2019; Song et al., JMLR 2012 (unbiased HSIC)",
)
def cka_linear(a: Any, b: Any, *, debiased: bool = False) -> float:
    r"""Normalised Hilbert-Schmidt norm of the cross-covariance of two representations.

    Biased: :math:`\lVert A'B\rVert_F^2 / (\lVert A'A\rVert_F\,\lVert B'B\rVert_F)` with centred columns; near 1 for
    any two when there are far more features than samples. Debiased: the same ratio of unbiased HSIC estimates.

    Parameters
    ----------
    a, b : arrays or tensors of shape (n_samples, n_features), (n_samples, n_other_features)
        Row i of both is the same sample.
    debiased : bool, default=False

    Returns
    -------
    value : float
        Higher is more alike; NaN where a representation is constant, or its unbiased norm is not positive.
        Invariant to rotation, shift and scale of either.

    Raises
    ------
    ScoreError
        If row counts differ, values are not finite, or there are fewer than 4 rows (debiased).

    References
    ----------
    Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019.
    """
    first, second = (as_float64(x, name=n, caller="cka_linear") for x, n in ((a, "a"), (b, "b")))
    if len(first) != len(second):
        raise ScoreError(f"cka_linear: a has {len(first)} rows and b {len(second)}; give the same samples to both.")
    if debiased and len(first) < 4:
        raise ScoreError(f"cka_linear: {len(first)} rows; the debiased form is defined from 4 on.")
    x, z = _centred(first), _centred(second)
    hsic = _unbiased if debiased else _biased
    norms = hsic(x, x), hsic(z, z)
    return float(hsic(x, z) / np.sqrt(norms[0] * norms[1])) if min(norms) > 0 else float("nan")


def _centred(values: Array) -> Array:
    """Rows about their mean, of norm 1 together; zero where only rounding noise is left."""
    centred = values - values.mean(axis=0)
    size = float(np.linalg.norm(centred))
    noise = len(values) * EPS * float(np.abs(values).max())
    return centred / size if size > noise else np.zeros_like(centred)


def _biased(x: Array, z: Array) -> float:
    return _squared_norm_of_cross(x, z)


def _squared_norm_of_cross(x: Array, z: Array) -> float:
    """Sum of squares of X'Z, from whichever is smaller: X'Z itself, or the N x N products."""
    if x.shape[1] * z.shape[1] <= len(x) * (x.shape[1] + z.shape[1]):
        return float(np.square(x.T @ z).sum())
    return float(np.vdot(x @ x.T, z @ z.T))


def _unbiased(x: Array, z: Array) -> float:
    """Song et al.'s estimator for linear kernels of centred rows, up to the factor n (n - 3).

    With rows that sum to zero, 1'K1 of the kernel without its diagonal is minus the sum of squared norms, and
    1'KL1 is the sum of their products.
    """
    n = len(x)
    x2, z2 = np.square(x).sum(axis=1), np.square(z).sum(axis=1)
    diagonal = float(x2 @ z2)
    trace = _squared_norm_of_cross(x, z) - diagonal
    ones = float(x2.sum() * z2.sum())
    return trace + ones / ((n - 1) * (n - 2)) - 2 * diagonal / (n - 2)
