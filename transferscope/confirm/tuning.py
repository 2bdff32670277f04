"""What a fine-tuning strategy can change: the weights that train, the start, the objective. One search for all."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import numpy as np

from ..results import Setting
from .network import Batch, Network, restored, seeded, undisturbed
from .strategy import Recipe, Trial

if TYPE_CHECKING:
    from torch import Tensor


class Tuning:
    """Full fine-tuning; a strategy overrides what it does otherwise.

    Attributes
    ----------
    rate_factor : float
        The body's rate is this many times the recipe's; the head's is not.
    keeps_start : bool
        Whether the weights before the first step may turn out the best.
    decays : bool
        Whether weight decay applies.
    keeps_statistics : bool
        Whether batch norms compute with the source's statistics while they train, not with each batch's.
    portable : bool
        Whether it holds nothing of the source's model, so that it serves when that is loaded again.
    strength_name : str
        What `strengths` are called in results.
    """

    rate_factor = 1.0
    keeps_start = False
    decays = True
    keeps_statistics = False
    portable = False
    strength_name = "strength"

    def strengths(self, recipe: Recipe) -> tuple[float | None, ...]:
        """What is searched on validation beside the rate."""
        return (None,)

    def head_factor(self, recipe: Recipe) -> float:
        """The head's rate over the recipe's."""
        return recipe.head_factor

    def trainable(self, trial: Trial) -> Collection[str] | None:
        """Names of the body's parameters that train; None is all."""
        return None

    def edit(self, trial: Trial) -> AbstractContextManager[None]:
        """Changes of the model itself, undone after a run; random numbers are drawn from the run's seed."""
        return nullcontext()

    def begin(self, network: Network) -> None:
        """Set the head, or remember the start."""

    def companion(self, network: Network, n: int, rng: np.random.Generator) -> Batch | None:
        """Samples of other data that go with a batch of `n`."""
        return None

    def loss(self, network: Network, batch: Batch, other: Batch | None) -> Tensor:
        """What is minimised, on a part of a batch."""
        outputs = network.head(network.features(batch.inputs))
        return network.trial.objective.loss(outputs.float(), batch.labels)

    def backward(self, network: Network, batch: Batch, other: Batch | None, share: float) -> float:
        """Add the gradients of a part that is `share` of its batch; its loss."""
        with network.accelerator.autocast():
            loss = self.loss(network, batch, other)
        network.backward(loss * share)
        return float(loss.detach())

    def measures(self, network: Network) -> Mapping[str, float]:
        """What to log of the epoch that has just ended."""
        return {}

    def settings(self, network: Network) -> Mapping[str, Setting]:
        """What was chosen before the first step."""
        return {}

    @contextmanager
    def opened(self, trial: Trial, seed: int, strength: float | None) -> Iterator[Network]:
        """The network before its first step; the source's model is put back as it was."""
        model = trial.source.model.to(trial.extractor.device)
        with restored(model), undisturbed(model), seeded(seed, trial.extractor.device), self.edit(trial):
            names = self.trainable(trial)
            for name, value in model.named_parameters():
                value.requires_grad_(value.requires_grad and (names is None or name in names))
            network = Network(trial, seed, strength)
            self.begin(network)
            yield network
