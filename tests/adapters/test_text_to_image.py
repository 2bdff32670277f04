"""Texts drawn as pictures: legible, of one letter size, complete or counted, in the script that they are in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transferscope.adapters import find_adapter
from transferscope.adapters.lettering import Lettering, shaping
from transferscope.adapters.text_to_image import MARGIN, ROW, SIZES, DrawText
from transferscope.errors import AdapterError
from transferscope.sources import ImageInput, TokensInput

SPEC = ImageInput((64, 192), (0.5,), (0.5,))


def draw(
    texts: Sequence[str], edits: Counter[str] | None = None, spec: ImageInput = SPEC, layout: str = "square"
) -> list[np.ndarray]:
    made = DrawText(spec, texts, layout)(texts, Counter() if edits is None else edits)
    return [np.asarray(image) for image in made]


def ink(picture: np.ndarray) -> np.ndarray:
    return picture < 128


def test_different_texts_are_different_pictures_and_equal_ones_equal() -> None:
    texts = ["cat", "cot", "Cat", "cat.", "cats", "act", "two cats", "zwei Katzen", "две кошки", "δύο γάτες"]
    pictures = draw(texts)
    assert all(not np.array_equal(a, b) for a, b in combinations(pictures, 2))
    for first, second in zip(pictures, draw(texts), strict=True):
        np.testing.assert_array_equal(first, second)
    assert all(picture.shape == (64, 192) and ink(picture).sum() > 20 for picture in pictures)


def test_letters_stay_inside_the_margin() -> None:
    for picture in draw(["The quick brown fox jumps over the lazy dog. " * 3, "W" * 400]):
        assert not ink(picture)[:, :1].any()
        assert not ink(picture)[: MARGIN - 1].any()
        assert not ink(picture)[:, -1:].any()


def test_one_letter_size_for_all_and_the_largest_that_fits() -> None:
    short = DrawText(SPEC, ["ab"] * 5).settings()["letter_pixels"]
    mixed = DrawText(SPEC, ["ab"] * 4 + ["many more words than that are here"] * 4)
    long = DrawText(SPEC, ["word " * 2000]).settings()["letter_pixels"]
    assert (short, long) == (SIZES[0], SIZES[-1])
    assert SIZES[-1] < int(str(mixed.settings()["letter_pixels"])) < SIZES[0]
    one, other = (np.asarray(p) for p in mixed(["many", "many more words than that are here"], Counter()))
    assert ink(one).any()
    first_word = np.flatnonzero(ink(one).any(axis=0))[-1] + 1
    line = mixed.lettering.height  # the word looks the same alone and at the head of a text
    np.testing.assert_array_equal(one[: MARGIN + line, :first_word], other[: MARGIN + line, :first_word])


def test_no_letter_of_a_text_that_fits_is_dropped() -> None:
    edits: Counter[str] = Counter()
    texts = ["Some words of which\tevery one  fits\nin here", "Wordsthatarewiderthanaline" * 3, "  padded  "]
    draw(texts, edits)
    assert edits["characters"] == sum(len("".join(text.split())) for text in texts)
    assert edits["characters_dropped"] == edits["truncated"] == edits["characters_without_glyph"] == 0


def test_truncated_texts_and_their_dropped_letters_are_counted() -> None:
    edits: Counter[str] = Counter()
    made = DrawText(SPEC, ["ten letters"] * 20)
    end = "the end of it"
    first, second = made(["word " * 500 + end, "word " * 500 + "another end"], edits)
    assert edits["truncated"] == 2
    assert edits["characters"] == 2000 + 10 + 2000 + 10
    assert 3800 < edits["characters_dropped"] < 4020
    np.testing.assert_array_equal(np.asarray(first), np.asarray(second))  # they differ past the bottom only
    kept = edits["characters"] - edits["characters_dropped"]
    again: Counter[str] = Counter()
    made(["word " * (kept // 8)], again)
    assert again["truncated"] == 0


def test_wrapping_keeps_words_whole_and_breaks_those_wider_than_a_line() -> None:
    made = DrawText(SPEC, ["x" * 10])
    lettering = Lettering(made.fonts, 20)
    lines = list(made._lines(["some", "words", "and", "w" * 60, "rest"], lettering))
    assert "".join(word for line in lines for word in line) == "somewordsand" + "w" * 60 + "rest"
    assert all(lettering.width(line) <= SPEC.size[1] - 2 * MARGIN for line in lines)
    assert lines[0] == ["some", "words", "and"]
    assert len(lines) >= 4


@given(st.lists(st.text(st.sampled_from("ilmW你م"), min_size=1, max_size=30), max_size=20), st.sampled_from([30, 192]))
def test_every_line_is_full_and_no_letter_is_lost(words: list[str], width: int) -> None:
    made = DrawText(ImageInput((64, width), (0.5,), (0.5,)), ["x"])
    lettering, room = Lettering(made.fonts, 12), width - 2 * MARGIN
    lines = list(made._lines(words, lettering))
    assert "".join(word for line in lines for word in line) == "".join(words)
    assert all(lettering.width(line) <= room for line in lines)
    for line, after in pairwise(lines):
        assert lettering.width([*line, after[0]]) > room or len(line) == 1  # a word broken fills its line alone


@pytest.mark.parametrize("layout", ["square", "strip"])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (16, 400), (400, 16), (30, 50), (224, 224)])
def test_any_size_of_picture_takes_any_text(size: tuple[int, int], layout: str) -> None:
    spec = ImageInput(size, (0.5,), (0.5,))
    edits: Counter[str] = Counter()
    pictures = draw(["", " ", "a", "Donaudampfschifffahrtsgesellschaft und so weiter"], edits, spec, layout)
    assert [picture.shape for picture in pictures] == [size] * 4
    assert not ink(pictures[0]).any()
    assert edits["characters"] == 46


@pytest.mark.parametrize(
    "text",
    ["Привет, мир", "Γειά σου κόσμε", "مرحبا بالعالم", "שלום עולם", "Tiếng Việt có dấu", "∑ ≠ √", "ąęłżź"],
    ids=["Cyrillic", "Greek", "Arabic", "Hebrew", "Vietnamese", "mathematics", "Polish"],
)
def test_scripts_of_the_shipped_font_are_drawn(text: str) -> None:
    edits: Counter[str] = Counter()
    picture, prefix = draw([text, text[:-1]], edits)
    assert edits["characters_without_glyph"] == 0
    assert ink(picture).sum() > ink(prefix).sum() > 20


def test_arabic_letters_are_joined_where_the_shaper_is_there() -> None:
    if shaping() == "basic":
        pytest.skip("Pillow without raqm draws letters one by one")
    made = DrawText(SPEC, ["بيت"])
    joined, apart = (np.asarray(image) for image in made(["بيت", "ب ي ت"], Counter()))
    assert not np.array_equal(joined, apart)
    lit = [int((np.diff(ink(p).any(axis=0).astype(int)) == 1).sum()) for p in (joined, apart)]
    assert lit[0] < lit[1]  # joined letters are fewer islands of ink


@pytest.fixture
def no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """No fonts but the shipped one."""
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: [])


@pytest.mark.usefixtures("no_others")
def test_texts_that_no_font_can_draw_are_refused() -> None:
    with pytest.raises(
        AdapterError, match=r"glyphs of 4 of 4 characters: Han \(4, such as 你好世界\)\. .*fonts-noto-cjk"
    ):
        DrawText(SPEC, ["你好", "世界"])
    with pytest.raises(AdapterError, match="Devanagari.*fonts-noto-core.*or use a source that reads text"):
        DrawText(SPEC, ["नमस्ते"])


@pytest.mark.usefixtures("no_others")
def test_a_few_missing_glyphs_are_drawn_as_boxes_and_counted() -> None:
    edits: Counter[str] = Counter()
    texts = ["a long text in Latin letters with one 世 and another 界 in it"]
    assert ink(draw(texts, edits)[0]).any()
    assert edits["characters_without_glyph"] == 2


@pytest.mark.parametrize("base", ["word ", "كلمة "], ids=["to the right", "to the left"])
def test_a_strip_is_one_long_line_cut_into_rows(base: str) -> None:
    rows, width = 14, 224
    text = " ".join(f"{base}{i}" for i in range(60))
    (stacked,) = draw([text], spec=ImageInput((rows * ROW, width), (0.5,), (0.5,)), layout="strip")
    (line,) = draw([text], spec=ImageInput((ROW, rows * width), (0.5,), (0.5,)), layout="strip")
    pieces = stacked.reshape(rows, ROW, width)
    if base == "كلمة " and shaping() == "raqm":  # it begins at the right end
        pieces = pieces[::-1]
        assert ink(line)[:, -20:].any()
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), line)
    crossing = [ink(line)[:, k * width - 3 : k * width + 3].any(axis=0).all() for k in range(1, rows)]
    assert any(crossing)  # words go on in the next row


def test_letters_of_a_strip_have_one_size_whatever_the_text() -> None:
    spec = ImageInput((224, 224), (0.5,), (0.5,))
    sizes = [
        DrawText(spec, [text], "strip").settings()["letter_pixels"] for text in ("a", "word " * 1000, "你" + "a" * 99)
    ]
    assert len(set(sizes)) == 1
    short, long = draw(["word", "word " * 1000], spec=spec, layout="strip")
    np.testing.assert_array_equal(short[:ROW, :30], long[:ROW, :30])
    assert ink(short)[:ROW].any(axis=1).sum() >= ROW // 2
    for letters in ("ÁÅgjpqyß|", "Ђљџ", "مرحبا"):  # and a row holds them whole
        (picture,) = draw([letters], spec=ImageInput((3 * ROW, 300), (0.5,), (0.5,)), layout="strip")
        (taller,) = _tall(letters)
        assert ink(picture).sum() == ink(taller).sum() > 0


def _tall(letters: str) -> list[np.ndarray]:
    """The same letters with room around them."""
    from PIL import Image

    made = DrawText(ImageInput((3 * ROW, 300), (0.5,), (0.5,)), [letters], "strip")
    image = Image.new("L", (400, 60), 255)
    made.lettering.draw(image, [letters], 50, 30)
    return [np.asarray(image)]


def test_letters_past_the_end_of_a_strip_are_counted() -> None:
    edits: Counter[str] = Counter()
    spec = ImageInput((4 * ROW, 100), (0.5,), (0.5,))
    one, other = draw(["word " * 50 + "here", "word " * 50 + "there"], edits, spec, "strip")
    np.testing.assert_array_equal(one, other)
    assert edits["truncated"] == 2
    kept = edits["characters"] - edits["characters_dropped"]
    assert 60 < kept < 160
    again: Counter[str] = Counter()
    DrawText(spec, ["x"], "strip")(["w" * (kept // 4)], again)
    assert again["characters_dropped"] == 0


def test_a_word_looks_the_same_wherever_it_stands() -> None:
    made = DrawText(ImageInput((20, 400), (0.5,), (0.5,)), ["x " * 40], "strip")
    alone, later = (np.asarray(image) for image in made(["Wovel", "a To il Wovel"], Counter()))
    start = made.lettering.width(["a", "To", "il"]) + made.lettering.space
    word = made.lettering.advance("Wovel")
    np.testing.assert_array_equal(alone[:, :word], later[:, start : start + word])


def test_the_record_of_the_layouts_differs() -> None:
    square, strip = (DrawText(SPEC, ["a"], layout).settings() for layout in ("square", "strip"))
    assert (square["layout"], strip["layout"]) == ("square", "strip")
    assert square != strip
    assert {"fonts", "fonts_sha256", "shaping", "letter_pixels"} <= set(square) & set(strip)


def test_on_the_way_to_tokens_pictures_are_square() -> None:
    (image,) = DrawText(TokensInput(None, 64, None), ["word"])(["word"], Counter())  # type: ignore[arg-type]
    assert image.size == (224, 224)


@pytest.mark.parametrize("layout", ["square", "strip"])
def test_both_layouts_reach_a_source_that_looks(layout: str, source_of: Any, target_of: Any) -> None:
    target, source = target_of("text"), source_of("image")
    adapter = find_adapter(target, source, [f"text->image?layout={layout}"])
    assert adapter.path[0].settings["layout"] == layout
    edits: Counter[str] = Counter()
    inputs = adapter.prepare([target.samples[row] for row in range(len(target))], edits)
    assert inputs["pixel_values"].shape == (4, 3, 32, 32)
    assert edits["resized"] == 0  # drawn at the source's exact size
    assert edits["characters"] > edits["characters_dropped"]
