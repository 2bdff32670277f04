"""Texts drawn as pictures, for models that look: no tokenizer, any script that the font has."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AdapterError
from ..results import Setting
from ..sources.source import ImageInput, InputSpec
from .graph import register_converter

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

SIZES = range(40, 7, -1)  # pixels; below 8 letters are not legible
MARGIN = 2  # pixels on every side
SQUARE = (224, 224)  # where the source does not take pictures itself
MISSING_ALLOWED = 0.1  # share of the probe's characters without a glyph


@register_converter(
    "text",
    "image",
    cost=2.0,
    reference=(
        "Salesky, Etter and Post, EMNLP 2021 (visual text); "
        "Rust et al., PIXEL, ICLR 2023 (language modelling with pixels)"
    ),
)
class DrawText:
    """Texts to gray pictures of the source's exact size: black on white, wrapped, cut at the bottom.

    One letter size for all texts of a target, so that a letter looks the same everywhere: the largest at which all
    but the probe's longest texts fit (95th percentile).

    Raises
    ------
    AdapterError
        When built, if the font lacks more than a tenth of the probe's characters.
    """

    def __init__(self, spec: InputSpec, probe: Sequence[str]) -> None:
        self.height, self.width = spec.size if isinstance(spec, ImageInput) else SQUARE
        self.path = _best_font(probe)
        self.glyphs = _glyphs(self.path)
        self._check_glyphs(probe)
        longer = sorted(probe, key=len)[math.ceil(0.95 * (len(probe) - 1))]
        fitting = (size for size in SIZES if self._fits(longer, size))
        self.size = next(fitting, SIZES[-1])

    def settings(self) -> Mapping[str, Setting]:
        """Everything that decides the picture; the font by its content."""
        content = hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]
        return {
            "font": self.path.name, "font_sha256": content, "shaping": _shaping(), "letter_pixels": self.size,
            "height": self.height, "width": self.width, "margin": MARGIN,
        }  # fmt: skip

    def __call__(self, samples: Sequence[str], edits: Counter[str]) -> list[Image]:
        return [self._draw(text, edits) for text in samples]

    def _draw(self, text: str, edits: Counter[str]) -> Image:
        from PIL import Image as Images
        from PIL import ImageDraw

        image = Images.new("L", (self.width, self.height), 255)
        pen, font = ImageDraw.Draw(image), _font(self.path, self.size)
        letters = len("".join(text.split()))
        drawn = 0
        top = MARGIN
        for line in self._lines(text, font):
            if top + self._line_height(self.size) > self.height - MARGIN and top > MARGIN:
                break
            pen.text((MARGIN, top), line, fill=0, font=font)
            drawn += len("".join(line.split()))
            top += self._line_height(self.size)
        edits["characters"] += letters
        edits["characters_dropped"] += letters - drawn
        edits["truncated"] += drawn < letters
        edits["glyphs_missing"] += self._missing(text)
        return image

    def _lines(self, text: str, font: FreeTypeFont) -> Iterator[str]:
        """Words wrapped at the width; a word wider than a line is broken between letters."""
        room, line = self.width - 2 * MARGIN, ""
        for word in text.split():
            wider = f"{line} {word}" if line else word
            if font.getlength(wider) <= room:
                line = wider
                continue
            if line:
                yield line
            while font.getlength(word) > room:
                fits = max(1, _longest(word, font, room))
                yield word[:fits]
                word = word[fits:]
                if not word:
                    break
            line = word
        if line:
            yield line

    def _fits(self, text: str, size: int) -> bool:
        n_lines = sum(1 for _ in self._lines(text[:2000], _font(self.path, size)))
        return n_lines * self._line_height(size) <= self.height - 2 * MARGIN

    def _line_height(self, size: int) -> int:
        ascent, descent = _font(self.path, size).getmetrics()
        return ascent + descent

    def _missing(self, text: str) -> int:
        return sum(not letter.isspace() and ord(letter) not in self.glyphs for letter in text)

    def _check_glyphs(self, probe: Sequence[str]) -> None:
        letters = "".join("".join(text.split()) for text in probe)
        missing = self._missing(letters)
        if letters and missing > MISSING_ALLOWED * len(letters):
            lacking = "".join(dict.fromkeys(c for c in letters if ord(c) not in self.glyphs))[:10]
            raise AdapterError(
                f"text->image: no font here has the glyphs of this text: {self.path.name} lacks {missing} of "
                f"{len(letters)} characters, such as {lacking}. Install a font of that script (Noto has one for "
                "each), or use a source that reads text."
            )


def _longest(word: str, font: FreeTypeFont, room: float) -> int:
    """How many letters of `word` fit, by bisection."""
    low, high = 0, min(len(word), int(room) + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(word[:middle]) <= room else (low, middle - 1)
    return low


def _best_font(probe: Sequence[str]) -> Path:
    """DejaVu Sans as matplotlib ships it, unless a Noto Sans on this machine has more of the characters."""
    import matplotlib
    from matplotlib.font_manager import fontManager

    shipped = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    letters = {ord(c) for text in probe for c in text if not c.isspace()}
    if letters <= _glyphs(shipped):
        return shipped
    noto = {
        Path(font.fname) for font in fontManager.ttflist if font.name.startswith("Noto Sans") and font.weight == 400
    }
    return max([shipped, *sorted(noto)], key=lambda path: len(letters & _glyphs(path)))


@lru_cache(maxsize=256)
def _glyphs(path: Path) -> frozenset[int]:
    """Code points that the font can draw."""
    from fontTools.ttLib import TTFont

    with TTFont(path, fontNumber=0, lazy=True) as font:
        return frozenset(font.getBestCmap())


@lru_cache(maxsize=64)
def _font(path: Path, size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout[_shaping().upper()])


@lru_cache(maxsize=1)
def _shaping() -> str:
    """Raqm joins and orders letters as Arabic and Indic scripts need; without it they are drawn one by one."""
    from PIL import features

    return "raqm" if features.check("raqm") else "basic"
