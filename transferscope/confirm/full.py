"""Full fine-tuning: every weight of the source, and a new linear head on its last layer."""

from __future__ import annotations

from .search import register_tuning
from .strategy import Trial
from .tuning import Tuning


@register_tuning("full", head_at="last")
def full(trial: Trial) -> Tuning:
    """Train everything.

    References
    ----------
    Kornblith, Shlens and Le, "Do better ImageNet models transfer better?", CVPR 2019.
    """
    return Tuning()
