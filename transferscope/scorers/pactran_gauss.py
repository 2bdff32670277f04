"""PACTran-Gaussian: a PAC-Bayes bound on the error of a linear classifier: its loss, and how sharp its optimum is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoreError, UnknownNameError
from ..features.arrays import Array, check_inputs, storage_eps
from ..features.moments import Moments
from .registry import register_scorer

LDA_FACTOR = 1.0
VARIANCES = {"large": 100.0, "small": 10.0}  # times lda_factor / D: the prior variance of a weight
ROUNDS, SOLVES, HALVINGS = 200, 500, 40  # at most: Newton steps, products with the Hessian in each, shorter tries
CONVERGED = 1e-11  # of the loss, gained by a last step; it leaves about the square of that
EARLY, LATE = 1e-2, 1e-12  # squared share of the slope that the first and the last steps may leave unsolved
ENOUGH, NOISE = 1e-4, 1e-13  # share of the promised gain that a step must keep; rounding of the loss
HELD = 0.01  # of the entropy of the labels: a fit that cannot gain more than that says nothing

Own = tuple[NDArray[np.int64], NDArray[np.int64]]  # row and class number of every sample


def _caveats(moments: Moments) -> Sequence[str]:
    if moments.rank < moments.n_samples - 1:
        return ()
    return (
        f"{moments.n_samples} samples span {moments.rank} directions, in which any labels can be fitted: what ranks "
        "is how large the weights must be.",
    )


def _saturated(moments: Moments, value: float) -> str | None:
    """Of a strongly convex loss: it cannot fall below its start by more than the squared slope there allows."""
    shares = moments.target_sum / moments.n_samples
    largest = float(moments.factors[0][0]) if moments.rank else 0.0
    most = LDA_FACTOR * largest * float(1 - np.square(shares).sum()) / 2
    if most > HELD * -float((shares * np.log(shares)).sum()):
        return None
    return (
        "Saturated: features of so small a scale need larger weights than the penalty allows, so the fit stays at the "
        "class shares whatever the labels; standardise the features."
    )


@register_scorer(
    "pactran_gauss",
    higher_is_better=False,
    range="0 upwards",
    cost="a softmax regression: some hundred products of N D K, and an eigendecomposition",
    comparable_across_widths=False,
    meaning=(
        "How wrong a linear classifier on the features stays, plus a price for how finely its weights must be tuned."
    ),
    misleads="It depends on the scale of the features; with fewer than some 100 K samples curvature outweighs loss.",
    reference="Ding, Chen, Levinboim, Changpinyo and Soricut, ECCV 2022",
    caveats=_caveats,
    saturated=_saturated,
)
def pactran_gauss(
    features: Any, labels: Any, *, lda_factor: float = LDA_FACTOR, variance: Literal["large", "small"] = "large"
) -> float:
    r"""Penalised loss of a softmax regression at its optimum, plus a price for the curvature there.

    With centred features, weights W, unpenalised biases and :math:`\ell = \text{lda\_factor} \cdot N`,

    .. math:: L = \min_{W, b}\ \frac1N\sum_n -\ln p_{n y_n} + \frac{\lVert W\rVert_F^2}{2\ell}, \qquad
              \text{score} = L + \frac{K f}{2\ell}\ln\Big(1 + \frac{\ell}{DK}\sum_n(1 + \lVert x_n\rVert^2)
              \sum_k p_{nk}(1 - p_{nk})\Big)

    where the logarithm's second term is the mean diagonal entry of the Hessian of the summed loss over that of the
    penalty, and f / D the prior variance of a weight.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : classes of shape (n_samples,)
    lda_factor : float, default=1.0
        The published ones are 0.1, 1 and 10; the paper picks among them by other targets.
    variance : {"large", "small"}
        f is 100 or 10 times `lda_factor`, the two published choices; "small" lets the loss weigh more.

    Returns
    -------
    score : float
        More than 0. Lower is better: it bounds an error. Invariant to rotations and shifts, not to scale: features
        so small that the penalty holds every weight near 0 leave the loss at the entropy of the labels. Misleads
        where the curvature outweighs the loss, which is at most that entropy: each factor e of it costs 50 K / N
        ("small": 5 K / N), and features that separate no class, but are small, have little of it.

    Raises
    ------
    ScoreError
        If `lda_factor` is not positive, shapes disagree, values are not finite, there is one class only, or the fit
        does not converge.
    UnknownNameError
        If there is no such variance.

    Notes
    -----
    The published code stops after 100 rounds of L-BFGS, up to 0.2 percent from the optimum, depending on its start.
    The loss is convex; here Newton's method finds its one minimum, in the principal components, where weights outside
    the span of the rows are 0.

    References
    ----------
    Ding et al., "PACTran: PAC-Bayesian Metrics for Estimating the Transferability of Pretrained Models to
    Classification Tasks", ECCV 2022.
    """
    if not (lda_factor > 0 and np.isfinite(lda_factor)):
        raise ScoreError(f"pactran_gauss: lda_factor={lda_factor}; expected a positive number, such as 1.")
    if variance not in VARIANCES:
        raise UnknownNameError("variance of pactran_gauss", variance, VARIANCES)
    values, targets = check_inputs(features, labels, caller="pactran_gauss", tasks=("classification",))
    assert targets.codes is not None
    moments = Moments.from_checked(values, targets, storage_eps(features))
    rows = moments.left_vectors(values) * np.sqrt(moments.factors[0])
    loss, variances = _fit(rows, targets.codes, 1 / lda_factor)
    n_samples, n_features = values.shape
    n_classes = len(targets.classes)
    curvature = (1 + np.square(rows).sum(axis=1)) @ variances.sum(axis=1)
    sharpness = np.log1p(lda_factor * n_samples / (n_features * n_classes) * curvature)
    return float(loss / n_samples + n_classes * VARIANCES[variance] / (2 * n_samples) * sharpness)


def _fit(rows: Array, codes: NDArray[np.int64], penalty: float) -> tuple[float, Array]:
    """Smallest sum of losses and penalty / 2 times squared weights; and p (1 - p) of every row and class there.

    Newton's method with conjugate gradients. A row's own class is left out everywhere and made up for by what the
    others sum to, which keeps all digits where a row is fitted so well that its own probability rounds to 1.
    """
    design = np.hstack([rows, np.ones((len(rows), 1))])
    penalties = np.append(np.full(rows.shape[1], penalty), 0.0)[:, None]
    own = np.arange(len(codes)), codes
    weights = np.zeros((design.shape[1], codes.max() + 1))
    weights[-1] = np.log(np.bincount(codes))
    loss, others = _loss(design, own, penalties, weights)
    for _ in range(ROUNDS):
        step, gain = _newton_step(design, own, penalties, weights, loss, others)
        for halving in range(HALVINGS):
            tried = weights + 0.5**halving * step
            lower, others = _loss(design, own, penalties, tried)
            if lower <= loss * (1 + NOISE) - ENOUGH * 0.5**halving * gain:
                break
        weights, loss = tried, lower
        if gain <= CONVERGED * loss:
            return loss, _variances(others, own)
    raise ScoreError(
        f"pactran_gauss: the fit did not converge in {ROUNDS} Newton steps; scale the features to unit variance, or "
        "give a smaller lda_factor."
    )


def _loss(design: Array, own: Own, penalties: Array, weights: Array) -> tuple[float, Array]:
    """The sum of losses and penalties, and the probabilities of all but the own class, which gets 0."""
    margins = design @ weights
    margins -= margins[own][:, None]
    margins[own] = -np.inf
    top = margins.max(axis=1)
    losses = np.logaddexp(0.0, top + np.log(np.exp(margins - top[:, None]).sum(axis=1)))
    return float(losses.sum() + (penalties * np.square(weights)).sum() / 2), np.exp(margins - losses[:, None])


def _with_own(values: Array, own: Own) -> Array:
    """Rows that sum to 0, once the own class, 0 so far, makes up for the others."""
    whole = values.copy()
    whole[own] = -values.sum(axis=1)
    return whole


def _variances(others: Array, own: Own) -> Array:
    """p (1 - p) of every row and class."""
    wrong = others.sum(axis=1)
    found = others * (1 - others)
    found[own] = wrong * (1 - wrong)
    return found


def _newton_step(
    design: Array, own: Own, penalties: Array, weights: Array, loss: float, others: Array
) -> tuple[Array, float]:
    """Minus the inverse Hessian times the slope, and their product; nearly so while far from the optimum."""

    def curved(direction: Array) -> Array:
        margins = design @ direction
        margins -= margins[own][:, None]
        pull = others * (margins - (others * margins).sum(axis=1, keepdims=True))
        return design.T @ _with_own(pull, own) + penalties * direction

    diagonal = np.square(design).T @ _variances(others, own) + penalties
    scale = 1 / np.where(diagonal > 0, diagonal, 1.0)
    slope = design.T @ _with_own(others, own) + penalties * weights
    slope[-1] -= slope[-1].mean()  # rounding: the loss is flat along a bias that all classes share
    step, rest = np.zeros_like(slope), -slope
    direction = scale * rest
    size = first = float((rest * direction).sum())
    for _ in range(SOLVES):
        if size <= min(EARLY, max(LATE, first / loss)) * first:
            break
        bent = curved(direction)
        length = size / float((direction * bent).sum())
        step += length * direction
        rest -= length * bent
        before, size = size, float((rest * scale * rest).sum())
        direction = scale * rest + size / before * direction
    return step, -float((slope * step).sum())
