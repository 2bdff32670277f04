"""Linear centred kernel alignment between two representations of the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..features.arrays import Array
from ..features.moments import EPS
from .paired import check_paired, unit
from .registry import register_measure


@register_measure(
    "cka_linear",
    kind="similarity",
    higher_is_closer=True,
    range="0 to 1 (biased); about 0 to 1, can be a little below 0 (debiased)",
    cost="N D D', or N^2 (D + D') where that is less",
    reference="Kornblith, Norouzi, Lee and Hinton, ICML 2019; Song et al., JMLR 2012 (unbiased HSIC)",
    misleads="Biased, it nears 1 for any two with far more features than samples; the few directions, or rows, of "
    "largest variance decide it.",
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
    first, second = check_paired(a, b, caller="cka_linear", debiased=debiased)
    x, z = unit(first), unit(second)
    hsic = unbiased_linear if debiased else _squared_norm_of_cross
    return ratio(hsic(x, z), hsic(x, x), hsic(z, z))


def ratio(cross: float, first: float, second: float) -> float:
    """Alignment from one HSIC across and two within; NaN where one of those is not positive."""
    return float(cross / (np.sqrt(first) * np.sqrt(second))) if min(first, second) > 0 else float("nan")


def unbiased_linear(x: Array, z: Array) -> float:
    """Unbiased HSIC of linear kernels of centred rows, without their N x N matrices where features are few.

    With rows that sum to zero, a row of the kernel without its diagonal sums to minus the row's squared norm.
    """
    x2, z2 = np.square(x).sum(axis=1), np.square(z).sum(axis=1)
    return unbiased_hsic(_squared_norm_of_cross(x, z) - float(x2 @ z2), -x2, -z2)


def unbiased_hsic(product: float, first: Array, second: Array) -> float:
    """Song et al.'s estimator from sums over two kernel matrices without their diagonals; 0 if it is but rounding.

    `product` is the sum of the products of their entries; `first` and `second` are the sums of their rows.
    """
    n = len(first)
    ones = float(first.sum() * second.sum()) / ((n - 1) * (n - 2))
    both = 2 * float(first @ second) / (n - 2)
    value = product + ones - both
    noise = 16 * n * EPS * max(abs(product), abs(ones), abs(both))
    return value / (n * (n - 3)) if abs(value) > noise else 0.0


def _squared_norm_of_cross(x: Array, z: Array) -> float:
    """Sum of squares of X'Z, from whichever is smaller: X'Z itself, or the N x N products."""
    if x.shape[1] * z.shape[1] <= len(x) * (x.shape[1] + z.shape[1]):
        return float(np.square(x.T @ z).sum())
    return float(np.vdot(x @ x.T, z @ z.T))
