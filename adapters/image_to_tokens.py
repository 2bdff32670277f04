"""Pictures as sequences of patches in a language model's own embedding space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..examples import Look
from ..results import Setting
from ..sources.source import Inputs, TokensInput
from .bridge import ALIGN, Bridge
from .graph import register_converter
from .looking import gray, small

if TYPE_CHECKING:
    from PIL.Image import Image

GRID, PATCH = 7, 4  # 49 patches of 4 x 4 pixels: a 28-pixel picture


@register_converter(
    "image",
    "tokens",
    cost=3.0,
    reference=(
        "Lu, Grover, Abbeel and Mordatch, Frozen pretrained transformers, AAAI 2022 (patches as tokens); "
        "Shen et al., ORCA, ICML 2023 (match the source's embedding distribution)"
    ),
    options={"align": ALIGN},
)
class EmbedPatches:
    """Pictures to ``{"inputs_embeds": (n, patches, width), "attention_mask"}``.

    Gray patches reach the source's token embeddings through a `Bridge` fitted to the probe.

    Parameters
    ----------
    spec : TokensInput
    probe : sequence of PIL images
    align : {"moments", "none", "mmd", "otdd"}
        How the bridge is aligned with the source's embeddings; see `Bridge`.
    """

    def __init__(self, spec: TokensInput, probe: Sequence[Image], align: str = "moments") -> None:
        self.grid = max(1, min(GRID, int(spec.max_length**0.5)))
        patches = self._patches(probe).reshape(-1, PATCH * PATCH)
        self.bridge = Bridge(patches, spec.embedding, align, converter="image->tokens", control="raw:image")

    def settings(self) -> Mapping[str, Setting]:
        """Everything that decides the embeddings."""
        return {"grid": self.grid, "patch": PATCH, **self.bridge.settings()}

    def __call__(self, samples: Sequence[Image], edits: Counter[str]) -> Inputs:
        import torch

        side = self.grid * PATCH
        edits["resized"] += sum(image.size != (side, side) for image in samples)
        edits["channels_dropped"] += sum(image.mode not in ("1", "L") for image in samples)
        for image in samples:  # what is finer than the grid
            edits["pixels"] += image.width * image.height
            edits["pixels_dropped"] += image.width * image.height - min(image.width, side) * min(image.height, side)
        values = torch.from_numpy(self.bridge(self._patches(samples)))
        return {"inputs_embeds": values, "attention_mask": torch.ones(values.shape[:2], dtype=torch.long)}

    def show(self, sample: Image, made: Inputs) -> Look:
        """The patches before the bridge, a gap between them."""
        patches = self._patches([sample]).reshape(self.grid, self.grid, PATCH, PATCH)
        apart = np.pad(patches, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=0.5)
        plane = apart.swapaxes(1, 2).reshape(self.grid * (PATCH + 1), -1)[:-1, :-1]
        return Look(f"{self.grid**2} patches of {PATCH} × {PATCH} pixels", picture=small(gray(plane)))

    def _patches(self, samples: Sequence[Image]) -> np.ndarray:
        """Gray patches in 0..1, row by row, (n, patches, patch * patch)."""
        from PIL.Image import Resampling

        side = self.grid * PATCH
        gray = [np.asarray(image.convert("L").resize((side, side), Resampling.BILINEAR)) for image in samples]
        blocks = np.stack(gray).reshape(len(gray), self.grid, PATCH, self.grid, PATCH) / 255.0
        return blocks.transpose(0, 1, 3, 2, 4).reshape(len(gray), self.grid**2, PATCH * PATCH)
