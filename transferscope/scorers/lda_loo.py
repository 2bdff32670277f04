"""Linear discriminant analysis, each sample left out in turn, in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoreError
from ..features.arrays import Array
from ..features.moments import EPS, Moments
from .hat import BLOCK, Hat, best_penalty
from .inputs import rows_and_moments
from .registry import register_scorer

# penalties over the mean squared singular value below which distances keep no digits: of any fit, of a perfect one
LEAST, LEAST_PERFECT = 1e-12, 1e-6


def _caveats(moments: Moments) -> list[str]:
    alone = int((moments.target_sum == 1).sum())
    return [f"{alone} class(es) have one sample, which no other can vouch for: always wrong."] if alone else []


def _per_sample(features: Any, labels: Any, *, alpha: float | None = None, moments: Moments | None = None) -> Array:
    """Whether each sample is classified rightly by the others.

    With the scatter about the mean S and class sums C, the scatter within classes is S - C diag(n)^-1 C': of rank K
    less. So distances under its inverse follow from those under that of S, which a ridge fit has already.
    """
    values, targets, moments = rows_and_moments(
        features, labels, None, moments, caller="lda_loo", tasks=("classification",)
    )
    if alpha is not None and not alpha > 0:
        raise ScoreError(f"lda_loo: alpha={alpha}; expected a positive penalty.")
    codes, counts, n = targets.codes, moments.target_sum, len(values)
    assert codes is not None
    squares = moments.factors[0]
    least = LEAST if len(squares) < n - len(counts) else LEAST_PERFECT
    penalty = best_penalty(moments) if alpha is None else alpha
    hat = Hat.of(values, moments, max(penalty, least * float(squares.sum()) / max(len(squares), 1)))
    # inner products under the inverse scatter within classes: of rows and class means, of class means, of rows
    together = class_products(moments, hat)
    inverse = np.asarray(np.linalg.inv(np.diag(counts) - together), dtype=np.float64)
    means = together @ inverse / counts[:, None]
    found = np.empty(n)
    for start in range(0, n, BLOCK):  # tables of samples by classes that stay in the cache
        block = slice(start, min(start + BLOCK, n))
        scores = _left_out_scores(hat.fitted[block], hat.leverages[block], codes[block], inverse, means, counts, n)
        found[block] = scores.argmax(axis=1) == codes[block]
    return found


def _left_out_scores(
    fitted: Array, leverages: Array, codes: NDArray[np.int64], inverse: Array, means: Array, counts: Array, n: int
) -> Array:
    """Log density of every class at some rows, up to a constant of each, the row itself left out of its class.

    `inverse` and `means` are the inverse of the class counts less their products under the inverse scatter, and the
    inner products of class means under the inverse scatter within classes.
    """
    cross = fitted @ inverse
    norms = leverages + np.einsum("ij,ij->i", cross, fitted)
    row, size = np.arange(len(codes)), counts[codes]
    turned = means[codes]
    turned += (norms - cross[row, codes])[:, None]
    turned -= cross
    own = np.maximum(turned[row, codes], 0.0)
    growth = size / np.maximum(size - 1, 0.5)  # a class of one is set aside below
    left = np.maximum(1 - growth * own, EPS)
    apart = np.square(turned, out=turned)
    apart *= (growth / left)[:, None]
    cross *= 2
    apart -= cross
    apart += norms[:, None] + means.diagonal()
    apart[row, codes] = growth**2 * own / left
    apart *= -(n - 1) / 2
    apart += np.log(counts)
    apart[row, codes] += np.log(np.maximum(size - 1, 0.5)) - np.log(size)
    apart[row[size == 1], codes[size == 1]] = -np.inf
    return apart


def class_products(moments: Moments, hat: Hat) -> Array:
    """C'(S + penalty I)^-1 C of the class sums C, from the spectrum."""
    squares, projections = moments.centred.values, moments.centred.projections
    return np.asarray(projections.T @ ((squares / (squares + hat.penalty))[:, None] * projections))


@register_scorer(
    "lda_loo",
    range="0 to 1 (accuracy)",
    cost="one Gram matrix, one eigendecomposition, and N D (D + K)",
    is_accuracy=True,
    comparable_across_widths=True,
    meaning=(
        "The share of samples that a simple classifier with straight borders gets right when each is left out of "
        "its fitting in turn."
    ),
    misleads="It is an accuracy on samples like these: where they come in groups, or repeat, it promises too much.",
    reference="Friedman, Journal of the American Statistical Association 1989 (regularised, left out in closed form)",
    caveats=_caveats,
    per_sample=_per_sample,
)
def lda_loo(features: Any, labels: Any, *, alpha: float | None = None, moments: Moments | None = None) -> float:
    r"""Leave-one-out accuracy of a regularised linear discriminant.

    A sample goes to the class with the largest :math:`\ln n_k - \tfrac12 (x-\mu_k)'\Sigma^{-1}(x-\mu_k)`, with
    :math:`\Sigma = (S_w + \alpha I)/N` and everything but :math:`\alpha` fitted to the other samples: exactly, since
    leaving one out changes :math:`S_w` by a matrix of rank one. The counterpart of H-score, LDA and SFDA that stays
    meaningful with fewer samples than features.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : classes of shape (n_samples,)
        Any hashable values, at least two classes. A class of one sample is always wrong.
    alpha : float, optional
        Penalty on raw features. By default that of `ridge_loo`: regression on class columns spans the same directions.
        It counts as at least 1e-12 times the mean squared singular value, and 1e-6 in N - K dimensions or more.
    moments : Moments, optional
        Of these features and labels, to share work between scorers.

    Returns
    -------
    score : float
        Accuracy in [0, 1]; higher is better. Invariant to rotation, shift and, with the default penalty, scale.

    Raises
    ------
    ScoreError
        If `alpha` is not positive, shapes disagree, values are not finite, or there is one class only.

    References
    ----------
    Friedman, "Regularized Discriminant Analysis", Journal of the American Statistical Association 1989; Hastie, Buja
    and Tibshirani, "Penalized Discriminant Analysis", Annals of Statistics 1995.
    """
    return float(_per_sample(features, labels, alpha=alpha, moments=moments).mean())
