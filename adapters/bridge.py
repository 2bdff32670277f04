"""Bridges: frames of any kind mapped into a model's own token embeddings, and aligned with them without labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AdapterError
from ..results import Setting
from .alignment import LEARNING_RATE, MMD, OTDD, Classes, train

if TYPE_CHECKING:
    from torch import Tensor, nn

ALIGN = ("moments", "none", "mmd", "otdd")
STEPS = {"mmd": MMD.steps, "otdd": OTDD.steps}  # of those that are trained
WHITEN = 1e-3  # share of the mean variance added to every direction of the frames, so that noise is not blown up
NEGLIGIBLE = 1e-9  # share of the largest variance below which a direction is none
MOST_DIRECTIONS = 64
ROWS_EACH = 4  # frames that the probe must hold for every direction, at least
MOST, SAMPLE = 4096, 256  # rows of each side that are looked at, and that a distance compares at once
BLOCK = 16_384  # rows of the table read at a time
SEED = 0


class Bridge:
    """An affine map from frames into a source's token embeddings: whiten, project, shift.

    The frames are whitened by the statistics of a probe, in their leading directions only. Then, by `align`:

    - "none": laid along random orthonormal directions, of unit length on average. It knows nothing of the source.
    - "moments": laid along the leading principal directions of the source's table of token embeddings, scaled to its
      variances and shifted to its mean.
    - "mmd", "otdd": the same, and then trained for a few hundred steps to shrink that distance to the table's rows,
      as far as it shrinks for rows held back from training too.

    Parameters
    ----------
    frames : array of shape (n, d)
        Of the probe.
    embedding : torch.nn.Module
        With ``.weight`` of shape (vocabulary, width).
    align : {"moments", "none", "mmd", "otdd"}
    converter, control : str
        Whose bridge it is, and the source that takes the samples as they are; for messages.

    Raises
    ------
    AdapterError
        If the embedding is no table.

    References
    ----------
    Shen et al., "Cross-Modal Fine-Tuning: Align then Refine" (ORCA), ICML 2023; Sun and Saenko, "Deep CORAL", ECCV
    workshops 2016 (matching mean and covariance).
    """

    def __init__(self, frames: np.ndarray, embedding: nn.Module, align: str, *, converter: str, control: str) -> None:
        table = _table(embedding, converter, control)
        centre, wide, axes = _moments(table)
        self.mean, variances, directions = _principal(frames)
        most = min(MOST_DIRECTIONS, table.shape[1], len(frames) // ROWS_EACH or 1)
        rank = min(most, int((variances > NEGLIGIBLE * variances[0]).sum()))
        floor = WHITEN * max(variances.mean(), 1e-12)
        self.whiten = directions[:, :rank] / np.sqrt(variances[:rank] + floor)  # (d, rank)
        matched = np.sqrt(wide[:rank])[:, None] * axes[:, :rank].T
        starts = {"none": _plain(rank, table.shape[1]), "moments": (matched, centre)}
        self.projection, self.offset = starts.get(align, starts["moments"])
        key = hashlib.sha256(_rounded(self.mean, self.whiten @ self.projection, self.offset))
        self.record: dict[str, Setting] = {"align": align, "rank": rank, "whiten": WHITEN}
        with _one_thread():
            whitened = (frames - self.mean) @ self.whiten
            space = Space(whitened, table, centre, float(np.sqrt(wide.mean())) or 1.0)
            if align in STEPS:
                key.update(_rounded(space.seen[1].numpy()))
                self.projection, self.offset, kept = space.train(align, *starts["moments"])
                self.record |= {"seed": SEED, "steps": STEPS[align], "learning_rate": LEARNING_RATE, "kept_step": kept}
            names = tuple(STEPS) if align in STEPS else ("mmd",)  # the transport takes longer than such a bridge
            self.record |= space.distances(names, starts | {"now": (self.projection, self.offset)})
        self.record["projection_sha256"] = key.hexdigest()[:16]

    def settings(self) -> Mapping[str, Setting]:
        """Everything that decides the map.

        The map before training is there by its hash, rounded so that it is stable; training follows from it, the
        seed and the steps. ``mmd_none``, ``mmd_moments`` and ``mmd_now`` are the distances without alignment, with
        the training-free one and with this one; a trained bridge has ``otdd_none`` ... too. All are taken on rows
        that no gradient saw; the bridge's own distance on them chose the step that was kept, 0 being the start.
        Lower is closer; that it fell does not say that features became better.
        """
        return dict(self.record)

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Embeddings of frames, (..., d) to float32 (..., width)."""
        return ((frames - self.mean) @ self.whiten @ self.projection + self.offset).astype(np.float32)


class Space:
    """Samples of whitened frames and of a table's rows, in units in which the table has mean 0 and deviation 1.

    Each side is split by chance into what training sees and what distances are measured on afterwards.
    """

    def __init__(self, whitened: np.ndarray, table: Tensor, centre: np.ndarray, scale: float) -> None:
        import torch

        self.centre, self.scale = centre, scale
        ours, theirs = (np.random.default_rng(SEED).permutation(n)[:MOST] for n in (len(whitened), len(table)))
        rows = torch.from_numpy(whitened[ours]).float()
        tokens = table[torch.from_numpy(theirs)].double().cpu()
        self.seen, self.held = _halves(rows, ((tokens - torch.from_numpy(centre)) / scale).float())

    def train(self, align: str, projection: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """The map, trained to shrink the distance named `align`, and after how many steps it was taken."""
        held = self._measures(align, self.held)[0]
        start = self._scaled(projection, offset)
        *trained, step = train(self._measures(align, self.seen), held, *start)
        slope, shift = (part.double().numpy() * self.scale for part in trained)
        return slope, shift + self.centre, step

    def distances(self, names: Sequence[str], maps: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Setting]:
        """Each distance of each map on the rows held back, to three digits, so that the record is stable."""
        found: dict[str, Setting] = {}
        for name in names:
            measure = self._measures(name, self.held)[0]
            for which, parts in maps.items():
                found[f"{name}_{which}"] = float(f"{measure.value(*self._scaled(*parts)):.3g}")
        return found

    def _measures(self, name: str, sides: tuple[Tensor, Tensor]) -> list[MMD | OTDD]:
        """The distance on some rows, on the next ones, and so on."""
        pieces = list(zip(*(side.split(SAMPLE) for side in sides), strict=False))
        if name == "mmd":
            return [MMD(rows, tokens) for rows, tokens in pieces]
        classes = Classes.find(sides[0]), Classes.find(sides[1])
        return [OTDD(rows, tokens, classes) for rows, tokens in pieces]

    def _scaled(self, projection: np.ndarray, offset: np.ndarray) -> tuple[Tensor, Tensor]:
        import torch

        parts = projection / self.scale, (offset - self.centre) / self.scale
        return torch.from_numpy(parts[0]).float(), torch.from_numpy(parts[1]).float()


def _halves(rows: Tensor, tokens: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """First and second half of each side; a side of a few rows is used twice."""
    n, m = (len(side) // 2 if len(side) >= 4 else 0 for side in (rows, tokens))
    return (rows[: n or len(rows)], tokens[: m or len(tokens)]), (rows[n:], tokens[m:])


def _table(embedding: nn.Module, converter: str, control: str) -> Tensor:
    if not hasattr(embedding, "weight"):
        raise AdapterError(
            f"{converter}: {type(embedding).__name__} is no table of token embeddings to match; "
            f"expected a language model (for samples as they are, take {control})."
        )
    return embedding.get_parameter("weight").detach()


def _moments(table: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, variances and directions of a table's rows, which may be too many to copy in double precision."""
    import torch

    centre = torch.stack([block.double().sum(0) for block in table.split(BLOCK)]).sum(0) / len(table)
    scatter = torch.zeros(table.shape[1], table.shape[1], dtype=torch.float64, device=table.device)
    for block in table.split(BLOCK):
        centred = block.double() - centre
        scatter += centred.T @ centred
    return (centre.cpu().numpy(), *_axes((scatter / max(1, len(table) - 1)).cpu().numpy()))


def _principal(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mean = rows.mean(axis=0)
    centred = rows - mean
    return (mean, *_axes(centred.T @ centred / max(1, len(rows) - 1)))


def _axes(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances, largest first, and their directions in columns, each with its largest entry positive."""
    values, vectors = np.linalg.eigh(covariance)
    vectors = vectors[:, ::-1]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return values[::-1].clip(min=0), vectors * signs


def _plain(rank: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A map that knows nothing of the source: orthonormal directions by chance, rows of unit length on average."""
    drawn = np.random.default_rng(SEED).normal(size=(width, rank))
    directions, upper = np.linalg.qr(drawn)
    return (directions * np.sign(np.diag(upper))).T / np.sqrt(max(1, rank)), np.zeros(width)


def _rounded(*parts: np.ndarray) -> bytes:
    return b"".join(np.round(part, 6).astype("<f4").tobytes() for part in parts)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread inside: sums are then taken in one order, and trained maps come out equal."""
    import torch

    threads: Any = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode(False):  # whatever the caller is about, training needs gradients
            yield
    finally:
        torch.set_num_threads(threads)
