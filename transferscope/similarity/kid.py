"""Kernel distance with a cubic kernel, as used to compare generated with real images."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import Array
from .registry import register_measure
from .samples import BLOCK, check_samples


@register_measure(
    "kid",
    kind="discrepancy",
    higher_is_closer=False,
    range="unbounded; about 0 for equal distributions, and can be below it",
    cost="(N + M)^2 D, in blocks",
    reference="Binkowski, Sutherland, Arbel and Gretton, ICLR 2018",
    misleads="It grows with up to the sixth power of the features' scale: compare values of one source only.",
)
def kid(source: Any, target: Any, *, n_subsets: int | None = None, subset_size: int = 1000, seed: int = 0) -> float:
    r"""Unbiased squared MMD under the kernel :math:`k(x, z) = (x'z/D + 1)^3`.

    Means of k over pairs of different rows within each side, minus twice its mean over pairs across.

    Parameters
    ----------
    source, target : arrays or tensors of shape (n_samples, n_features), (n_other_samples, n_features)
    n_subsets : int, optional
        Average over this many random subsets, as the authors do (100 of 1000 rows); by default all rows count once.
    subset_size : int, default=1000
        Rows drawn from each side for each subset, none twice.
    seed : int, default=0
        Of the subsets.

    Returns
    -------
    value : float
        Lower is closer; below 0 by chance, as unbiased estimates of 0 are. Invariant to rotation and to the order of
        rows. It is not invariant to shift or scale: tiny features leave the squared distance of means times 3/D, large
        ones the gap of third moments, which grows with the sixth power of the scale.

    Raises
    ------
    ScoreError
        If widths differ, values are not finite, a side has fewer than 2 rows, or fewer than `subset_size`.

    References
    ----------
    Binkowski, Sutherland, Arbel and Gretton, "Demystifying MMD GANs", ICLR 2018.
    """
    s, t = check_samples(source, target, caller="kid")
    if n_subsets is None:
        return _unbiased(s, t)
    if n_subsets < 1:
        raise ScoreError(f"kid: n_subsets={n_subsets}; expected at least 1, or None to use all rows once.")
    fewest = min(len(s), len(t))
    if not 2 <= subset_size <= fewest:
        raise ScoreError(
            f"kid: subset_size={subset_size} with {len(s)} and {len(t)} rows; expected 2 to {fewest}, or "
            "n_subsets=None to use all rows once."
        )
    rng = np.random.default_rng(seed)
    subsets = [
        (rng.permutation(len(s))[:subset_size], rng.permutation(len(t))[:subset_size]) for _ in range(n_subsets)
    ]
    return float(np.mean([_unbiased(s[rows], t[others]) for rows, others in subsets]))


def _unbiased(s: Array, t: Array) -> float:
    """The estimate for rows about a centre c: the kernel's terms in one row alone cancel, so they are left out."""
    centre = (s.mean(axis=0) + t.mean(axis=0)) / 2
    n, m = len(s), len(t)
    x, z = s - centre, t - centre
    inner = _kernel_sum(x, x, centre) / (n * (n - 1)) + _kernel_sum(z, z, centre) / (m * (m - 1))
    return float(inner - 2 * _kernel_sum(x, z, centre) / (n * m))


def _kernel_sum(x: Array, z: Array, centre: Array) -> float:
    """Sum of k(c+x, c+z) - k(c+x, c) - k(c, c+z) + k(c, c) over pairs, of different rows where x is z.

    Written out in deviations from c, so that neither a large mean nor tiny features cost digits.
    """
    width = len(centre)
    base = 1 + centre @ centre / width
    a, b = x @ centre / width, z @ centre / width
    total, height = 0.0, max(1, BLOCK // len(z))
    for start in range(0, len(x), height):
        left = a[start : start + height, None]
        both = x[start : start + height] @ z.T / width
        rest = base + left + b
        kernel = both * (3 * rest * (rest + both) + both * both) + 3 * (left * b) * (base + rest)
        if x is z:
            kernel[np.arange(len(kernel)), np.arange(start, start + len(kernel))] = 0.0
        total += float(kernel.sum())
    return total
