"""Energy: how strongly the source's own head responds to the target's samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..features.arrays import TASKS, Array, as_float64
from .registry import register_scorer


def _per_sample(source_logits: Any) -> Array:
    """Log of the summed exponentials of every row."""
    from scipy.special import logsumexp

    return np.asarray(logsumexp(as_float64(source_logits, name="source_logits", caller="energy"), axis=1))


@register_scorer(
    "energy",
    needs=("source_logits",),
    tasks=TASKS,
    range="any real number",
    cost="N times source classes",
    comparable_across_widths=False,
    meaning=(
        "How strongly the source's own classifier responds to the samples on average, whichever of its classes it "
        "names."
    ),
    misleads="It never sees the labels, and the scale and offset of a head's logits differ between sources.",
    reference="Gholami et al., ICCV 2023 (ETran); Liu, Wang, Owens and Li, NeurIPS 2020",
    per_sample=_per_sample,
)
def energy(source_logits: Any) -> float:
    r"""Mean over all samples of the log of the summed exponentials of the source's logits, minus the free energy.

    .. math:: \frac1N\sum_n \ln\sum_z e^{f_{nz}}

    Samples like those the source was trained on have higher values. Published code takes a small share of the samples,
    and features in place of logits, of which it measures little but the mean activation.

    Parameters
    ----------
    source_logits : array or tensor of shape (n_samples, n_source_classes)
        Before the softmax: the logarithms of its results say 0 of every sample.

    Returns
    -------
    score : float
        Any real number; higher is better. A constant added to all logits is added to it; a row of equal ones gives
        their value plus the log of their number. Not invariant to scale.

    Raises
    ------
    ScoreError
        If the logits are not a matrix of finite numbers.

    References
    ----------
    Gholami et al., "ETran: Energy-Based Transferability Estimation", ICCV 2023.
    """
    return float(_per_sample(source_logits).mean())
