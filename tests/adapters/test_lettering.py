"""Words in the order in which they are seen: the shaper's own, for a line of one font, is the judge."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from transferscope.adapters.fonts import Fonts
from transferscope.adapters.lettering import Lettering, _font, base_direction, direction, shaping, visual

LATIN, HEBREW, ARABIC = "abc", "שלום", "بيت"
raqm = pytest.mark.skipif(shaping() == "basic", reason="Pillow without Raqm orders no letters")


@raqm
def test_directions() -> None:
    words = {LATIN: "L", HEBREW: "R", ARABIC: "R", "12": "digits", "٣": "digits", "-": "none", "(שa": "R", "": "none"}
    assert {word: direction(word) for word in words} == words
    assert base_direction(["12", "-", HEBREW, LATIN]) == "R"
    assert base_direction(["12", "-"]) == base_direction([]) == "L"


@raqm
@pytest.mark.parametrize(
    ("words", "seen"),
    [
        ("a b c", "a b c"),
        ("א ב ג", "ג ב א"),
        ("a א ב b", "a ב א b"),
        ("א a b ב", "ב a b א"),
        ("א 12 ב", "ב 12 א"),
        ("a א - ב b", "a ב - א b"),
        ("a א - b", "a א - b"),
        ("א - a", "a - א"),
        ("א a 12", "a 12 א"),
    ],
)
def test_words_are_turned_round_as_their_scripts_are_read(words: str, seen: str) -> None:
    assert " ".join(visual(words.split(), base_direction(words.split()))) == seen


@raqm
@given(st.lists(st.sampled_from([LATIN, "de", HEBREW, ARABIC, "כן", "12"]), min_size=1, max_size=7))
def test_the_order_is_that_of_the_shaper(words: list[str]) -> None:
    """Of all orders, the chosen one has the ink where a line drawn at once has it."""
    fonts = Fonts("")
    lettering, font = Lettering(fonts, 20), _font(fonts.faces[0], 20)
    base = base_direction(words)
    if words[-1] == "12" or ("12" in words and base == "L"):
        return  # Unicode sets digits within stretches of the other direction; here they go the way of what is before
    image = Image.new("L", (800, 40))
    lettering_width = lettering.width(words)
    drawn = Image.new("L", image.size, 255)
    lettering.draw(drawn, visual(words, base), 2, 30)
    from PIL import ImageDraw

    whole = Image.new("L", image.size, 255)
    direction = "ltr" if base == "L" else "rtl"
    ImageDraw.Draw(whole).text((2, 30), " ".join(words), fill=0, font=font, anchor="ls", direction=direction)
    profiles = [(np.asarray(p) < 128).sum(axis=0).astype(float) for p in (drawn, whole)]
    smooth = [np.convolve(profile, np.ones(9) / 9, "same") for profile in profiles]
    assert abs(lettering_width - font.getlength(" ".join(words))) <= len(words)
    assert np.corrcoef(*smooth)[0, 1] > 0.8


@raqm
def test_arabic_letters_join_within_a_word_only() -> None:
    lettering = Lettering(Fonts("بيت"), 20)
    islands = []
    for words in (["بيت"], ["ب", "ي", "ت"]):
        image = Image.new("L", (200, 40), 255)
        lettering.draw(image, words, 2, 25)
        lit = (np.asarray(image) < 128).any(axis=0).astype(int)
        islands.append(int((np.diff(lit) == 1).sum()))
    assert islands == [1, 3]


def test_ink_is_drawn_whole_and_once() -> None:
    lettering = Lettering(Fonts("jÁ"), 20)
    image = Image.new("L", (100, 60), 255)
    lettering.draw(image, ["jÁ"], 30, 40)
    pixels = np.asarray(image) < 128
    assert pixels[:40].any()
    assert pixels[41:].any()  # the tail of j lies below the baseline
    again = Image.new("L", (100, 60), 255)
    lettering.draw(again, ["jÁ"], 30, 40)
    np.testing.assert_array_equal(np.asarray(again), np.asarray(image))
    assert len({lettering._ink(word) is lettering._ink(word) for word in ("jÁ", "j")}) == 1


def test_a_longer_word_never_fits_where_a_shorter_one_did_not() -> None:
    lettering = Lettering(Fonts("abc"), 15)
    for word in map("".join, permutations("iWm")):
        fits = [lettering.longest(word, room) for room in range(60)]
        assert fits == sorted(fits)
        assert fits[0] == 0
        assert fits[-1] == 3
