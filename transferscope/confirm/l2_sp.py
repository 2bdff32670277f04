"""L2-SP: full fine-tuning that is pulled towards the pretrained weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .network import Batch, Network
from .search import register_tuning
from .strategy import Trial
from .tuning import Tuning

if TYPE_CHECKING:
    from torch import Tensor


class L2SP(Tuning):
    r"""Adds :math:`\frac\alpha2 \|w - w_0\|^2 + \frac\beta2 \|v\|^2`, w being the body's weights, v the head's."""

    decays = False  # the pull takes its place

    def begin(self, network: Network) -> None:
        """Remember the start."""
        self.start = [(value, value.detach().clone()) for value in network.body.parameters() if value.requires_grad]

    def loss(self, network: Network, batch: Batch, other: Batch | None) -> Tensor:
        """Cross-entropy and the pull."""
        recipe = network.trial.recipe
        body = sum((value - start).square().sum() for value, start in self.start)
        head = network.head.weight.square().sum()
        return super().loss(network, batch, other) + recipe.alpha / 2 * body + recipe.beta / 2 * head

    def measures(self, network: Network) -> Mapping[str, float]:
        """The distance moved."""
        squares = [float((value.detach() - start).square().sum()) for value, start in self.start]
        return {"distance": sum(squares) ** 0.5}


@register_tuning("l2_sp", head_at="last")
def l2_sp(trial: Trial) -> Tuning:
    """Train everything, near the start.

    References
    ----------
    Li, Grandvalet and Davoine, "Explicit inductive bias for transfer learning with convolutional networks",
    ICML 2018.
    """
    return L2SP()
