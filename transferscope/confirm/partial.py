"""Partial fine-tuning: the last blocks and the head."""

from __future__ import annotations

from collections.abc import Collection

from ..results import Run
from .depth import last_blocks
from .search import fine_tune
from .strategy import Trial, register_strategy
from .tuning import Tuning


class Partial(Tuning):
    """Only the last `Recipe.n_blocks` blocks and the head train; the others compute as they were made to."""

    def trainable(self, trial: Trial) -> Collection[str]:
        """Parameters of the last blocks."""
        return last_blocks(trial, trial.recipe.n_blocks)


@register_strategy("partial", head_at="last", trains_body=True)
def partial(trial: Trial) -> tuple[Run, ...]:
    """Train the last blocks.

    References
    ----------
    Yosinski et al., "How transferable are features in deep neural networks?", NeurIPS 2014.
    """
    return fine_tune(trial, Partial())
