"""LP-FT: the probe first, then everything, so that a random head does not distort the features it learns from."""

from __future__ import annotations

from collections.abc import Mapping

from ..results import Setting
from .network import Network
from .probe import Probe, fit_probe, probe_parts
from .search import register_tuning
from .strategy import Recipe, Trial
from .tuning import Tuning


class ProbedStart(Tuning):
    """Fine-tuning whose head starts as the best linear probe; where no epoch is better, the probe is the outcome.

    Batch norms keep the source's statistics, which the probe's features were made with: with each batch's own the
    head reads other features than it was fitted to, and the first loss is far above chance.
    """

    keeps_start = True
    keeps_statistics = True
    portable = True

    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    def head_factor(self, recipe: Recipe) -> float:
        """The head has learned already."""
        return 1.0

    def begin(self, network: Network) -> None:
        """The probe's weights into the head."""
        import torch

        with torch.no_grad():
            network.head.weight.copy_(torch.from_numpy(self.probe.weight))
            network.head.bias.copy_(torch.from_numpy(self.probe.bias))

    def settings(self, network: Network) -> Mapping[str, Setting]:
        """Which probe it was."""
        return {**self.probe.settings, "probe_validation_accuracy": self.probe.validation_accuracy}


@register_tuning("lp_ft", head_at="last")
def lp_ft(trial: Trial) -> Tuning:
    """Probe the last layer, then train everything.

    References
    ----------
    Kumar et al., "Fine-tuning can distort pretrained features and underperform out-of-distribution", ICLR 2022.
    """
    train, validation = probe_parts(trial)
    probe = fit_probe(train, validation, trial.objective)
    return ProbedStart(probe.calibrated(*validation))
