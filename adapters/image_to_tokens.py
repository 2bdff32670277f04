"""Pictures as sequences of patches in a language model's own embedding space, without training."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import AdapterError
from ..results import Setting
from ..sources.source import Inputs, TokensInput
from .graph import register_converter

if TYPE_CHECKING:
    from PIL.Image import Image

GRID, PATCH = 7, 4  # 49 patches of 4 x 4 pixels: a 28-pixel picture
WHITEN = 1e-3  # share of the mean variance added to every patch direction, so that noise is not blown up


@register_converter(
    "image",
    "tokens",
    cost=3.0,
    reference=(
        "Lu, Grover, Abbeel and Mordatch, Frozen pretrained transformers, AAAI 2022 (patches as tokens); "
        "Shen et al., ORCA, ICML 2023 (match the source's embedding distribution)"
    ),
)
class EmbedPatches:
    """Pictures to ``{"inputs_embeds": (n, patches, width), "attention_mask"}``.

    Gray patches are whitened with the probe's statistics and coloured with the leading principal directions of
    the source's token embeddings, so that they share its mean and its largest variances.
    """

    def __init__(self, spec: TokensInput, probe: Sequence[Image]) -> None:
        self.grid = max(1, min(GRID, int(spec.max_length**0.5)))
        if not hasattr(spec.embedding, "weight"):
            raise AdapterError(
                f"image->tokens: {type(spec.embedding).__name__} is no table of token embeddings to match; "
                "expected a language model (for pictures as they are, take raw:image)."
            )
        table = spec.embedding.get_parameter("weight").detach().double().cpu().numpy()
        patches = self._patches(probe).reshape(-1, PATCH * PATCH)
        self.mean = patches.mean(axis=0)
        variances, directions = _principal(patches)
        wide, axes = _principal(table)
        rank = min(len(variances), len(wide))
        floor = WHITEN * max(variances.mean(), 1e-12)
        whiten = directions[:, :rank] / np.sqrt(variances[:rank] + floor)
        self.projection = whiten @ (np.sqrt(wide[:rank])[:, None] * axes[:, :rank].T)  # (patch, width)
        self.offset = table.mean(axis=0)

    def settings(self) -> Mapping[str, Setting]:
        """Everything that decides the embeddings; the projection by its hash, rounded so that it is stable."""
        parts = (self.mean, self.projection, self.offset)
        content = b"".join(np.round(part, 6).astype("<f4").tobytes() for part in parts)
        return {
            "grid": self.grid, "patch": PATCH, "whiten": WHITEN,
            "projection_sha256": hashlib.sha256(content).hexdigest()[:16],
        }  # fmt: skip

    def __call__(self, samples: Sequence[Image], edits: Counter[str]) -> Inputs:
        import torch

        side = self.grid * PATCH
        edits["resized"] += sum(image.size != (side, side) for image in samples)
        edits["channels_dropped"] += sum(image.mode not in ("1", "L") for image in samples)
        embedded = (self._patches(samples) - self.mean) @ self.projection + self.offset
        values = torch.from_numpy(embedded.astype(np.float32))
        return {"inputs_embeds": values, "attention_mask": torch.ones(values.shape[:2], dtype=torch.long)}

    def _patches(self, samples: Sequence[Image]) -> np.ndarray:
        """Gray patches in 0..1, row by row, (n, patches, patch * patch)."""
        from PIL.Image import Resampling

        side = self.grid * PATCH
        gray = [np.asarray(image.convert("L").resize((side, side), Resampling.BILINEAR)) for image in samples]
        blocks = np.stack(gray).reshape(len(gray), self.grid, PATCH, self.grid, PATCH) / 255.0
        return blocks.transpose(0, 1, 3, 2, 4).reshape(len(gray), self.grid**2, PATCH * PATCH)


def _principal(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances, largest first, and their directions in columns, each with its largest entry positive."""
    values, vectors = np.linalg.eigh(np.cov(rows, rowvar=False))
    vectors = vectors[:, ::-1]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return values[::-1].clip(min=0), vectors * signs
