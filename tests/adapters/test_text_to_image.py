"""Texts drawn as pictures: legible, of one letter size, complete or counted, in the script that they are in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest

from transferscope.adapters import text_to_image
from transferscope.adapters.text_to_image import MARGIN, SIZES, DrawText
from transferscope.errors import AdapterError
from transferscope.sources import ImageInput, TokensInput

SPEC = ImageInput((64, 192), (0.5,), (0.5,))


def draw(texts: Sequence[str], edits: Counter[str] | None = None, spec: ImageInput = SPEC) -> list[np.ndarray]:
    return [np.asarray(image) for image in DrawText(spec, texts)(texts, Counter() if edits is None else edits)]


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
    line = mixed._line_height(mixed.size)  # the word looks the same alone and at the head of a text
    np.testing.assert_array_equal(one[: MARGIN + line, :first_word], other[: MARGIN + line, :first_word])


def test_no_letter_of_a_text_that_fits_is_dropped() -> None:
    edits: Counter[str] = Counter()
    texts = ["Some words of which\tevery one  fits\nin here", "Wordsthatarewiderthanaline" * 3, "  padded  "]
    draw(texts, edits)
    assert edits["characters"] == sum(len("".join(text.split())) for text in texts)
    assert edits["characters_dropped"] == edits["truncated"] == edits["glyphs_missing"] == 0


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
    font = text_to_image._font(made.path, 20)
    lines = list(made._lines("some words and " + "w" * 60 + " rest", font))
    assert "".join(lines).replace(" ", "") == "somewordsand" + "w" * 60 + "rest"
    assert all(font.getlength(line) <= SPEC.size[1] - 2 * MARGIN for line in lines)
    assert lines[0] == "some words and"
    assert len(lines) >= 4


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (16, 400), (400, 16), (224, 224)])
def test_any_size_of_picture_takes_any_text(size: tuple[int, int]) -> None:
    spec = ImageInput(size, (0.5,), (0.5,))
    edits: Counter[str] = Counter()
    pictures = draw(["", " ", "a", "Donaudampfschifffahrtsgesellschaft und so weiter"], edits, spec)
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
    assert edits["glyphs_missing"] == 0
    assert ink(picture).sum() > ink(prefix).sum() > 20


def test_arabic_letters_are_joined_where_the_shaper_is_there() -> None:
    if text_to_image._shaping() == "basic":
        pytest.skip("Pillow without raqm draws letters one by one")
    made = DrawText(SPEC, ["بيت"])
    joined, apart = (np.asarray(image) for image in made(["بيت", "ب ي ت"], Counter()))
    assert not np.array_equal(joined, apart)
    lit = [int((np.diff(ink(p).any(axis=0).astype(int)) == 1).sum()) for p in (joined, apart)]
    assert lit[0] < lit[1]  # joined letters are fewer islands of ink


@pytest.fixture
def no_noto(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.font_manager import fontManager

    monkeypatch.setattr(fontManager, "ttflist", [])


@pytest.mark.usefixtures("no_noto")
def test_texts_that_no_font_can_draw_are_refused() -> None:
    with pytest.raises(AdapterError, match=r"no font here has the glyphs .* DejaVuSans.ttf lacks 4 of 4 .*你好世界"):
        DrawText(SPEC, ["你好", "世界"])
    with pytest.raises(AdapterError, match="Install a font of that script .*or use a source that reads text"):
        DrawText(SPEC, ["नमस्ते"])


@pytest.mark.usefixtures("no_noto")
def test_a_few_missing_glyphs_are_drawn_as_boxes_and_counted() -> None:
    edits: Counter[str] = Counter()
    texts = ["a long text in Latin letters with one 世 and another 界 in it"]
    assert ink(draw(texts, edits)[0]).any()
    assert edits["glyphs_missing"] == 2


def test_a_font_of_the_machine_with_more_of_the_letters_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.font_manager import FontEntry, fontManager

    made = [
        FontEntry(fname=f"/fonts/{name}.ttf", name=name, weight=400) for name in ("Noto Sans Thai", "Noto Sans CJK")
    ]
    monkeypatch.setattr(fontManager, "ttflist", made)
    held = {"Noto Sans Thai": "สวัสดี", "Noto Sans CJK": "你好世界", "DejaVuSans": "abc"}
    monkeypatch.setattr(text_to_image, "_glyphs", lambda path: frozenset(map(ord, held[path.stem])))
    assert text_to_image._best_font(["abc"]).name == "DejaVuSans.ttf"
    assert text_to_image._best_font(["abc 你好"]).name == "DejaVuSans.ttf"
    assert text_to_image._best_font(["a 你好世界"]).name == "Noto Sans CJK.ttf"
    assert text_to_image._best_font(["สวัสดี"]).name == "Noto Sans Thai.ttf"


def test_on_the_way_to_tokens_pictures_are_square() -> None:
    (image,) = DrawText(TokensInput(None, 64, None), ["word"])(["word"], Counter())  # type: ignore[arg-type]
    assert image.size == (224, 224)
