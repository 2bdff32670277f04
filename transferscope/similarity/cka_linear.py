"""Linear centred kernel alignment between two representations of the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import as_float64
from .registry import register_measure


@register_measure(
    "cka_linear",
    kind="similarity",
    higher_is_closer=True,
    range="0 to 1 (biased); about 0 to 1, can be a little below 0 (debiased)",
    cost="N D D'",
    reference="Kornblith, Norouzi, Lee and Hinton, ICML 2019; Song et al., JMLR 2012 (unbiased HSIC)",
)
def cka_linear(a: Any, b: Any, *, debiased: bool = False) -> float:
    r"""Normalised Hilbert-Schmidt norm of the cross-covariance of two representations.

    Biased: :math:`\lVert A'B\rVert_F^2 / (\lVert A'A\rVert_F\,\lVert B'B\rVert_F)` with centred columns; near 1 for
    any two when there are far more features than samples. Debiased: the same ratio of unbiased HSIC estimates,
    computed from sums without any N x N matrix.

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
    """
    first, second = (as_float64(x, name=n, caller="cka_linear") for x, n in ((a, "a"), (b, "b")))
    if len(first) != len(second):
        raise ScoreError(f"cka_linear: a has {len(first)} rows and b {len(second)}; give the same samples to both.")
    if debiased and len(first) < 4:
        raise ScoreError(f"cka_linear: {len(first)} rows; the debiased form is defined from 4 on.")
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    hsic = _unbiased if debiased else _biased
    norms = hsic(first, first) * hsic(second, second)
    return float(hsic(first, second) / np.sqrt(norms)) if norms > 0 else float("nan")


def _biased(x: np.ndarray, z: np.ndarray) -> float:
    return float(np.square(x.T @ z).sum())


def _unbiased(x: np.ndarray, z: np.ndarray) -> float:
    """Song et al.'s estimator for linear kernels of centred rows, up to the factor n (n - 3)."""
    n = len(x)
    cross = x.T @ z
    x2, z2 = np.square(x).sum(axis=1), np.square(z).sum(axis=1)
    sum_x, sum_z = x.sum(axis=0), z.sum(axis=0)
    diagonal = float(x2 @ z2)
    trace = np.square(cross).sum() - diagonal
    ones = (sum_x @ sum_x - x2.sum()) * (sum_z @ sum_z - z2.sum())
    mixed = sum_x @ cross @ sum_z - sum_x @ (x.T @ z2) - sum_z @ (z.T @ x2) + diagonal
    return float(trace + ones / ((n - 1) * (n - 2)) - 2 * mixed / (n - 2))
