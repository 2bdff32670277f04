"""Partial fine-tuning: the last blocks and the head."""

from __future__ import annotations

from collections.abc import Collection

from .depth import last_blocks
from .search import register_tuning
from .strategy import Trial
from .tuning import Tuning


class Partial(Tuning):
    """Only the last `Recipe.n_blocks` blocks and the head train; the others compute as they were made to."""

    def trainable(self, trial: Trial) -> Collection[str]:
        """Parameters of the last blocks."""
        return last_blocks(trial, trial.recipe.n_blocks)


@register_tuning("partial", head_at="last")
def partial(trial: Trial) -> Tuning:
    """Train the last blocks.

    References
    ----------
    Yosinski et al., "How transferable are features in deep neural networks?", NeurIPS 2014.
    """
    return Partial()
