"""Texts drawn as pictures, for models that look: no tokenizer, any script that this machine has a font of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..results import Setting
from ..sources.source import ImageInput, InputSpec
from .fonts import Fonts
from .graph import register_converter
from .lettering import Lettering, base_direction, shaping, visual

if TYPE_CHECKING:
    from PIL.Image import Image

SIZES = range(40, 7, -1)  # pixels; below 8 letters are not legible
MARGIN = 2  # pixels on every side of a square picture
ROW = 16  # pixels of a strip's height: the patch of most vision transformers
STRIP_SIZE = 12  # pixels; capitals, accents and tails of nearly all scripts then fit a row
SQUARE = (224, 224)  # where the source does not take pictures itself


@register_converter(
    "text",
    "image",
    cost=2.0,
    reference=(
        "Salesky, Etter and Post, EMNLP 2021 (visual text); "
        "Rust et al., PIXEL, ICLR 2023 (language modelling with pixels; one long strip)"
    ),
    options={"layout": ("square", "strip")},
)
class DrawText:
    """Texts to gray pictures of the source's exact size, black on white; what does not fit is cut and counted.

    Fonts are chosen by script from those of this machine, for the characters of the probe, and change within a text
    where the script does. Scripts that run from right to left do so where Pillow has Raqm.

    Parameters
    ----------
    spec : InputSpec
    probe : sequence of str
    layout : {"square", "strip"}
        "square": words wrapped as on a page, one letter size for all texts of a target, so that a letter looks the
        same everywhere: the largest at which all but the probe's longest texts fit (95th percentile). "strip": one
        long line as PIXEL draws it, cut into rows of 16 pixels that are stacked from the top, words crossing from
        row to row; letters always have the same size, and a patch of a vision transformer sees whole ones.

    Raises
    ------
    AdapterError
        When built, if no font has more than a tenth of the probe's characters.
    """

    def __init__(self, spec: InputSpec, probe: Sequence[str], layout: str = "square") -> None:
        self.height, self.width = spec.size if isinstance(spec, ImageInput) else SQUARE
        self.layout, self.row = layout, min(ROW, self.height)
        letters = "".join("".join(text.split()) for text in probe)
        self.fonts = Fonts(letters)
        self.fonts.check(letters)
        size = max(SIZES[-1], STRIP_SIZE * self.row // ROW) if layout == "strip" else self._largest(probe)
        self.lettering = Lettering(self.fonts, size)

    def settings(self) -> Mapping[str, Setting]:
        """Everything that decides the picture; the fonts by their content."""
        space = {"row": self.row} if self.layout == "strip" else {"margin": MARGIN}
        return {
            "layout": self.layout, **self.fonts.settings(), "shaping": shaping(),
            "letter_pixels": self.lettering.size, "height": self.height, "width": self.width, **space,
        }  # fmt: skip

    def __call__(self, samples: Sequence[str], edits: Counter[str]) -> list[Image]:
        return [self._draw(text, edits) for text in samples]

    def _draw(self, text: str, edits: Counter[str]) -> Image:
        words = text.split()
        letters = sum(map(len, words))
        image, drawn = self._strip(words) if self.layout == "strip" else self._square(words)
        edits["characters"] += letters
        edits["characters_dropped"] += letters - drawn
        edits["truncated"] += drawn < letters
        edits["characters_without_glyph"] += self.fonts.missing(text)
        return image

    def _square(self, words: Sequence[str]) -> tuple[Image, int]:
        """The picture, and how many letters are on it."""
        from PIL import Image as Images

        image = Images.new("L", (self.width, self.height), 255)
        base, drawn, top = base_direction(words), 0, MARGIN
        for line in self._lines(words, self.lettering):
            if top + self.lettering.height > self.height - MARGIN and top > MARGIN:
                break
            self.lettering.draw(image, visual(line, base), MARGIN, top + self.lettering.ascent)
            drawn += sum(map(len, line))
            top += self.lettering.height
        return image, drawn

    def _strip(self, words: Sequence[str]) -> tuple[Image, int]:
        """The picture, and how many letters are on it."""
        from PIL import Image as Images

        n_rows, base = self.height // self.row, base_direction(words)
        length = n_rows * self.width
        kept, used = [], 0
        for word in words:
            if used + self.lettering.advance(word) > length:
                kept.append(word[: self.lettering.longest(word, length - used)])
                break
            kept.append(word)
            used += self.lettering.advance(word) + self.lettering.space
        strip = Images.new("L", (length, self.row), 255)
        start = 0 if base == "L" else length - self.lettering.width(kept)  # such a text begins at the right end
        self.lettering.draw(strip, visual(kept, base), start, self.row // 2 + self.lettering.middle)
        rows = np.asarray(strip).reshape(self.row, n_rows, self.width).swapaxes(0, 1)
        pixels = np.full((self.height, self.width), 255, np.uint8)
        pixels[: n_rows * self.row] = (rows if base == "L" else rows[::-1]).reshape(-1, self.width)
        return Images.fromarray(pixels), sum(map(len, kept))

    def _lines(self, words: Sequence[str], lettering: Lettering) -> Iterator[list[str]]:
        """Words wrapped at the width; a word wider than a line is broken between letters."""
        room, line, used = self.width - 2 * MARGIN, list[str](), 0
        for word in words:
            wide = lettering.advance(word)
            if line and used + lettering.space + wide <= room:
                line.append(word)
                used += lettering.space + wide
                continue
            if line:
                yield line
            rest = word
            while rest and wide > room:
                fits = max(1, lettering.longest(rest, room))
                yield [rest[:fits]]
                rest = rest[fits:]
                wide = lettering.advance(rest)
            line, used = [rest] if rest else [], wide
        if line:
            yield line

    def _largest(self, probe: Sequence[str]) -> int:
        """The largest letter size at which all but the longest texts fit."""
        words = sorted(probe, key=len)[math.ceil(0.95 * (len(probe) - 1))][:2000].split()
        for size in SIZES:
            lettering = Lettering(self.fonts, size)
            n_lines = sum(1 for _ in self._lines(words, lettering))
            if n_lines * lettering.height <= self.height - 2 * MARGIN:
                return size
        return SIZES[-1]
