"""TransRate: how much shorter the features' code gets once the class is known."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..errors import ScoreError, UnknownNameError
from ..features.arrays import Array
from ..features.moments import Moments
from .inputs import rows_and_moments
from .registry import register_scorer

WEIGHTINGS = ("class", "frequency")
PRECISION = 1e-4  # published squared distortion of the code; it is absolute
SMALL, LARGE = 1e-3, 1e10  # traces of a Gram matrix over the distortion between which adding 1 to it costs no digits


@register_scorer(
    "transrate",
    range="0 to infinity (balanced classes); any real number (uneven ones)",
    cost="one Gram matrix in all, one per class, and one eigendecomposition",
    comparable_across_widths=False,
    meaning=(
        "How much more room the samples of all classes together take in the features than those of one class alone."
    ),
    misleads="It grows with the features' number and scale; with few samples of a class it counts noise as structure. "
    "For uneven classes it can be negative: then take weighting='frequency'.",
    reference="Huang, Huang, Rong, Yang and Wei, ICML 2022",
)
def transrate(
    features: Any,
    labels: Any,
    *,
    weighting: Literal["class", "frequency"] = "class",
    distortion: float = PRECISION,
    moments: Moments | None = None,
) -> float:
    r"""Coding rate of all features minus the mean coding rate of the classes.

    .. math:: R(Z) - \sum_k w_k R(Z_k), \quad R(Z) = \tfrac12\sum_i\ln\Bigl(1 + \frac{s_i^2}{n\epsilon}\Bigr)

    with Z the features about the mean of all, :math:`Z_k` the n rows of a class, :math:`s_i` singular values.

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : classes of shape (n_samples,)
        Any hashable values, at least two classes.
    weighting : {"class", "frequency"}
        :math:`w_k = 1/K` as published, or :math:`n_k/N` as the derivation asks for, which differs for uneven classes.
    distortion : float, default=1e-4
        :math:`\epsilon`, a variance in the features' own units.
    moments : Moments, optional
        Of these features and labels, to share work between scorers.

    Returns
    -------
    score : float
        In nats, at least 0 with weighting="frequency"; higher is better. Invariant to rotation and shift, not to
        scale.

    Raises
    ------
    ScoreError
        If `distortion` is not positive, shapes disagree, values are not finite, or there is one class only.

    References
    ----------
    Huang et al., "Frustratingly Easy Transferability Estimation", ICML 2022.
    """
    if weighting not in WEIGHTINGS:
        raise UnknownNameError("weighting of transrate", weighting, WEIGHTINGS)
    if not distortion > 0:
        raise ScoreError(f"transrate: distortion={distortion}; expected a positive variance, such as 1e-4.")
    values, targets, moments = rows_and_moments(
        features, labels, None, moments, caller="transrate", tasks=("classification",)
    )
    codes = targets.codes
    assert codes is not None
    n = len(values)
    rates = np.empty(len(targets.classes))
    shares = np.empty(len(rates))
    for k in range(len(rates)):
        members = np.flatnonzero(codes == k)
        rates[k] = _coding_rate(values[members] - moments.mean, distortion)
        shares[k] = len(members) / n
    if moments.trace > LARGE * n * distortion:
        whole = _coding_rate(values - moments.mean, distortion)
    else:
        whole = 0.5 * float(np.log1p(moments.factors[0] / (n * distortion)).sum())
    return whole - float(rates.mean() if weighting == "class" else shares @ rates)


def _coding_rate(rows: Array, distortion: float) -> float:
    """Half the log determinant of I plus the rows' second moment over the distortion, from the smaller side."""
    n, d = rows.shape
    gram = rows @ rows.T if n <= d else rows.T @ rows
    gram /= n * distortion
    if not SMALL < float(np.trace(gram)) < LARGE:
        return 0.5 * float(np.log1p(np.linalg.svd(rows, compute_uv=False) ** 2 / (n * distortion)).sum())
    gram[np.diag_indices_from(gram)] += 1.0
    return float(np.log(np.linalg.cholesky(gram).diagonal()).sum())
