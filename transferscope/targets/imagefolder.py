"""``imagefolder:DIR``: pictures in class folders."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CorruptSampleError
from ..registry import Spec
from .folder import load_class_folders, printable
from .target import TARGETS, Target

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF")  # not EPS, for which Pillow starts Ghostscript
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"})


def read_image(path: str) -> Image:
    """Decode one picture, upright as its EXIF orientation says; of several frames the first.

    Returns
    -------
    PIL.Image.Image
        Of mode "L" (gray) or "RGB", 8 bits; see `gray_or_rgb`.

    Raises
    ------
    CorruptSampleError
        If Pillow cannot decode all of it, or it is so large that Pillow takes it for a decompression bomb.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        if not os.path.getsize(path):
            raise CorruptSampleError(printable(path), "the file is empty")
        with Image.open(path, formats=FORMATS) as image:
            return gray_or_rgb(ImageOps.exif_transpose(image))
    except CorruptSampleError:
        raise
    except UnidentifiedImageError:
        raise CorruptSampleError(printable(path), f"it is none of {', '.join(FORMATS)}") from None
    except Exception as error:  # on damaged files Pillow's decoders raise whatever they stumble over
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise CorruptSampleError(printable(path), reason) from None


def gray_or_rgb(image: Image) -> Image:
    """Bring a picture to 8-bit "L" where it is gray and to "RGB" otherwise.

    Transparent pixels show white, as on paper: left alone, black drawings on nothing turn all black.
    16-bit gray is scaled by 255/65535; wider pixels have no known range and are a ValueError.
    """
    from PIL import Image

    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        pixels = np.asarray(image if image.mode == "F" else image.convert("I"))
        low, high = pixels.min(), pixels.max()
        if image.mode == "F" or low < 0 or high > 65535:
            raise ValueError(f"its pixels, of mode {image.mode}, range from {low} to {high}; convert them to 8 bits")
        return Image.fromarray((pixels * (255 / 65535)).round().astype(np.uint8))
    mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB").convert(mode)
    return image.convert(mode)


def load_imagefolder(spec: Spec) -> Target:
    """Load ``imagefolder:DIR[?group=REGEX]``; see `load_class_folders`."""
    return load_class_folders(spec, "image", SUFFIXES, read_image)


TARGETS.add("imagefolder", load_imagefolder)
