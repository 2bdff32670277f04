"""Linear centred kernel alignment accumulated over batches of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import ScoreError
from ..features.arrays import Array
from .cka_linear import ratio, unbiased_linear
from .paired import FEWEST, centred, check_paired
from .registry import register_measure


@register_measure(
    "cka_minibatch",
    kind="similarity",
    higher_is_closer=True,
    range="about 0 to 1, can be a little below 0",
    cost="N D D', or N batch_size (D + D') where that is less; one batch in memory",
    reference="Nguyen, Raghu and Kornblith, ICLR 2021; Song et al., JMLR 2012 (unbiased HSIC)",
    misleads="It depends on which rows share a batch: of rows sorted by class it compares what varies within classes. "
    "The few directions, or rows, of largest variance decide it.",
)
def cka_minibatch(a: Any, b: Any, *, batch_size: int = 256) -> float:
    r"""Debiased linear CKA from sums of unbiased HSIC over consecutive batches of rows.

    :math:`\sum_i h(A_i, B_i) / \sqrt{\sum_i h(A_i, A_i) \sum_i h(B_i, B_i)}` over batches i, with h the unbiased
    estimate of HSIC with linear kernels. One batch of all rows gives `cka_linear` with ``debiased=True``.

    Parameters
    ----------
    a, b : arrays or tensors of shape (n_samples, n_features), (n_samples, n_other_features)
        Row i of both is the same sample.
    batch_size : int, default=256
        A last batch of fewer rows weighs as much as the others; of fewer than 4, it is left out.

    Returns
    -------
    value : float
        Higher is more alike; NaN where a representation is constant within every batch, or its unbiased norm is not
        positive. Invariant to rotation, shift and scale of either; not to the order of rows, unless by batches.

    Raises
    ------
    ScoreError
        If row counts differ, values are not finite, or there are fewer than 4 rows or rows per batch.

    See Also
    --------
    MinibatchCKA : the same of batches as they come.

    References
    ----------
    Nguyen, Raghu and Kornblith, "Do Wide and Deep Networks Learn the Same Things?", ICLR 2021.
    """
    first, second = check_paired(a, b, caller="cka_minibatch", debiased=True)
    found = MinibatchCKA()
    for batch in batches(len(first), batch_size, caller="cka_minibatch"):
        found._add(first[batch], second[batch])
    return found.value


@dataclass
class MinibatchCKA:
    """`cka_minibatch` of a stream of batches, so that the features of neither model are ever held all.

    ``x + y`` is that of the batches of both, wherever each was made.

    Attributes
    ----------
    cross, first, second : float
        Sums of unbiased HSIC of one with the other, and of each with itself.
    n_batches : int
        Batches counted; those of fewer than 4 rows are not.
    """

    cross: float = 0.0
    first: float = 0.0
    second: float = 0.0
    n_batches: int = 0

    def update(self, a: Any, b: Any) -> None:
        """Count one batch: arrays or tensors of shape (n_rows, n_features), (n_rows, n_other_features).

        Raises
        ------
        ScoreError
            If row counts differ or values are not finite. A batch of fewer than 4 rows is left out.
        """
        self._add(*check_paired(a, b, caller="MinibatchCKA"))

    def _add(self, a: Array, b: Array) -> None:
        if len(a) < FEWEST:
            return
        x, z = centred(a), centred(b)
        self.cross += unbiased_linear(x, z)
        self.first += unbiased_linear(x, x)
        self.second += unbiased_linear(z, z)
        self.n_batches += 1

    @property
    def value(self) -> float:
        """As `cka_minibatch`.

        Raises
        ------
        ScoreError
            If no batch was counted.
        """
        if not self.n_batches:
            raise ScoreError(f"MinibatchCKA: no batch of at least {FEWEST} rows was given; update it with some.")
        return ratio(self.cross, self.first, self.second)

    def __add__(self, other: MinibatchCKA) -> MinibatchCKA:
        return MinibatchCKA(
            self.cross + other.cross,
            self.first + other.first,
            self.second + other.second,
            self.n_batches + other.n_batches,
        )


def batches(n_rows: int, batch_size: int, *, caller: str) -> Iterator[slice]:
    """Consecutive slices of `batch_size` rows.

    Raises
    ------
    ScoreError
        If there are fewer than 4 rows per batch.
    """
    if batch_size < FEWEST:
        raise ScoreError(f"{caller}: batch_size={batch_size}; the debiased form is defined from {FEWEST} rows on.")
    return (slice(start, start + batch_size) for start in range(0, n_rows, batch_size))
