"""TMI: how widely the features of each class spread, as an entropy from nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ScoreError
from ..features.arrays import Array, check_inputs
from ..features.moments import Moments
from .registry import register_scorer

NEIGHBOUR, FLOOR = 3, 1.0  # the published ones
CLOSE = 1e-9  # relative: as near as rounding lets a mean of equal logarithms come


def _caveats(moments: Moments) -> Sequence[str]:
    few = int(((moments.target_sum > 1) & (moments.target_sum <= NEIGHBOUR)).sum())
    return (f"{few} class(es) have 2 or 3 samples, which gives no third neighbour: left out.",) if few else ()


def _saturated(moments: Moments, value: float) -> str | None:
    from scipy.special import digamma

    counts = moments.target_sum
    counted = counts > NEIGHBOUR
    if not counted.any():
        return f"Saturated: no class has more than {NEIGHBOUR} samples, so it is 0 whatever the features."
    entropies = digamma(counts[counted]) - digamma(NEIGHBOUR) + moments.n_features * np.log(2 * FLOOR)
    lowest = float(counts[counted] @ entropies) / moments.n_samples / int((counted | (counts == 1)).sum())
    if value > lowest * (1 + CLOSE):
        return None
    return (
        f"Saturated: every distance is below the floor of {FLOOR:g}, so it is a function of the number of features "
        "and the class sizes only; give a smaller floor, or features of a larger scale."
    )


def _per_sample(features: Any, labels: Any) -> Array:
    shares, n_counted = _shares(features, labels, NEIGHBOUR, FLOOR)
    return shares / n_counted


@register_scorer(
    "tmi",
    range="0 upwards (floor 1 or more); any real number (a smaller floor)",
    cost="N^2 D / K, in blocks",
    comparable_across_widths=False,
    meaning="How varied the features are within the classes: the thought is that variety leaves more to learn from.",
    misleads="It never compares classes: shuffled labels raise it, and so do more features and a larger scale.",
    reference="Xu and Kang, ICCV 2023",
    caveats=_caveats,
    saturated=_saturated,
    per_sample=_per_sample,
)
def tmi(features: Any, labels: Any, *, k: int = NEIGHBOUR, floor: float = FLOOR, total: bool = False) -> float:
    r"""Mean over classes of their share of the conditional entropy H(X | Y), estimated from k nearest neighbours.

    .. math:: \frac1K\sum_c \frac{n_c}{N}\Big(\psi(n_c) - \psi(k)
              + \frac{D}{n_c}\sum_{i \in c}\ln\big(2\max(d_k(i), \text{floor})\big)\Big)

    with :math:`d_k(i)` the largest difference in any one feature between row i and its k-th nearest other row of the
    same class, nearest by that same distance (Chebyshev).

    Parameters
    ----------
    features : array or tensor of shape (n_samples, n_features)
    labels : classes of shape (n_samples,)
    k : int, default=3
    floor : float, default=1.0
        Smallest distance that counts, in the units of the features: the published value, and absolute. Where all
        distances are smaller the score is a function of the number of features and the class sizes only.
    total : bool, default=False
        The sum over classes, H(X | Y) itself, in place of the published mean.

    Returns
    -------
    score : float
        In nats; 0 or more with a floor of 1. Higher is better: the paper's claim is that features which stay diverse
        within classes transfer. Invariant to shifts, signs and order of features, not to rotations; above the floor a
        scale adds D times its logarithm to every class's entropy. Misleads: nothing in it compares classes, so that
        features which tell them apart gain nothing, and shuffled labels raise it. A class of one sample counts as 0;
        others with at most k samples have no k-th neighbour and are left out, and it is 0 where no class remains.

    Raises
    ------
    ScoreError
        If `k` is below 1, `floor` is not positive, shapes disagree, values are not finite, or there is one class only.

    References
    ----------
    Xu and Kang, "Fast and Accurate Transferability Measurement by Evaluating Intra-class Feature Variance",
    ICCV 2023; Kozachenko and Leonenko, Problems of Information Transmission 1987 (the estimate).
    """
    shares, n_counted = _shares(features, labels, k, floor)
    return float((shares if total else shares / n_counted).mean())


def _shares(features: Any, labels: Any, k: int, floor: float) -> tuple[Array, int]:
    """What each sample adds to the conditional entropy, and over how many classes to average."""
    from scipy.special import digamma

    if k < 1 or not floor > 0:
        raise ScoreError(f"tmi: k={k} and floor={floor}; expected at least 1 neighbour and a positive floor.")
    values, targets = check_inputs(features, labels, caller="tmi", tasks=("classification",))
    assert targets.codes is not None
    counts = np.bincount(targets.codes)
    shares = np.zeros(len(values))
    for c in np.flatnonzero(counts > k):
        rows = targets.codes == c
        widths = np.log(2 * np.maximum(_distances(values[rows], k), floor))
        shares[rows] = digamma(counts[c]) - digamma(k) + values.shape[1] * widths
    return shares, max(1, int(((counts == 1) | (counts > k)).sum()))


def _distances(rows: Array, k: int) -> Array:
    """From each row to its k-th nearest other one."""
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=k, metric="chebyshev", algorithm="brute").fit(rows)
    return np.asarray(nearest.kneighbors()[0][:, -1])
