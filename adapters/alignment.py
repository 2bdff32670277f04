"""Distances between rows mapped into an embedding space and the space's own rows, and the training that shrinks them.

Both compare without labels and are differentiable in the map. `transferscope.similarity` measures finished features;
these here take a map apart, so that what does not depend on it is computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

SEED = 0  # of the first centre of the pseudo-classes
CLASSES = 5  # pseudo-classes on each side, at most
DIRECTIONS = 64  # of a pseudo-class's covariance, the largest
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the kernels, in median squared distances
ENTROPY = 0.1  # weight of the transport's entropy, in median costs
FIRST, NEXT, SETTLED = 50, 5, 100  # Sinkhorn iterations at the first step, at each further one, and for a value
CHECK = 20  # steps between looks at the rows held back
LEARNING_RATE = 0.03  # of Adam, where the embeddings' standard deviation is 1


class MMD:
    """Squared maximum mean discrepancy with a mean of Gaussian kernels, in 0..2 (Gretton et al., JMLR 13, 2012).

    Parameters
    ----------
    rows : tensor of shape (n, d)
        Before the map.
    reference : tensor of shape (m, width)
        Of the embedding space; the kernels' widths are told from its median distance.
    """

    steps = 200  # of training

    def __init__(self, rows: Tensor, reference: Tensor) -> None:
        import torch

        self.rows, self.reference = rows, reference
        distances = squared_distances(reference, reference)
        apart = distances[~torch.eye(len(reference), dtype=torch.bool)]
        self.width = max(float(apart.median()), 1e-6) if len(apart) else 1.0
        self.own = self._kernel(distances)

    def __call__(self, projection: Tensor, offset: Tensor) -> Tensor:
        """The distance under ``rows @ projection + offset``."""
        mapped = self.rows @ projection + offset
        between = self._kernel(squared_distances(mapped, self.reference))
        return self._kernel(squared_distances(mapped, mapped)) - 2 * between + self.own

    def value(self, projection: Tensor, offset: Tensor) -> float:
        """The distance as a number."""
        return float(self(projection, offset))

    def _kernel(self, distances: Tensor) -> Tensor:
        parts = [(-distances / (2 * factor * self.width)).exp().mean() for factor in BANDWIDTHS]
        return sum(parts[1:], parts[0]) / len(parts)


class OTDD:
    """Optimal transport dataset distance between pseudo-classes, as a Sinkhorn divergence; 0 is equal.

    Moving a row onto another costs their squared distance and that of the Gaussians of their pseudo-classes
    (Bures-Wasserstein). Pseudo-classes are found by k-means on each side; a map moves the Gaussians of its side with
    the rows. Alvarez-Melis and Fusi, NeurIPS 2020; Shen et al., ORCA, ICML 2023; Feydy et al., AISTATS 2019 (the
    divergence).

    Parameters
    ----------
    rows : tensor of shape (n, d)
        Before the map; whitened, so that k-means sees all directions alike.
    reference : tensor of shape (m, width)
    classes : pair of Classes
        Of each side, found in samples that may be larger.
    """

    steps = 100  # of training

    def __init__(self, rows: Tensor, reference: Tensor, classes: tuple[Classes, Classes]) -> None:
        self.rows, self.reference = rows, reference
        self.ours, self.theirs = classes
        self.codes, self.other_codes = self.ours.of(rows), self.theirs.of(reference)
        between = bures(self.theirs, self.theirs)
        own = squared_distances(reference, reference) + between[self.other_codes][:, self.other_codes]
        self.epsilon = ENTROPY * max(float(own.median()), 1e-6)
        self.own = Transport(self.epsilon).settle(own)
        self._across, self._self = Transport(self.epsilon), Transport(self.epsilon)

    def __call__(self, projection: Tensor, offset: Tensor) -> Tensor:
        """A number whose gradient is the divergence's: plans are held fixed (Danskin), and kept for the next call."""
        across, own = self._costs(projection, offset)
        return (self._across.improve(across) * across).sum() - (self._self.improve(own) * own).sum() / 2

    def value(self, projection: Tensor, offset: Tensor) -> float:
        """The divergence, by dimension of the embeddings."""
        across, own = self._costs(projection, offset)
        values = [Transport(self.epsilon).settle(cost) for cost in (across, own)]
        return (values[0] - values[1] / 2 - self.own / 2) / self.reference.shape[1]

    def _costs(self, projection: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
        """Of every mapped row to every reference row, and to every mapped row."""
        mapped, laws = self.rows @ projection + offset, self.ours.mapped(projection, offset)
        across = bures(laws, self.theirs)[self.codes][:, self.other_codes]
        own = bures(laws, laws)[self.codes][:, self.codes]
        return squared_distances(mapped, self.reference) + across, squared_distances(mapped, mapped) + own


@dataclass(frozen=True, eq=False)
class Classes:
    """Pseudo-classes and the Gaussian of each.

    Attributes
    ----------
    centres, means : tensors of shape (k, width)
        Where a row belongs is told from the centres, which no map moves.
    roots : tensor of shape (k, directions, width)
        A class's covariance is ``root.T @ root``.
    """

    centres: Tensor
    means: Tensor
    roots: Tensor

    @classmethod
    def find(cls, rows: Tensor) -> Classes:
        """By k-means; of each covariance the largest directions."""
        import torch

        values = rows.double()
        codes = _k_means(values, min(CLASSES, max(1, len(rows) // 8)))
        members = [values[codes == code] for code in codes.unique()]
        roots = values.new_zeros(len(members), min(DIRECTIONS, values.shape[1]), values.shape[1])
        for root, own in zip(roots, members, strict=True):
            _, sizes, axes = torch.linalg.svd(own - own.mean(0), full_matrices=False)
            kept = min(len(sizes), len(root))
            root[:kept] = (sizes[:kept] / len(own) ** 0.5)[:, None] * axes[:kept]
        means = torch.stack([own.mean(0) for own in members]).to(rows.dtype)
        return cls(means, means, roots.to(rows.dtype))

    def of(self, rows: Tensor) -> Tensor:
        """The class of each row, (n,)."""
        return squared_distances(rows, self.centres).argmin(1)

    def mapped(self, projection: Tensor, offset: Tensor) -> Classes:
        """The Gaussians where a map takes them."""
        return Classes(self.centres, self.means @ projection + offset, self.roots @ projection)


class Transport:
    """Entropic optimal transport between equally heavy rows, by Sinkhorn's iteration in logarithms."""

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon
        self.f: Any = None
        self.g: Any = None

    def improve(self, cost: Tensor) -> Tensor:
        """The plan after some iterations from where the last call ended."""
        iterations = FIRST if self.f is None else NEXT
        self._iterate(cost.detach(), iterations)
        n, m = cost.shape
        return ((self.f[:, None] + self.g - cost.detach()) / self.epsilon).exp() / (n * m)

    def settle(self, cost: Tensor) -> float:
        """The regularised cost (the dual's value)."""
        self._iterate(cost.detach(), SETTLED)
        return float(self.f.mean() + self.g.mean())

    def _iterate(self, cost: Tensor, iterations: int) -> None:
        n, m = cost.shape
        scaled = cost / self.epsilon
        g = cost.new_zeros(m) if self.g is None else self.g / self.epsilon
        for _ in range(iterations):
            f = np.log(m) - (g - scaled).logsumexp(dim=1)
            g = np.log(n) - (f[:, None] - scaled).logsumexp(dim=0)
        self.f, self.g = f * self.epsilon, g * self.epsilon


def train(
    distances: Sequence[MMD | OTDD], held: MMD | OTDD, projection: Tensor, offset: Tensor
) -> tuple[Tensor, Tensor, int]:
    """Shrink a distance by Adam, and keep what is closest on rows held back: a few rows are soon learned by heart.

    Parameters
    ----------
    distances : sequence of MMD or OTDD
        Of one kind, on different rows; they take turns, for their number of steps.
    held : MMD or OTDD
        Of the same kind, on other rows.
    projection, offset : tensors of shape (d, width), (width,)
        The start; left alone.

    Returns
    -------
    projection, offset : tensors
    step : int
        After which they were taken: 0 is the start.
    """
    import torch

    parts = [projection.clone().requires_grad_(), offset.clone().requires_grad_()]
    optimizer = torch.optim.Adam(parts, lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, distances[0].steps)
    closest, kept = held.value(projection, offset), (projection, offset, 0)
    for step in range(1, distances[0].steps + 1):
        with torch.enable_grad():
            gradients = torch.autograd.grad(distances[step % len(distances)](*parts), parts)
        for part, gradient in zip(parts, gradients, strict=True):
            part.grad = gradient
        optimizer.step()
        schedule.step()
        now = [part.detach() for part in parts]
        if step % CHECK == 0 and (value := held.value(now[0], now[1])) < closest:
            closest, kept = value, (now[0].clone(), now[1].clone(), step)
    return kept


def squared_distances(rows: Tensor, others: Tensor) -> Tensor:
    """Between every row and every other, (n, m); at least 0."""
    squares = (rows * rows).sum(1)[:, None] + (others * others).sum(1)
    return (squares - 2 * rows @ others.T).clamp(min=0)


def bures(laws: Classes, others: Classes) -> Tensor:
    """Squared 2-Wasserstein distances between Gaussians, (k, l).

    The trace of the root that the formula asks for is the sum of the singular values of ``root @ other_root.T``,
    whose gradient is finite for covariances of any rank.
    """
    import torch

    crossed = torch.einsum("iaw,jbw->ijab", laws.roots, others.roots)
    traces = laws.roots.square().sum((1, 2))[:, None] + others.roots.square().sum((1, 2))
    return squared_distances(laws.means, others.means) + traces - 2 * torch.linalg.svdvals(crossed).sum(-1)


def _k_means(values: Tensor, k: int, starts: int = 4, iterations: int = 25) -> Tensor:
    """Class numbers by Lloyd's iteration, the tightest of some starts (Arthur and Vassilvitskii, k-means++, 2007)."""
    import torch

    rng = np.random.default_rng(SEED)
    best, tightest = values.new_zeros(len(values), dtype=torch.long), float("inf")
    for _ in range(starts):
        centres = values[[int(rng.integers(len(values)))]]
        while len(centres) < k:  # the next one with a chance by squared distance
            chances = squared_distances(values, centres).amin(1).cumsum(0)
            drawn = int(torch.searchsorted(chances, float(rng.random() * chances[-1])))
            centres = torch.cat([centres, values[min(drawn, len(values) - 1)][None]])
        for _ in range(iterations):
            codes = squared_distances(values, centres).argmin(1)
            filled = [code for code in range(len(centres)) if (codes == code).any()]
            centres = torch.stack([values[codes == code].mean(0) for code in filled])
        nearest = squared_distances(values, centres).min(1)
        if float(nearest.values.sum()) < tightest:
            best, tightest = nearest.indices, float(nearest.values.sum())
    return best
