"""Centred kernel alignment with Gaussian kernels between two representations of the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import Array
from .cka_linear import ratio, unbiased_hsic
from .paired import centred, check_paired
from .registry import register_measure
from .samples import squared_distances

MEDIAN_ROWS = 4000  # rows, evenly spread, whose distances give the median


@register_measure(
    "cka_rbf",
    kind="similarity",
    higher_is_closer=True,
    range="0 to 1 (biased); about 0 to 1, can be a little below 0 (debiased)",
    cost="N^2 (D + D'), in blocks",
    reference="Kornblith, Norouzi, Lee and Hinton, ICML 2019; Song et al., JMLR 2012 (unbiased HSIC)",
    misleads="Biased, it nears 1 for any two with far more features than samples, or with a small bandwidth. "
    "Where all rows are about equally far apart, it says no more than cka_linear.",
)
def cka_rbf(a: Any, b: Any, *, debiased: bool = False, bandwidth: float = 1.0) -> float:
    r"""Normalised HSIC of two representations under Gaussian kernels, each with its own median distance.

    :math:`k(x, x') = \exp(-\lVert x - x'\rVert^2 / (2 f^2 m))`, with m the median of all :math:`N^2` squared
    distances, those of rows to themselves included. Biased: :math:`tr(KHLH)` over the root of
    :math:`tr(KHKH)\,tr(LHLH)`, with H the centring matrix. Debiased: the same ratio of unbiased HSIC estimates.

    Parameters
    ----------
    a, b : arrays or tensors of shape (n_samples, n_features), (n_samples, n_other_features)
        Row i of both is the same sample.
    debiased : bool, default=False
    bandwidth : float, default=1.0
        The factor f on the root of the median. The larger, the closer the value is to that of `cka_linear`.

    Returns
    -------
    value : float
        Higher is more alike; NaN where a representation is constant, or its unbiased norm is not positive, as that of
        equidistant rows. Invariant to rotation, shift and scale of either.

    Raises
    ------
    ScoreError
        If row counts differ, values are not finite, `bandwidth` is not positive, at least half of the pairs of rows
        of a representation that varies are equal, or there are fewer than 4 rows (debiased).

    Notes
    -----
    The kernel matrices are made in blocks, of about 4 million entries at a time. The median is exact up to 4000 rows,
    and that of 4000 evenly spread ones beyond.

    References
    ----------
    Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019.
    """
    if not 0 < bandwidth < np.inf:
        raise ScoreError(f"cka_rbf: bandwidth={bandwidth}; expected a positive factor on the median distance.")
    first, second = check_paired(a, b, caller="cka_rbf", debiased=debiased)
    if not (centred(first).any() and centred(second).any()):
        return float("nan")
    scales = [2 * bandwidth**2 * _median(rows, name) for rows, name in ((first, "a"), (second, "b"))]
    wide = bandwidth >= 1
    products, k, m = _sums(first, second, scales, wide)
    if not (debiased or wide):  # the diagonals, of ones
        products, k, m = products + len(k), k + 1, m + 1
    hsic = unbiased_hsic if debiased else _biased_hsic
    return ratio(hsic(products[0], k, m), hsic(products[1], k, k), hsic(products[2], m, m))


def _sums(a: Array, b: Array, scales: list[float], wide: bool) -> tuple[Array, Array, Array]:
    """Sums of products of entries of both kernels, and of each with itself; and the sums of rows of each."""
    products, k, m = np.zeros(3), np.empty(len(a)), np.empty(len(b))
    for (part, squared_a), (_, squared_b) in zip(squared_distances(a, a), squared_distances(b, b), strict=True):
        x, z = (_kernel(d, part, scale, wide) for d, scale in zip((squared_a, squared_b), scales, strict=True))
        products += np.vdot(x, z), np.vdot(x, x), np.vdot(z, z)
        k[part], m[part] = x.sum(axis=1), z.sum(axis=1)
    return products, k, m


def _kernel(squared: Array, part: slice, scale: float, wide: bool) -> Array:
    """A block of rows of the kernel, in place of the squared distances; less 1 everywhere if wide; zero diagonal.

    A constant added to a kernel changes neither estimate of HSIC. Of a wide one, near 1 everywhere, what it lacks of 1
    keeps the digits that matter; of a narrow one, near 0, the kernel itself does.
    """
    squared /= -scale
    (np.expm1 if wide else np.exp)(squared, out=squared)
    squared[np.arange(len(squared)), np.arange(part.start, part.stop)] = 0.0
    return squared


def _biased_hsic(product: float, first: Array, second: Array) -> float:
    """tr(KHLH) from the sum of products of entries and the sums of rows."""
    n = len(first)
    return float(product - 2 * (first @ second) / n + first.sum() * second.sum() / n**2)


def _median(values: Array, name: str) -> float:
    """Median of the squared distances of all ordered pairs of rows, a row with itself included."""
    n = min(len(values), MEDIAN_ROWS)
    rows = values[np.linspace(0, len(values) - 1, n).astype(int)]
    pairs, filled = np.empty(n * (n - 1) // 2), 0
    for part, squared in squared_distances(rows, rows):
        found = squared[np.arange(n) > np.arange(part.start, part.stop)[:, None]]
        pairs[filled : filled + len(found)] = found
        filled += len(found)
    # in order there are n zeros, then each pair twice
    middle = [(rank - n) // 2 for rank in ((n * n - 1) // 2, n * n // 2)]
    pairs.partition([index for index in middle if index >= 0])
    median = sum(float(pairs[index]) for index in middle if index >= 0) / 2
    if median == 0:
        raise ScoreError(
            f"cka_rbf: at least half of all pairs of rows of {name} are equal, so there is no median distance; remove "
            "duplicate rows."
        )
    return median
