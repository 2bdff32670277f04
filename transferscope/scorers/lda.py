"""Linear discriminant analysis, scored on the samples it was fitted to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..features.arrays import Array
from ..features.moments import EPS, Moments
from .inputs import rows_and_moments
from .registry import register_scorer

STRENGTH, LEAST = 5.0, 1e-10  # published shrinkage: exp(-5 times the largest within-class variance), at least 1e-10
ROUNDS = 3  # of the published estimate of that variance
VANISHING = 1e-6  # sums of rows below this share are rounding noise: the features of every sample have the same sum
BLOCK = 1024  # rows worked on at a time
Rows = Callable[[slice], Array]
CERTAIN = 1e-6  # a mean probability this close to 1 orders nothing


def saturated(moments: Moments, value: float) -> str | None:
    """Whether directions fitted to these very samples separate them whatever the labels."""
    n, k = moments.n_samples, len(moments.target_sum)
    if moments.rank < n - k and value < 1 - CERTAIN:
        return None
    return (
        f"Saturated: in {moments.rank} dimensions {n} samples of {k} classes are separated perfectly by directions "
        "fitted to themselves; lda_loo leaves samples out."
    )


def _per_sample(features: Any, labels: Any, *, moments: Moments | None = None) -> Array:
    values, targets, moments = rows_and_moments(
        features, labels, None, moments, caller="lda", tasks=("classification",)
    )
    assert targets.codes is not None
    fit, rows = Discriminant.of(moments), centred_rows(values, moments)
    return own_probabilities(lambda block: rows(block) @ fit.weights + fit.level, targets.codes)


@register_scorer(
    "lda",
    range="0 to 1",
    cost="one Gram matrix, one Cholesky factor, and N D K",
    comparable_across_widths=False,
    meaning=(
        "How sure a simple classifier with straight borders between the classes is of the right class, on average "
        "over the samples it was fitted to."
    ),
    misleads="It is fitted to the samples it is measured on: near or below as many samples as features it is 1 for "
    "every source. It depends on the features' scale.",
    reference="Gholami, Akbari, Wang, Kamranian and Zhang, ICCV 2023 (ETran); Shao et al., ECCV 2022 (shrinkage)",
    saturated=saturated,
    per_sample=_per_sample,
)
def lda(features: Any, labels: Any, *, moments: Moments | None = None) -> float:
    r"""Mean probability of the true class under a shrunk linear discriminant.

    .. math:: p_{nk} \propto \exp(x_n'A^{-1}\mu_k - \tfrac12\mu_k'A^{-1}\mu_k + \ln\pi_k), \quad
              A = (1-s)S_w + s\,\tfrac{\mathrm{tr}\,S_w}{D} I

    with :math:`S_w` the pooled covariance within classes and s = exp(-5 times its largest eigenvalue), at least 1e-10:
    the first stage of SFDA, and ETran's classification part as its paper has it.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : classes of shape (n_samples,)
        Any hashable values, at least two classes.
    moments : Moments, optional
        Of these features and labels, to share work between scorers.

    Returns
    -------
    score : float
        In (0, 1]; higher is better. Invariant to shift, not to scale, and to rotation but for the published estimate
        of the eigenvalue.

    Raises
    ------
    ScoreError
        If shapes disagree, values are not finite, or there is one class only.

    References
    ----------
    Gholami et al., "ETran: Energy-Based Transferability Estimation", ICCV 2023.
    """
    return float(_per_sample(features, labels, moments=moments).mean())


@dataclass(frozen=True, eq=False)
class Discriminant:
    """A linear discriminant of rows about their mean.

    Attributes
    ----------
    means : ndarray of shape (n_classes, n_dimensions)
    weights, level : ndarrays of shape (n_dimensions, n_classes), (n_classes,)
        ``row @ weights + level`` are the logits.
    shrink : float
        Weight of the sphere in the covariance.
    """

    means: Array
    weights: Array
    level: Array
    shrink: float

    @classmethod
    def of(cls, moments: Moments) -> Discriminant:
        """With the published shrinkage, of rows as `centred_rows` gives them."""
        if moments.rows is None:
            means, scatter, ones = moments.class_means.T, moments.scatter, np.ones(moments.n_features)
        else:
            values, projections = moments.centred.values, moments.centred.projections
            means = (np.sqrt(values)[:, None] * projections / moments.target_sum).T
            scatter, ones = np.diag(values), moments.right_vectors.sum(axis=0)
        within = within_classes(means, moments.target_sum, scatter)
        largest = _largest_eigenvalue(within, ones, VANISHING * np.sqrt(moments.n_features))
        shrink = max(float(np.exp(-STRENGTH * largest)), LEAST)
        return cls.fit(means, moments.target_sum, within, moments.n_features, shrink)

    @classmethod
    def fit(cls, means: Array, counts: Array, within: Array, n_features: int, shrink: float) -> Discriminant:
        """Of class means about the mean of all, and the covariance within classes, which is overwritten."""
        between = float(counts @ np.square(means).sum(axis=1)) / counts.sum()
        sphere = max(float(np.trace(within)), EPS * between) / n_features
        within *= 1 - shrink
        within[np.diag_indices_from(within)] += max(shrink * sphere, np.finfo(float).tiny)
        weights = np.asarray(np.linalg.solve(within, means.T), dtype=np.float64)
        level = np.log(counts / counts.sum()) - 0.5 * (means.T * weights).sum(axis=0)
        return cls(means, weights, level, shrink)


def own_probabilities(logits: Rows, codes: NDArray[np.int64], *, twice: bool = False) -> Array:
    """Each row's probability of its own class, from the logits of a block of rows; `twice` takes the softmax again."""
    found = np.empty(len(codes))
    for block in in_blocks(len(codes)):
        powers = logits(block)
        powers -= powers.max(axis=1, keepdims=True)
        total = np.exp(powers, out=powers).sum(axis=1)
        if twice:  # of probabilities there is no maximum to take off
            powers /= total[:, None]
            total = np.exp(powers, out=powers).sum(axis=1)
        found[block] = own(powers, codes[block]) / total
    return found


def centred_rows(values: Array, moments: Moments, most: int = BLOCK) -> Rows:
    """A block of rows about the mean of all, in as few dimensions as they span; good until the next is asked for."""
    if moments.rows is None:
        space = np.empty((min(most, len(values)), moments.n_features))
        return lambda block: np.subtract(values[block], moments.mean, out=space[: len(values[block])])
    squares, left = moments.factors
    return lambda block: left[block] * np.sqrt(squares)


def in_blocks(n_samples: int, most: int = BLOCK) -> Iterator[slice]:
    """Slices of rows that are worked on at a time."""
    return (slice(start, min(start + most, n_samples)) for start in range(0, n_samples, most))


def within_classes(means: Array, counts: Array, scatter: Array) -> Array:
    """Pooled covariance within classes, divisor N, of class means and the scatter about the mean of all."""
    between = np.sqrt(counts)[:, None] * means
    within = between.T @ between
    np.subtract(scatter, within, out=within)
    within /= counts.sum()
    return within


def softmax(logits: Array) -> Array:
    """Probabilities of logits, row by row; the array is overwritten."""
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits


def own(probabilities: Array, codes: NDArray[np.int64]) -> Array:
    """Each row's probability of its own class."""
    return np.asarray(probabilities[np.arange(len(codes)), codes])


def _largest_eigenvalue(matrix: Array, start: Array, least: float) -> float:
    """The published estimate: three rounds of two products, from the sums of rows; where these vanish, itself."""
    x = y = matrix @ start
    if np.linalg.norm(x) <= least * np.linalg.norm(matrix):
        return float(np.linalg.eigvalsh(matrix).max(initial=0.0))
    for _ in range(ROUNDS):
        for _ in range(2):
            y, x = x, matrix @ x
            x = x / np.linalg.norm(x)
    return float(x @ matrix @ y)
