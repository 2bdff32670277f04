"""NLEEP: LEEP with the clusters of a Gaussian mixture in place of source classes, so that no head is needed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..features.arrays import Array, check_inputs, storage_eps
from ..features.moments import Moments
from .leep import _per_sample as log_likelihoods
from .registry import register_scorer

SHARE = 0.8  # of the variance, kept by the principal components
PER_CLASS, FEWEST_ROWS = 5, 5  # clusters a class; samples a cluster
FITS = 3  # starts of EM over which the score is averaged
REGULARISATION = 1e-6  # added to every variance
DIGITS = 9  # of principal components, in the order of rows


def _caveats(moments: Moments) -> Sequence[str]:
    n_classes = len(moments.target_sum)
    if PER_CLASS * n_classes * FEWEST_ROWS <= moments.n_samples:
        return ()
    return (
        f"{_n_clusters(moments.n_samples, n_classes)} clusters for {n_classes} classes, not {PER_CLASS} a class: "
        f"there are only {moments.n_samples} samples.",
    )


def _per_sample(features: Any, labels: Any, *, seed: int = 0) -> Array:
    """The log-likelihood of each sample's label, averaged over fits."""
    values, targets = check_inputs(features, labels, caller="nleep", tasks=("classification",))
    assert targets.codes is not None
    scores = _principal_components(Moments.from_checked(values, targets, storage_eps(features)), values)
    order = np.lexsort(np.round(scores, DIGITS).T[::-1]) if scores.shape[1] else np.arange(len(scores))
    n_clusters = _n_clusters(len(scores), len(targets.classes))
    found = np.zeros(len(scores))
    for start in range(FITS * seed, FITS * (seed + 1)):
        probs = _responsibilities(scores[order], n_clusters, start % 2**32)
        found[order] += log_likelihoods(probs, targets.codes[order]) / FITS
    return found


@register_scorer(
    "nleep",
    range="minus infinity to 0",
    cost="three EM fits of 5 K clusters in d components: rounds N K d^2",
    comparable_across_widths=True,
    meaning=(
        "How well the labels can be guessed from groups that the features fall into by themselves, found without "
        "the labels; 0 would be certainty."
    ),
    misleads="EM has no one answer: seeds move it. With few samples a cluster it fits noise, upwards.",
    reference="Li et al., CVPR 2021",
    caveats=_caveats,
    per_sample=_per_sample,
)
def nleep(features: Any, labels: Any, *, seed: int = 0) -> float:
    r"""Mean log-likelihood of the labels under the clusters of a Gaussian mixture and the label odds of each.

    The features are reduced to the principal components that hold 80 percent of their variance; a mixture of full
    Gaussians is fitted to these without the labels; and with :math:`P_{nz}` the probability that row n is of cluster
    z, the score is LEEP of P:

    .. math:: \frac1N\sum_n \ln\sum_z P_{nz}\,\hat P(y_n \mid z)

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : classes of shape (n_samples,)
        There are 5 clusters for each class, but no more than a fifth of the samples.
    seed : int, default=0
        Of the starts of EM: the score is the mean over three.

    Returns
    -------
    score : float
        In (-inf, 0]; higher is better, and minus the entropy of the labels says that clusters tell nothing. Invariant
        to rotation, shift and scale, but for what rounding does to EM. Misleads with few samples a cluster, where
        chance alone lifts it, and through the start of EM: seeds move it by some hundredths.

    Raises
    ------
    ScoreError
        If shapes disagree, values are not finite, or there is one class only.

    Notes
    -----
    Published codes differ in the number of clusters and their seed, and some leave out the logarithm. Here, variances
    are about that of the first component, so that the 1e-6 which keeps them positive is no absolute number, and EM
    sees rows in an order of their values, so that the caller's does not matter.

    References
    ----------
    Li et al., "Ranking Neural Checkpoints", CVPR 2021.
    """
    return float(_per_sample(features, labels, seed=seed).mean())


def _n_clusters(n_samples: int, n_classes: int) -> int:
    return max(1, min(PER_CLASS * n_classes, n_samples // FEWEST_ROWS))


def _principal_components(moments: Moments, values: Array) -> Array:
    """The fewest that hold the share of the variance, in standard deviations of the first, signs settled."""
    squares, _ = moments.factors
    if not len(squares):
        return np.zeros((len(values), 0))
    n_kept = int(np.searchsorted(np.cumsum(squares), SHARE * squares.sum(), side="right")) + 1
    scores = moments.left_vectors(values)[:, :n_kept] * np.sqrt(len(values) * squares[:n_kept] / squares[0])
    farthest = scores[np.abs(scores).argmax(axis=0), np.arange(scores.shape[1])]
    return np.asarray(scores * np.sign(farthest))


def _responsibilities(scores: Array, n_clusters: int, start: int) -> Array:
    """Probability of every cluster for each row, after one fit."""
    if n_clusters == 1 or not scores.shape[1]:
        return np.ones((len(scores), 1))
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(n_clusters, reg_covar=REGULARISATION, random_state=start)
    with warnings.catch_warnings():  # fewer distinct rows than clusters, or 100 rounds: a mixture like any other
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(mixture.fit(scores).predict_proba(scores))
