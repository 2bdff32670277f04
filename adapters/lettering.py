"""Words as ink: each drawn once and placed at whole pixels, in the order in which its script is read."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from .fonts import Face, Fonts

if TYPE_CHECKING:
    from PIL.Image import Image

Direction = Literal["L", "R"]
KEPT = 8192  # words; a language's most frequent ones are most of any text


@dataclass(frozen=True)
class Ink:
    """A drawn word: 255 where it is black, and where its upper left corner lies from its start on the baseline."""

    mask: Image
    left: int
    top: int


class Lettering:
    """Fonts at one size.

    A word always looks the same, wherever it stands: it starts at a whole pixel, as all do, and so it need be drawn
    only once.

    Attributes
    ----------
    ascent, height, space : int
        Pixels from the top of a line to its baseline, from line to line, and between words.
    middle : int
        Pixels from the baseline up to half the height of DejaVu Sans, whatever other fonts there are.
    """

    def __init__(self, fonts: Fonts, size: int) -> None:
        self.fonts, self.size = fonts, size
        metrics = [_font(face, size).getmetrics() for face in fonts.faces]
        self.ascent = max(ascent for ascent, _ in metrics)
        self.height = self.ascent + max(descent for _, descent in metrics)
        self.middle = (metrics[0][0] - metrics[0][1]) // 2
        self.space = max(1, round(_font(fonts.faces[0], size).getlength(" ")))
        self.advance = lru_cache(maxsize=KEPT)(self._advance)
        self._ink = lru_cache(maxsize=KEPT)(self._drawn)

    def longest(self, word: str, room: int) -> int:
        """How many letters of `word` fit, by bisection."""
        low, high = 0, min(len(word), room + 1)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._advance(word[:middle]) <= room else (low, middle - 1)
        return low

    def width(self, words: Sequence[str]) -> int:
        """Of a line of them."""
        return sum(map(self.advance, words)) + self.space * max(0, len(words) - 1)

    def draw(self, image: Image, words: Iterable[str], x: int, baseline: int) -> None:
        """Draw a line of words, given as they are seen from the left, in black."""
        for word in words:
            ink = self._ink(word)
            image.paste(0, (x + ink.left, baseline + ink.top), ink.mask)
            x += self.advance(word) + self.space

    def _advance(self, word: str) -> int:
        return round(sum(_font(face, self.size).getlength(run) for run, face in self.fonts.runs(word)))

    def _drawn(self, word: str) -> Ink:
        from PIL import Image as Images
        from PIL import ImageDraw

        runs = self.fonts.runs(word)
        if len(runs) > 1 and direction(word) == "R" and shaping() == "raqm":
            runs.reverse()
        room = 2 * self.size  # for what reaches over a word's start and end, and above and below its line
        sheet = Images.new("L", (self.advance(word) + 2 * room, 2 * room))
        pen, x = ImageDraw.Draw(sheet), float(room)
        for run, face in runs:
            font = _font(face, self.size)
            pen.text((x, room), run, fill=255, font=font, anchor="ls")
            x += font.getlength(run) if len(runs) > 1 else 0
        left, top, right, bottom = sheet.getbbox() or (room, room, room, room)
        return Ink(sheet.crop((left, top, right, bottom)), left - room, top - room)


def visual(words: Sequence[str], base: Direction) -> Sequence[str]:
    """Words in the order in which they are seen from the left, by Unicode's bidirectional algorithm, in short.

    Letters within a word are the shaper's to order. A word without letters goes the way of those around it, or of the
    text; one of digits, the way of the letters before it.
    """
    if shaping() == "basic" or (base == "L" and not any(direction(word) == "R" for word in words)):
        return words
    levels = [{"L": 0, "R": 1}[way] if base == "L" else {"L": 2, "R": 1}[way] for way in _resolved(words, base)]
    order = list(range(len(words)))
    for level in (2, 1):  # turn round every stretch of at least this level
        start = 0
        while start < len(order):
            end = start
            while end < len(order) and levels[order[end]] >= level:
                end += 1
            order[start:end] = order[start:end][::-1]
            start = end + 1
    return [words[i] for i in order]


def base_direction(words: Iterable[str]) -> Direction:
    """The way that a text's first letter goes; to the right, where nothing turns letters round."""
    if shaping() == "basic":
        return "L"
    return next((way for way in map(direction, words) if way == "L" or way == "R"), "L")


@lru_cache(maxsize=KEPT)
def direction(word: str) -> Literal["L", "R", "digits", "none"]:
    """Of the first letter; without one, whether there are digits."""
    kinds = [unicodedata.bidirectional(letter) for letter in word]
    letters = [kind for kind in kinds if kind in ("L", "R", "AL")]
    if letters:
        return "L" if letters[0] == "L" else "R"
    return "digits" if {"EN", "AN"} & set(kinds) else "none"


@lru_cache(maxsize=1)
def shaping() -> Literal["raqm", "basic"]:
    """Raqm joins and orders letters as Arabic and Indic scripts need; without it they are drawn one by one."""
    from PIL import features

    return "raqm" if features.check("raqm") else "basic"


def _resolved(words: Sequence[str], base: Direction) -> list[Direction]:
    """Left or right for every word, those without letters too."""
    found: list[Direction | None] = []
    last: Direction = base
    for way in map(direction, words):
        if way == "L" or way == "R":
            last = way
        found.append(None if way == "none" else last)
    for i, known in enumerate(found):
        if known is None:
            before = next((way for way in found[i::-1] if way), base)
            after = next((way for way in found[i:] if way), base)
            found[i] = before if before == after else base
    return [way or base for way in found]


@lru_cache(maxsize=256)
def _font(face: Face, size: int) -> Any:
    from PIL import ImageFont

    engine = ImageFont.Layout[shaping().upper()]
    return ImageFont.truetype(str(face.path), size, index=face.index, layout_engine=engine)
