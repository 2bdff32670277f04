"""The consensus: ranks under several scorers, and the history, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
HISTORY = "history"  # the prior's name among the weights
# scorers of one family read the same thing of features and labels, and agree even where they are wrong
FAMILIES: Mapping[str, str] = {
    **dict.fromkeys(("ridge_loo", "lda_loo", "linear_probe", "least_squares", "lda", "sfda"), "linear classifier"),
    **dict.fromkeys(("logme", "logme_cv", "pactran_gauss"), "evidence"),
    **dict.fromkeys(("h_score", "h_score_regularized", "transrate", "ncti_vc", "ncti_seli"), "scatter"),
    **dict.fromkeys(("knn", "parc", "tmi", "ncti_ncc", "nearest_mean", "lfc", "gbc", "gbc_pca"), "neighbourhood"),
    **dict.fromkeys(("leep", "nce", "nleep", "pactran_dirichlet", "pactran_gamma", "energy", "emms"), "source labels"),
}


def default_weights(scorers: Sequence[str], *, history: bool = False) -> dict[str, float]:
    """What each scorer's ranks count where nothing is known of their worth: each family the same.

    Five scorers that read one scatter matrix are not five witnesses. A scorer of no known family is its own. The
    history, where there is one, counts as a family.

    Returns
    -------
    dict of scorer to float
        They sum to 1; empty without scorers.
    """
    kinds = [FAMILIES.get(name, name) for name in scorers]
    n_families = len(set(kinds)) + history
    weights = {name: 1 / (n_families * kinds.count(kind)) for name, kind in zip(scorers, kinds, strict=True)}
    return {**weights, HISTORY: 1 / n_families} if history else weights


def normal_scores(values: Array) -> Array:
    """Van der Waerden scores of the ranks along the last axis; equals share their mean rank.

    Of n known values the r-th smallest gets the normal quantile of ``r / (n + 1)``; unknown ones (NaN) stay so.
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    n_known = np.isfinite(values).sum(axis=-1, keepdims=True)
    ranks = rankdata(values, axis=-1, nan_policy="omit")
    return np.asarray(ndtri(ranks / (n_known + 1)))


def fuse(values: Mapping[str, Array], weights: Mapping[str, float | Array], prior: Array | None = None) -> Array:
    """Weighted mean of the normal scores that sources get from each scorer.

    Ranks are of the compared sources only, so that a scorer's scale, outliers and monotone distortions do not matter.

    Parameters
    ----------
    values : mapping of scorer to ndarray of shape (..., n_sources)
        Higher is better; NaN where a scorer says nothing of a source.
    weights : mapping of scorer to float or ndarray of shape (..., 1)
        At least 0; scorers without one have no say. "history" is the prior's.
    prior : ndarray of shape (..., n_sources), optional
        What the history says; NaN where it says nothing.

    Returns
    -------
    ndarray of shape (..., n_sources)
        Higher is better, about -2 to 2. The mean is over the scorers that know the source, so that a missing one
        neither punishes nor favours it; NaN where none does. A scorer under which all are equal adds 0 to all.

    References
    ----------
    van der Waerden, "Order tests for the two-sample problem", 1952; Agostinelli et al., "How stable are
    transferability metrics evaluations?", ECCV 2022 (why no single scorer is to be trusted).
    """
    parts = {
        name: np.asarray(array, dtype=np.float64) for name, array in values.items() if np.any(weights.get(name, 0))
    }
    if prior is not None and np.any(weights.get(HISTORY, 0)):
        parts[HISTORY] = np.asarray(prior, dtype=np.float64)
    shapes = [shape for name, array in parts.items() for shape in (array.shape, np.shape(weights[name]))]
    shape = np.broadcast_shapes(*shapes) if parts else np.shape(next(iter(values.values())))
    total, mass = np.zeros(shape), np.zeros(shape)
    for name, array in parts.items():
        scores = normal_scores(array)
        known = np.isfinite(scores)
        total += np.where(known, weights[name] * np.where(known, scores, 0.0), 0.0)
        mass += np.where(known, weights[name], 0.0)
    return np.divide(total, mass, out=np.full(shape, np.nan), where=mass > 0)
