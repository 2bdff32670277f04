"""Aligned training: features of the target and of the source's own data are drawn together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .joint import BesideSource
from .network import Batch, Network, untracked
from .search import register_tuning
from .strategy import Trial
from .tuning import Tuning

if TYPE_CHECKING:
    from torch import Tensor

BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # times the mean squared distance, as Long et al. do


class Aligned(BesideSource):
    """Cross-entropy on the target, and how far the features of a batch of it lie from those of the source data."""

    def loss(self, network: Network, batch: Batch, other: Batch | None) -> Tensor:
        """Both terms; of a part with a single sample, which has no covariance, the first only."""
        features = network.features(batch.inputs)
        loss = network.trial.objective.loss(network.head(features).float(), batch.labels)
        if other is None or min(len(batch), len(other)) < 2:
            return loss
        with untracked(network.body):
            own = network.features(other.inputs)
        apart = {"coral": coral, "mmd": mmd}[network.trial.recipe.alignment]
        assert network.strength is not None
        return loss + network.strength * apart(features.float(), own.float())


def coral(a: Tensor, b: Tensor) -> Tensor:
    r"""Squared distance of covariances, :math:`\|C_a - C_b\|_F^2 / 4d^2`, over the squared mean variance of both.

    The paper leaves out the last division. Without it the term would grow with the fourth power of the features'
    scale, which differs between sources by orders of magnitude, and one weight could not serve them all.

    Parameters
    ----------
    a, b : Tensor of shape (n_samples, n_features)

    References
    ----------
    Sun and Saenko, "Deep CORAL: correlation alignment for deep domain adaptation", ECCV 2016 workshops.
    """
    first, second = a.T.cov(), b.T.cov()
    variance = (first.trace() + second.trace()) / (2 * a.shape[1])
    return ((first - second) / variance.clamp(min=1e-12)).square().sum() / (4 * a.shape[1] ** 2)


def mmd(a: Tensor, b: Tensor) -> Tensor:
    """Squared maximum mean discrepancy with a sum of Gaussian kernels (biased, so never negative).

    Parameters
    ----------
    a, b : Tensor of shape (n_samples, n_features)

    References
    ----------
    Long et al., "Learning transferable features with deep adaptation networks", ICML 2015.
    """
    import torch

    both = torch.cat([a, b])
    squares = (both.unsqueeze(0) - both.unsqueeze(1)).square().sum(dim=2)
    n = len(both)
    mean = squares.detach().sum() / (n * n - n)
    kernel = torch.stack([torch.exp(-squares / (mean * width).clamp(min=1e-12)) for width in BANDWIDTHS]).sum(dim=0)
    k = len(a)
    return kernel[:k, :k].mean() + kernel[k:, k:].mean() - 2 * kernel[:k, k:].mean()


@register_tuning("aligned", head_at="last", needs_source_data=True)
def aligned(trial: Trial) -> Tuning:
    """Train on the target, aligned with the source data."""
    return Aligned(trial)
