"""Pictures fitted to a source: its channels, its size, its normalisation, as its own training evaluated them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..examples import Look
from ..results import Setting
from ..sources.source import ImageInput, Inputs
from .graph import register_converter
from .looking import small

if TYPE_CHECKING:
    from PIL.Image import Image


@register_converter(
    "image",
    "image",
    cost=0.0,
    reference="He et al., CVPR 2016 (resize the short side, crop the centre, normalise)",
)
class FitImage:
    """PIL pictures to ``{"pixel_values": float32 (n, channels, height, width)}``.

    The short side is resized to ``size / crop`` and the centre cut out, as timm evaluates. A source that is not
    square gets the whole picture, stretched: its shape (a line of text, a spectrogram) is no window onto a scene.
    A picture that already has the source's exact size is used as it is, so that converters which draw at that
    size lose nothing at the borders.
    """

    def __init__(self, spec: ImageInput, probe: Sequence[Any]) -> None:
        self.spec = spec

    def settings(self) -> Mapping[str, Setting]:
        """Everything that decides the pixels."""
        height, width = self.spec.size
        return {
            "height": height, "width": width, "interpolation": self.spec.interpolation, "crop": self.spec.crop,
            "mean": str(self.spec.mean), "std": str(self.spec.std),
        }  # fmt: skip

    def __call__(self, samples: Sequence[Image], edits: Counter[str]) -> Inputs:
        import torch

        height, width = self.spec.size
        values = torch.empty(len(samples), self.spec.channels, height, width)
        mean = torch.tensor(self.spec.mean).view(-1, 1, 1)
        std = torch.tensor(self.spec.std).view(-1, 1, 1)
        for row, image in zip(values, samples, strict=True):  # one by one, while a picture is in the processor's cache
            pixels = torch.from_numpy(np.array(self._fit(image, edits)))
            row.copy_(pixels if pixels.ndim == 2 else pixels.permute(2, 0, 1))  # gray fills every channel
            row.div_(255).sub_(mean).div_(std)
        return {"pixel_values": values}

    def show(self, sample: Image, made: Inputs) -> Look:
        """The pixels before normalisation."""
        from PIL import Image as Images

        values = made["pixel_values"][0].numpy().transpose(1, 2, 0) * self.spec.std + self.spec.mean
        pixels = np.round(255 * values.clip(0, 1)).astype(np.uint8)
        height, width = self.spec.size
        stretched = height != width and abs(sample.width / sample.height - width / height) > 0.05 * width / height
        return Look(
            f"{width} × {height} pixels{', stretched' if stretched else ''}",
            picture=small(Images.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)),
        )

    def _fit(self, image: Image, edits: Counter[str]) -> Image:
        """One picture at the source's channels and size."""
        image = self._channels(image, edits)
        height, width = self.spec.size
        edits["pixels"] += image.width * image.height
        edits["pixels_cropped"] += 0
        if image.size == (width, height):
            return image
        edits["resized"] += 1
        edits["upscaled"] += image.width < width and image.height < height
        if height != width:
            return image.resize((width, height), self._filter())
        short = round(height / self.spec.crop) if self.spec.crop < 1 else height
        scale = short / min(image.size)
        resized = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
        edits["pixels_cropped"] += round(image.width * image.height * (1 - width * height / (resized[0] * resized[1])))
        left, top = round((resized[0] - width) / 2), round((resized[1] - height) / 2)
        if max(resized) > 8 * short:  # a sliver: resize the kept part only, not a huge picture of it
            box = (left / scale, top / scale, (left + width) / scale, (top + height) / scale)
            return image.resize((width, height), self._filter(), box=_inside(box, image.size))
        return image.resize(resized, self._filter()).crop((left, top, left + width, top + height))

    def _channels(self, image: Image, edits: Counter[str]) -> Image:
        """Gray, or RGB where both source and picture have colour; transparency falls on white, 16-bit gray keeps its
        high bits.
        """
        from PIL import Image as Images

        if image.mode.startswith(("I", "F")):
            values = np.asarray(image, dtype=np.float64)
            image = Images.fromarray(np.clip(values / (257 if values.max() > 255 else 1), 0, 255).astype(np.uint8))
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
            white = Images.new("RGBA", image.size, "white")
            image = Images.alpha_composite(white, image)
        gray = image.mode in ("1", "L")
        if self.spec.channels == 1:
            edits["channels_dropped"] += not gray
            return image.convert("L")
        edits["channels_repeated"] += gray
        return image.convert("L" if gray else "RGB")

    def _filter(self) -> Any:
        from PIL.Image import Resampling

        return Resampling[self.spec.interpolation.upper()]


def _inside(box: tuple[float, float, float, float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box, kept inside the picture against rounding."""
    return max(0.0, box[0]), max(0.0, box[1]), min(float(size[0]), box[2]), min(float(size[1]), box[3])
