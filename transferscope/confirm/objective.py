"""What training minimises and what its outcome is measured by: one objective for each task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import TransferScopeError
from ..targets import Target
from ..tasks import explained_by_row, share_error

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[np.float64]
FEW = 10  # samples, below which their scatter says little of itself
DIGITS = 6  # significant ones, by which outputs count as different


@dataclass(frozen=True, eq=False)
class Objective:
    """Of a target of classes; the other tasks override what differs.

    Attributes
    ----------
    n_outputs : int
        Of a head: one a class, label or number.
    is_share : bool
        Whether the measure is a share of right answers, whose noise follows from its value.
    """

    n_outputs: int
    is_share: ClassVar[bool] = True

    def encode(self, labels: NDArray[Any]) -> NDArray[Any]:
        """A target's labels as they are learned."""
        return labels

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """What is minimised, mean over samples."""
        import torch

        return torch.nn.functional.cross_entropy(outputs, labels)

    def calibration_loss(self, outputs: Array, labels: NDArray[Any], smooth: float = 0.0) -> float:
        """The same of arrays; `smooth` is the share of each label that is given to all alike."""
        from scipy.special import logsumexp

        told = (1 - smooth) * outputs[np.arange(len(labels)), labels] + smooth * outputs.mean(axis=1)
        return float(np.mean(logsumexp(outputs, axis=1) - told))

    def judge(self, outputs: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], int]:
        """What each sample adds to the measure, which is their mean, and how many different answers are given.

        Right or wrong; of the other tasks the measure's influence function on top of it, so that the standard error of
        a mean holds.
        """
        predicted = outputs.argmax(axis=1)
        return predicted == labels, len(np.unique(predicted))


class LabelSets(Objective):
    """Several labels a sample: a logistic loss for each, and the mean of their areas under the ROC curve.

    The area is 0.5 by chance however rare a label is, and needs no threshold. What a sample adds to it is DeLong's
    structural component. Labels that all held-out samples have, or none, have no area and are left out.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
    characteristic curves", Biometrics 1988.
    """

    is_share = False

    def encode(self, labels: NDArray[Any]) -> NDArray[Any]:
        """0 and 1 as floating numbers."""
        return labels.astype(np.float32)

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Mean over samples and labels."""
        import torch

        return torch.nn.functional.binary_cross_entropy_with_logits(outputs, labels)

    def calibration_loss(self, outputs: Array, labels: NDArray[Any], smooth: float = 0.0) -> float:
        """Mean over samples and labels."""
        return float(np.mean(np.logaddexp(0, outputs) - ((1 - smooth) * labels + smooth / 2) * outputs))

    def judge(self, outputs: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], int]:
        """By the order of the outputs of each label."""
        varied = np.flatnonzero(np.ptp(labels, axis=0))
        if not len(varied):
            raise TransferScopeError(
                f"no label differs among {len(labels)} held-out samples: none can be judged; give more samples."
            )
        areas = [_area_by_row(outputs[:, k], labels[:, k] > 0.5) for k in varied]
        return np.mean(areas, axis=0), _n_different(outputs)


@dataclass(frozen=True, eq=False)
class Numbers(Objective):
    """Numbers to predict: squared errors in standard deviations of the training rows, and R squared over columns.

    Columns that do not vary among held-out samples are left out.
    """

    mean: Array
    scale: Array
    is_share: ClassVar[bool] = False

    def encode(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Standardised."""
        return ((labels - self.mean) / self.scale).astype(np.float32)

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Mean over samples and columns."""
        import torch

        return torch.nn.functional.mse_loss(outputs, labels)

    def calibration_loss(self, outputs: Array, labels: NDArray[Any], smooth: float = 0.0) -> float:
        """Mean over samples and columns."""
        return float(np.mean(np.square(outputs - labels)))

    def judge(self, outputs: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], int]:
        """By what is left of the variance of the held-out samples."""
        varied = np.flatnonzero(np.ptp(labels, axis=0))
        if not len(varied):
            raise TransferScopeError(f"{len(labels)} held-out samples have one value only; give more samples.")
        columns, told = labels[:, varied].astype(np.float64), outputs[:, varied].astype(np.float64)
        return explained_by_row(columns, told), _n_different(outputs)


def objective_of(target: Target, train: NDArray[np.int64]) -> Objective:
    """By the target's task; numbers are standardised by the training rows."""
    n_outputs = len(target.classes)
    if target.task == "classification":
        return Objective(n_outputs)
    if target.task == "multilabel":
        return LabelSets(n_outputs)
    values = target.labels[train]
    spread = values.std(axis=0)
    return Numbers(n_outputs, values.mean(axis=0), np.where(spread > 0, spread, 1.0))


def standard_error(objective: Objective, added: NDArray[Any]) -> float | None:
    """Of a measure, from what samples add to it; None for a share, whose value tells.

    Perfect areas vary no more than perfect shares, and few errors of numbers may be alike by chance: there it is what
    normal errors would have, whose ratio to the variance has a relative variance of 4 / n.
    """
    if objective.is_share:
        return None
    n, value = len(added), float(added.mean())
    spread = float(added.std(ddof=1) / np.sqrt(n))
    if isinstance(objective, Numbers):
        return max(spread, 2 * (1 - value) / np.sqrt(n)) if n < FEW else spread
    return spread or share_error(value, n)


def _area_by_row(outputs: NDArray[Any], has: NDArray[np.bool_]) -> Array:
    """What each sample adds to the area under the ROC curve of one label; equal outputs count half."""
    from scipy.stats import rankdata

    n, n_with = len(has), int(has.sum())
    ranks = rankdata(outputs)
    above = np.empty(n)  # share of the other kind that a sample is rightly ordered with
    above[has] = (ranks[has] - rankdata(outputs[has])) / (n - n_with)
    above[~has] = 1 - (ranks[~has] - rankdata(outputs[~has])) / n_with
    area = above[has].mean()
    shares = np.where(has, n_with / n, 1 - n_with / n)
    return np.asarray(area + (above - area) / shares)


def _n_different(outputs: NDArray[Any]) -> int:
    """Different rows, up to rounding: one means that nothing is told of any sample."""
    scale = float(np.abs(outputs).max()) or 1.0
    return len(np.unique(np.round(outputs / scale, DIGITS), axis=0))
