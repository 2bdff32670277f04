"""Joint training: the target's task and the source's own, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..adapters import find_adapter
from .network import Batch, Data, Network, untracked
from .objective import objective_of
from .search import register_tuning
from .strategy import Recipe, Trial
from .tuning import Tuning

if TYPE_CHECKING:
    from torch import Tensor


class BesideSource(Tuning):
    """Every batch of the target goes with one as large of the source's own data, drawn at random."""

    strength_name = "source_weight"

    def __init__(self, trial: Trial) -> None:
        assert trial.source_data is not None  # `confirm` has refused it
        rows = np.arange(len(trial.source_data))
        adapter = find_adapter(trial.source_data, trial.source)
        self.data = Data(trial.source_data, adapter, objective_of(trial.source_data, rows))

    def strengths(self, recipe: Recipe) -> tuple[float | None, ...]:
        """Weights of the source data's term."""
        return recipe.source_weights

    def companion(self, network: Network, n: int, rng: np.random.Generator) -> Batch | None:
        """As many samples of the source data."""
        n_rows = len(self.data.target)
        return self.data.batch(rng.choice(n_rows, n, replace=n > n_rows))


class Joint(BesideSource):
    r"""Minimises :math:`L_T + \lambda L_S`: one body, a head for each task, :math:`\lambda` chosen on validation.

    The cosine between the two gradients on the body tells whether the tasks pull together; its mean is logged for
    every epoch.
    """

    def begin(self, network: Network) -> None:
        """Add the source task's head."""
        network.heads["source"] = network.new_head(self.data.objective.n_outputs)
        self.cosines: list[float] = []

    def backward(self, network: Network, batch: Batch, other: Batch | None, share: float) -> float:
        """One task after the other, so that only one's activations are in memory."""
        import torch

        assert network.strength is not None
        before = _gradient(network)
        loss = super().backward(network, batch, None, share)
        if other is None or not len(other):
            return loss
        between = _gradient(network)
        with network.accelerator.autocast(), untracked(network.body):
            logits = network.heads["source"](network.features(other.inputs))
            own = network.strength * self.data.objective.loss(logits.float(), other.labels)
        network.backward(own * share)
        cosine = torch.nn.functional.cosine_similarity(between - before, _gradient(network) - between, dim=0)
        self.cosines.append(float(cosine))
        return loss + float(own.detach())

    def measures(self, network: Network) -> Mapping[str, float]:
        """Mean cosine of the epoch."""
        cosines, self.cosines = self.cosines, []
        return {"gradient_cosine": float(np.mean(cosines))} if cosines else {}


def _gradient(network: Network) -> Tensor:
    """The body's, as one vector."""
    import torch

    values = [value for value in network.body.parameters() if value.requires_grad]
    return torch.cat([(torch.zeros_like(v) if v.grad is None else v.grad).flatten() for v in values])


@register_tuning("joint", head_at="last", needs_source_data=True)
def joint(trial: Trial) -> Tuning:
    """Train on both tasks.

    References
    ----------
    Caruana, "Multitask learning", Machine Learning 1997. The cosine: Du et al., "Adapting auxiliary losses using
    gradient similarity", 2018.
    """
    return Joint(trial)
