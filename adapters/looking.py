"""What a sample looks like to a person: small pictures, outlines of sounds, shortened texts."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from ..examples import Look, Picture, Piece
from ..targets.target import Waveform

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST = 4096  # bytes of a picture's file
LONG_SIDE = 160  # pixels of a picture that is made smaller; one that is small in bytes may keep up to twice as many
QUALITIES = (80, 60, 40, 20, 5)  # of WebP, until it is small enough
STRETCHES = 160  # of a sound, each drawn as its loudest point
LETTERS = 400  # of a text that is shown as it is


def look_of(sample: Any) -> Look:
    """A raw sample of any modality as it is."""
    if isinstance(sample, str):
        shown = sample[:LETTERS].encode(errors="backslashreplace").decode()  # JSON is UTF-8
        rest = (Piece(f"{len(sample) - LETTERS} more letters", "more"),) if len(sample) > LETTERS else ()
        return Look(f"{_n(len(sample.split()), 'word')}, {_n(len(sample), 'letter')}", pieces=(Piece(shown), *rest))
    if isinstance(sample, Waveform):
        channels = f", {len(sample.samples)} channels" if len(sample.samples) > 1 else ""
        return look_of_sound(sample.samples.mean(axis=0), sample.rate, channels)
    return Look(f"{sample.width} × {sample.height} pixels", picture=small(sample))


def look_of_sound(wave: np.ndarray, rate: int, more: str = "") -> Look:
    """The outline of a sound of one channel."""
    parts = np.array_split(np.abs(wave), min(STRETCHES, max(1, len(wave))))
    peaks = np.array([part.max(initial=0.0) for part in parts], dtype=np.float64)
    outline = np.round(100 * peaks / max(float(peaks.max()), 1e-12)).astype(int)
    return Look(f"{len(wave) / rate:.2f} s at {rate / 1000:g} kHz{more}", outline=tuple(map(int, outline)))


def gray(plane: np.ndarray) -> Image:
    """A plane of values in 0..1, 1 being white."""
    from PIL import Image as Images

    return Images.fromarray(np.round(255 * plane).astype(np.uint8))


def small(image: Image) -> Picture:
    """The picture pixel by pixel where that takes little room; else made smaller, and then coarser."""
    from PIL.Image import Resampling

    image = image.convert("L" if image.mode in ("1", "L", "I", "I;16", "F") else "RGB")
    red, *others = image.split()
    if all(red == other for other in others):
        image = red  # gray in three channels
    shown = image.copy()
    shown.thumbnail((LONG_SIDE, LONG_SIDE), Resampling.LANCZOS)
    for exact in (image, shown):
        if max(exact.size) <= 2 * LONG_SIDE and len(data := _file(exact, "PNG", optimize=True)) <= LARGEST:
            return _picture(exact, data, "png")
    for quality in QUALITIES:
        if len(data := _file(shown, "WEBP", quality=quality)) <= LARGEST:
            break
    return _picture(shown, data, "webp")


def _file(image: Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _picture(image: Image, data: bytes, format: Any) -> Picture:
    return Picture(base64.b64encode(data).decode(), image.width, image.height, format)


def _n(n: int, name: str) -> str:
    return f"{n} {name}{'' if n == 1 else 's'}"
