"""Full fine-tuning: every weight of the source, and a new linear head on its last layer."""

from __future__ import annotations

from ..results import Run
from .search import fine_tune
from .strategy import Trial, register_strategy
from .tuning import Tuning


@register_strategy("full", head_at="last", trains_body=True)
def full(trial: Trial) -> tuple[Run, ...]:
    """Train everything.

    References
    ----------
    Kornblith, Shlens and Le, "Do better ImageNet models transfer better?", CVPR 2019.
    """
    return fine_tune(trial, Tuning())
