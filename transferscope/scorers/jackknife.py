"""Standard errors of scores: each block of samples left out in turn, from the blocks' own moments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoreError
from ..features.arrays import Array, Targets
from ..features.moments import Moments
from ..features.remainder import Remainder
from ..results import Score

N_BLOCKS = 10


@dataclass(frozen=True, eq=False)
class Blocks:
    """Samples divided into blocks, their moments, and those of all samples.

    Attributes
    ----------
    total : Moments
    parts : tuple of Moments, one per block
    rows : tuple of integer arrays
        The row numbers of each block.
    """

    total: Moments
    parts: tuple[Moments, ...]
    rows: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, values: Array, targets: Targets, eps: float, seed: int) -> Blocks:
        """Of features and targets as `check_inputs` returns them."""
        rows = assign_blocks(targets, seed)
        parts = tuple(Moments.from_checked(values[taken], targets.take(taken), eps, powers=True) for taken in rows)
        n, d = values.shape
        total = Moments.from_checked(values, targets, eps, powers=True) if n <= d else Moments.merge(parts)
        return cls(total, parts, rows)

    def __len__(self) -> int:
        return len(self.parts)

    def without(self, number: int) -> NDArray[np.int64]:
        """The rows that are left without block `number`, in their order."""
        return np.setdiff1d(np.concatenate(self.rows), self.rows[number])

    @cached_property
    def aligned(self) -> tuple[Moments, ...]:
        """The parts, each with all label columns of the whole."""
        return tuple(part.over(self.total.classes) for part in self.parts)

    @cached_property
    def remainders(self) -> tuple[Remainder, ...]:
        """Moments of what is left without each block."""
        return tuple(Remainder.of(self.total, part) for part in self.parts)


def assign_blocks(targets: Targets, seed: int, n_blocks: int = N_BLOCKS) -> tuple[NDArray[np.int64], ...]:
    """Row numbers of each block: samples at random, the classes spread evenly over the blocks.

    The same targets and seed give the same blocks, so that sources are compared on the same samples. What is learnt
    from them holds for other samples with as many of each class: that their number is chance too is not seen.
    """
    n = len(targets)
    order = np.random.default_rng(seed).permutation(n)
    if targets.codes is not None:  # classes by first appearance, so that their names do not matter
        _, first, codes = np.unique(targets.codes[order], return_index=True, return_inverse=True)
        order = order[np.argsort(first[codes], kind="stable")]
    return tuple(np.sort(order[start::n_blocks]) for start in range(min(n_blocks, n)))


def left_out_values(fn: Callable[[Moments], float], blocks: Blocks) -> Array:
    """`fn` of the moments without each block in turn: exact, for scorers that need no decomposition."""
    return np.array([fn(left) for left in blocks.remainders])


def left_out_means(per_sample: Array, rows: Sequence[NDArray[np.int64]]) -> Array:
    """Means of what each sample adds to a score, without each block in turn."""
    total, n = per_sample.sum(), len(per_sample)
    return np.array([(total - per_sample[taken].sum()) / (n - len(taken)) for taken in rows])


def standard_error(left_out: Array | Sequence[float]) -> float:
    r"""Jackknife standard error from values without each block.

    .. math:: \sqrt{\frac{B-1}{B}\sum_b (\theta_{(b)} - \bar\theta)^2}

    Parameters
    ----------
    left_out : sequence of B values

    References
    ----------
    Efron and Stein, "The Jackknife Estimate of Variance", Annals of Statistics 1981.
    """
    values = np.asarray(left_out, dtype=float)
    return float(np.sqrt((len(values) - 1) * values.var()))


def paired_difference(first: Score, second: Score) -> tuple[float, float]:
    """Difference of two sources' values of one scorer, and its standard error.

    Both were scored on the same samples, so what a block adds to one it mostly adds to the other: their difference is
    known better than either value.

    Parameters
    ----------
    first, second : Score
        Of one scorer, on the same samples and blocks.

    Returns
    -------
    difference, standard_error : float
        Of `first` minus `second`; above 0 the first is the higher. About normal, with ``B - 1`` degrees of freedom.

    Raises
    ------
    ScoreError
        If the scores are of different scorers or samples, or hold no values without their blocks.
    """
    if (first.name, first.n_samples, len(first.left_out)) != (second.name, second.n_samples, len(second.left_out)):
        raise ScoreError(
            f"paired_difference: {first.name} of {first.n_samples} samples in {len(first.left_out)} blocks beside "
            f"{second.name} of {second.n_samples} in {len(second.left_out)}; give one scorer's on the same samples."
        )
    if first.value is None or second.value is None or not first.left_out:
        raise ScoreError(f"paired_difference: {first.name} holds no values with blocks left out; nothing to pair.")
    gaps = np.subtract(first.left_out, second.left_out)
    return first.value - second.value, standard_error(gaps)
