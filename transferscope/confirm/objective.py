"""What a head is trained to say and how well it does: the one place that knows the kind of task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ..targets import Target

if TYPE_CHECKING:
    from torch import Tensor


class Objective(Protocol):
    """One kind of task. A new kind is a class of this form and a line in `objective_of`."""

    @property
    def n_outputs(self) -> int:
        """Width of the head."""

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Mean over samples; lower is better."""

    def value(self, outputs: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
        """What validation compares and the test rows measure; higher is better."""

    def collapsed(self, outputs: NDArray[np.float32], labels: NDArray[np.int64]) -> bool:
        """Whether the outputs say the same of every sample though the labels differ."""


@dataclass(frozen=True)
class Classification:
    """One of several classes: cross-entropy, and accuracy from 0 to 1."""

    n_outputs: int

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy in float32, in nats."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs.float(), labels)

    def value(self, outputs: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
        """Share of samples whose class is predicted."""
        return float(np.mean(outputs.argmax(axis=1) == labels))

    def collapsed(self, outputs: NDArray[np.float32], labels: NDArray[np.int64]) -> bool:
        """Whether one class is predicted throughout, or outputs are no numbers."""
        if not np.isfinite(outputs).all():
            return True
        return len(np.unique(labels)) > 1 and len(np.unique(outputs.argmax(axis=1))) == 1


def objective_of(target: Target) -> Objective:
    """What to train on a target. Targets hold classes today."""
    return Classification(len(target.classes))
