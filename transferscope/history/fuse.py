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
    r"""Weighted mean of the normal scores that sources get from each scorer, each on a level of its own.

    Ranks are of the compared sources only, so that a scorer's scale, outliers and monotone distortions do not matter.
    A scorer that knows only some sources ranks these, and says nothing of how they stand beside the others: scores
    follow :math:`z_{si} = u_i + b_s`, and sources :math:`u` and levels :math:`b` are the weighted least-squares fit.
    Where every scorer knows every source all levels are 0, and :math:`u` is the plain weighted mean.

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
        Higher is better, about -2 to 2; NaN where no scorer knows the source. A scorer under which all are equal has
        no say, unless none has: then all are 0.

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
    if not parts:
        return np.full(np.shape(next(iter(values.values()))), np.nan)
    shape = np.broadcast_shapes(*shapes)
    scores = np.stack([np.broadcast_to(normal_scores(array), shape) for array in parts.values()], axis=-2)
    known = np.isfinite(scores)
    told = known & np.any(np.where(known, scores, 0.0) != 0.0, axis=-1, keepdims=True)
    shares = np.stack([np.broadcast_to(weights[name], (*shape[:-1], 1)) for name in parts], axis=-2)
    mass = shares * told
    z = np.where(told, scores, 0.0)
    partial = told.any(axis=-1) & ~told.all(axis=-1)
    levels = _levels(z, mass) if partial.any() else 0.0
    total = mass.sum(axis=-2)
    found = np.divide((mass * (z - levels)).sum(axis=-2), total, out=np.full(shape, np.nan), where=total > 0)
    return np.where(np.isnan(found) & known.any(axis=-2), 0.0, found)


def _levels(z: Array, mass: Array) -> Array:
    """Each scorer's level, (..., n_scorers, 1), from the normal equations in which the sources are eliminated.

    They leave a common shift open: the scorer that knows most sources has level 0. Scorers that share no source cannot
    be compared; the pseudo-inverse leaves the mean level of each such group at 0 but for that shift.
    """
    total = mass.sum(axis=-2, keepdims=True)
    share = np.divide(mass, total, out=np.zeros_like(mass), where=total > 0)
    means = (share * z).sum(axis=-2, keepdims=True)
    apart = -mass @ np.swapaxes(share, -1, -2)
    places = np.arange(mass.shape[-2])
    apart[..., places, places] += mass.sum(axis=-1)
    goal = (mass * (z - means)).sum(axis=-1, keepdims=True)
    levels = np.asarray(np.linalg.pinv(apart, hermitian=True, rcond=1e-9) @ goal)
    widest = (mass > 0).sum(axis=-1, keepdims=True).argmax(axis=-2, keepdims=True)
    return levels - np.take_along_axis(levels, widest, axis=-2)
