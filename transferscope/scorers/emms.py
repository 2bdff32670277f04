"""EMMS: how well features explain labels as foundation models embed them, for tasks of any kind."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import TASKS, Array, Targets, as_float64, storage_eps
from ..features.moments import EPS, Moments
from .registry import register_scorer


def _saturated(moments: Moments, value: float) -> str | None:
    if moments.rank < moments.n_samples - 1:
        return None
    return (
        f"Saturated: {moments.n_samples} samples span all of their {moments.n_samples - 1} directions, so the "
        "features fit any embedding of the labels, and what is left is how embeddings differ."
    )


@register_scorer(
    "emms",
    needs=("features", "label_embeddings"),
    tasks=TASKS,
    range="at most 0; about -1 where nothing is explained",
    cost="one Gram matrix and one eigendecomposition: N D^2 + D^3; N D times the widths of all embeddings",
    comparable_across_widths=False,
    meaning=(
        "How well a linear fit to the features reproduces vectors that other models made of the labels; 0 would be "
        "perfect."
    ),
    misleads="Nothing is left out: more features always fit better, and as many as samples fit anything.",
    reference="Meng et al., NeurIPS 2023",
    saturated=_saturated,
)
def emms(features: Any, label_embeddings: Any) -> float:
    r"""Minus the mean squared error of a linear fit to several embeddings of the labels, weighted by how they agree.

    With features X and embeddings :math:`Y_1 .. Y_K` standardised by column, :math:`\hat B` the least-squares fit of
    their mean by X, and :math:`\lambda` the projection on the simplex of the weights with which
    :math:`\sum_j a_j Y_j` comes closest to :math:`\hat B`, it is
    :math:`-\lVert\sum_j\lambda_j Y_j - \hat B\rVert_F^2 / (NC)`, with C the width of the embeddings: one round of the
    paper's alternation. All of it comes from sums of products of columns, which are additive over rows.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    label_embeddings : array or tensor of shape (n_samples, n_dimensions, n_models)
        What each foundation model makes of each sample's label, brought to one width.

    Returns
    -------
    score : float
        At most 0; higher is better. Invariant to invertible linear maps and shifts of the features, and to scale and
        shift of every column of the embeddings; a column that does not vary counts as 0.

    Raises
    ------
    ScoreError
        If shapes disagree, values are not finite, or the embeddings are the same for every sample.

    Notes
    -----
    The released code multiplies by the width where it means to divide: its value is this one times
    ``n_dimensions ** 2``. It adds 1e-8 to every standard deviation.

    References
    ----------
    Meng et al., "Foundation Model is Efficient Multimodal Multitask Model Selector", NeurIPS 2023.
    """
    values = _standardised(as_float64(features, name="features", caller="emms"))
    columns, n_models = _columns(label_embeddings, len(values))
    moments = Moments.from_checked(values, Targets("regression", values=columns), storage_eps(features))
    n_samples, width = len(values), columns.shape[1] // n_models
    stacked = columns.reshape(n_samples * width, n_models)
    products = stacked.T @ stacked
    explained = moments.centred.projections.reshape(-1, n_models)  # U'Y_j, a column per model
    fit = explained.mean(axis=1)
    weights = sparsemax(np.linalg.lstsq(products, explained.T @ fit, rcond=None)[0])
    inside = explained @ weights
    unexplained = weights @ products @ weights - inside @ inside
    error = max(float(unexplained), 0.0) + float(np.square(inside - fit).sum())
    return -error / (n_samples * width)


def _columns(label_embeddings: Any, n_samples: int) -> tuple[Array, int]:
    """Standardised embeddings of all models, (n_samples, n_dimensions * n_models), models side by side; how many."""
    shape = tuple(getattr(label_embeddings, "shape", ()))
    if len(shape) != 3 or 0 in shape or shape[0] != n_samples:
        found = f"of shape {shape}" if shape else f"a {type(label_embeddings).__name__}"
        raise ScoreError(
            f"emms: label_embeddings are {found} beside {n_samples} rows of features; expected an array of shape "
            "(n_samples, n_dimensions, n_models), one model's as array[:, :, None]."
        )
    flat = as_float64(label_embeddings.reshape(n_samples, -1), name="label_embeddings", caller="emms")
    columns = _standardised(flat)
    if not columns.any():
        raise ScoreError("emms: label_embeddings are the same for every sample; there is nothing to explain.")
    return columns, shape[2]


def _standardised(values: Array) -> Array:
    """Columns of mean 0 and variance 1; those that do not vary beyond rounding, 0."""
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    varies = spread > len(values) * EPS * np.abs(values).max(axis=0)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=varies)


def sparsemax(scores: Array) -> Array:
    """The point of the probability simplex nearest to `scores`: low ones get 0 (Martins and Astudillo, ICML 2016)."""
    falling = np.sort(scores)[::-1]
    excess = (np.cumsum(falling) - 1) / np.arange(1, len(scores) + 1)
    return np.maximum(scores - excess[falling > excess][-1], 0.0)
