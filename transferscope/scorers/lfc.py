"""LFC: agreement of the kernel of features with that of labels."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UnknownNameError
from ..features.arrays import Array, Targets, check_inputs
from ..features.moments import EPS, Moments
from .inputs import moments_of_classes
from .jackknife import Blocks, left_out_values
from .registry import register_scorer

KERNELS = ("dot", "cosine", "correlation", "l2")
BLOCK = 32.0  # MiB of distances in memory at a time


def _left_out(blocks: Blocks) -> Array:
    return left_out_values(lambda moments: _of_products(moments, center=True), blocks)


@register_scorer(
    "lfc",
    range="-1 to 1",
    cost="one Gram matrix: N D^2; with distances N^2 D, in blocks",
    comparable_across_widths=False,
    meaning=(
        "Whether samples of one class are more alike in the features than samples of different classes: a "
        "correlation over all pairs."
    ),
    misleads="Without signal it is not 0 but grows with the number of directions the features fill.",
    reference="Deshpande et al., arXiv 2102.00084, 2021",
    left_out=_left_out,
)
def lfc(
    features: Any,
    labels: Any,
    *,
    kernel: Literal["dot", "cosine", "correlation", "l2"] = "dot",
    center: bool = True,
    moments: Moments | None = None,
) -> float:
    r"""Correlation of feature similarity with label agreement over all ordered pairs of samples.

    With :math:`\Theta_{ij}` the kernel of rows i and j, :math:`L_{ij} = 1` within a class and -1 between classes, and
    both less the mean of all their entries, it is
    :math:`\langle\Theta, L\rangle / (\lVert\Theta\rVert_F\,\lVert L\rVert_F)`; each sample is also paired with itself.
    No kernel matrix is made: products of rows come from sums over rows and classes, and distances in blocks.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : classes of shape (n_samples,)
        Any hashable values, at least two classes.
    kernel : {"dot", "cosine", "correlation", "l2"}
        Products of rows; of rows of norm 1; of rows less their own mean, of norm 1; or minus Euclidean distances. A
        row without direction (zero, or constant for "correlation") has kernel 0 with every other.
    center : bool, default=True
        Take the mean of the features off first; published codes do not, and a large mean then hides everything.
    moments : Moments, optional
        Of these features and labels, to share work between scorers; with "dot" the arrays are not read then.

    Returns
    -------
    score : float
        In [-1, 1], and not below 0 for the centred dot product; higher is better. 0 if no two entries of the kernel
        differ. Invariant to rotation and scale, and when centred to shifts ("correlation" not to rotation).

    Raises
    ------
    ScoreError
        If shapes disagree, values are not finite, or there is one class only.
    UnknownNameError
        If there is no such kernel.

    References
    ----------
    Deshpande et al., "A linearized framework and a new benchmark for model selection for fine-tuning", arXiv
    2102.00084, 2021, which proposes it for gradients; here it is of features.
    """
    if kernel not in KERNELS:
        raise UnknownNameError("kernel of lfc", kernel, KERNELS)
    if kernel == "dot":
        return _of_products(moments_of_classes(features, labels, moments, caller="lfc"), center)
    values, targets = check_inputs(features, labels, caller="lfc", tasks=("classification",))
    if kernel == "l2":
        assert targets.codes is not None
        return _of_distances(values, targets.codes)
    return _of_products(_of_directions(values, targets, kernel, center), center=False)


def _of_directions(values: Array, targets: Targets, kernel: str, center: bool) -> Moments:
    """Moments of rows of norm 1, so that their products are cosines or correlations."""
    n, d = values.shape
    rows, noise = values, np.zeros((n, 1))
    if center:
        rows, noise = values - values.mean(axis=0), noise + n * EPS * np.abs(values).max()
    if kernel == "correlation":
        noise = noise + d * EPS * np.abs(rows).max(axis=1, keepdims=True)
        rows = rows - rows.mean(axis=1, keepdims=True)
    size = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.divide(rows, size, out=np.zeros_like(rows), where=size > noise * np.sqrt(d))
    return Moments.from_checked(unit, targets, EPS)


def _of_products(moments: Moments, center: bool) -> float:
    """The score of products of rows.

    With class sums of centred rows c_k and the mean m (0 if centred), what the grand means take off cancels on paper,
    where it would cost all digits in arithmetic: <Theta, L> is 2 sum_k c_k'(c_k + 2 n_k m), and the squared norm of
    Theta that of the scatter matrix S plus 2 N m'Sm.
    """
    counts, sums, n = moments.target_sum, moments.cross, moments.n_samples
    if len(counts) == 1:  # without a block of rows
        return 0.0
    if moments.trace <= n * float(np.square(n * EPS * moments.mean).sum()):  # what rounding leaves of equal rows
        return 0.0
    spread = moments.square_norm if moments.rows is None else float(np.square(moments.factors[0]).sum())
    together = 2 * np.square(sums).sum()
    if not center:
        mean = moments.mean[:, None]
        spread += 2 * n * moments.spread_along(mean)[0]
        together += 4 * (sums * (counts * mean)).sum()
    return float(together / np.sqrt(spread) / _label_norm(counts))


def _of_distances(values: Array, codes: NDArray[np.int64]) -> float:
    """The score of minus the distances, a block of rows at a time."""
    from sklearn.metrics import pairwise_distances_chunked

    n, counts = len(values), np.bincount(codes).astype(float)
    centred = values - values.mean(axis=0)  # distances stay, and lose fewer digits
    if np.abs(centred).max() <= n * EPS * np.abs(values).max():
        return 0.0
    order = np.argsort(codes, kind="stable")  # a class is a run of columns, which `reduceat` sums
    first = np.concatenate([[0], np.cumsum(counts)[:-1].astype(int)])
    start, total, within = 0, 0.0, 0.0
    for block in pairwise_distances_chunked(centred[order], metric="euclidean", working_memory=BLOCK):
        per_class = np.add.reduceat(block, first, axis=1)
        total += per_class.sum()
        within += per_class[np.arange(len(block)), codes[order[start : start + len(block)]]].sum()
        start += len(block)
    spread = 2 * n * np.square(centred).sum() - (total / n) ** 2
    together = total - 2 * within + total * _grand_mean(counts)
    return float(together / np.sqrt(spread) / _label_norm(counts))


def _grand_mean(counts: Array) -> float:
    """Mean of L over all pairs."""
    n = counts.sum()
    return float(2 * np.square(counts / n).sum() - 1)


def _label_norm(counts: Array) -> float:
    """Frobenius norm of L less its mean."""
    mean = _grand_mean(counts)
    return float(counts.sum() * np.sqrt((1 - mean) * (1 + mean)))
