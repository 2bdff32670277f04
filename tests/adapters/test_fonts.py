"""Fonts by script: the one with most letters, in an order that is the same everywhere, and a word for what lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection
from hypothesis import given
from hypothesis import strategies as st

from transferscope.adapters.fonts import Fonts, invisible, script_of
from transferscope.errors import AdapterError

HAN, THAI, DEVANAGARI, ETHIOPIC = "你好世界", "สวัสดี", "नमस्ते", "ሰላም"
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Write a font and let it be the machine's, with those made before."""
    found: list[str] = []
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: found)

    def write(file: str, families: str | Sequence[str], letters: str, *, weight: int = 400, style: int = 64) -> Path:
        many = [families] if isinstance(families, str) else families
        fonts = [_font(family, letters, weight, style) for family in many]
        path = tmp_path / file
        if len(fonts) == 1:
            fonts[0].save(path)
        else:
            collection = TTCollection()
            collection.fonts = [font.font for font in fonts]
            collection.save(path)
        found.insert(0, str(path))  # what is made later is found first
        return path

    return write


def _font(family: str, letters: str, weight: int, style: int) -> FontBuilder:
    """A font whose letters are boxes as wide as their code points tell."""
    builder = FontBuilder(1000)
    codes = sorted(set(map(ord, letters)))
    names = [".notdef", *(f"u{code:04X}" for code in codes)]
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({code: f"u{code:04X}" for code in codes})
    glyphs = {}
    for width, name in enumerate(names, start=3):
        pen = TTGlyphPen(None)
        corners = [(50, 0), (50, 700), (50 + 20 * width, 700), (50 + 20 * width, 0)]
        pen.moveTo(corners[0])
        for corner in corners[1:]:
            pen.lineTo(corner)
        pen.closePath()
        glyphs[name] = pen.glyph()
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(names, (900, 50)))
    builder.setupHorizontalHeader(ascent=1000, descent=-300)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(usWeightClass=weight, usWidthClass=5, fsSelection=style)
    builder.setupPost()
    return builder


def test_the_shipped_font_alone_where_it_has_all(make: Make) -> None:
    make("noto.ttf", "Noto Sans", "abcdefghijklmnopqrstuvwxyz")
    for text in ("abc", "Привет", "مرحبا", "1 + 2 = 3", ""):
        fonts = Fonts(text)
        assert [face.name for face in fonts.faces] == ["DejaVuSans.ttf"]
        assert fonts.runs("abc") == [("abc", fonts.faces[0])]


def test_each_script_has_its_own_font_and_the_rest_stays(make: Make) -> None:
    make("thai.ttf", "Noto Sans Thai", THAI + "abc")
    make("han.ttf", "Noto Sans CJK SC", HAN + "abc，12")
    fonts = Fonts("abc 12" + HAN + THAI + "，")
    assert {script: [f.name for f in chain] for script, chain in fonts.by_script.items()} == {
        "Hani": ["han.ttf"], "Thai": ["thai.ttf"],
    }  # fmt: skip
    runs = [(text, face.name) for text, face in fonts.runs(f"abc12{HAN}，12{THAI}x")]
    assert runs == [
        ("abc12", "DejaVuSans.ttf"), (HAN + "，12", "han.ttf"), (THAI, "thai.ttf"), ("x", "DejaVuSans.ttf"),
    ]  # fmt: skip
    assert fonts.settings()["fonts"] == "DejaVuSans.ttf, han.ttf (Han), thai.ttf (Thai)"


def test_the_font_with_most_letters_then_noto_sans_then_by_name(make: Make) -> None:
    make("z.ttf", "Noto Sans Thai", THAI)
    make("b.ttf", "Thai B", THAI)
    make("a.ttf", "Thai A", THAI)
    make("serif.ttf", "Noto Serif Thai", THAI)
    assert Fonts(THAI).faces[1].name == "z.ttf"
    make("more.ttf", "Thai C", THAI + "ก")
    assert Fonts(THAI).faces[1].name == "z.ttf"
    assert [face.name for face in Fonts(THAI + "ก").faces[1:]] == ["more.ttf"]


def test_what_one_font_lacks_another_draws(make: Make) -> None:
    make("most.ttf", "Noto Sans Thai", THAI)
    make("rest.ttf", "Other", "กข")
    make("useless.ttf", "Third", "ก")
    fonts = Fonts(THAI + "กข")
    assert [face.name for face in fonts.by_script["Thai"]] == ["most.ttf", "rest.ttf"]
    assert [(text, face.name) for text, face in fonts.runs("ส" + "กข" + "ส")] == [
        ("ส", "most.ttf"), ("กข", "rest.ttf"), ("ส", "most.ttf"),
    ]  # fmt: skip
    assert fonts.missing(THAI + "กขฃ") == 1


@pytest.mark.parametrize(
    ("file", "family", "options"),
    [("bold.ttf", "Noto Sans Thai", {"weight": 700}), ("italic.ttf", "Noto Sans Thai", {"style": 1}),
     ("last.ttf", "Last Resort High-Efficiency", {}), ("blank.ttf", "Adobe Blank", {})],
)  # fmt: skip
def test_fonts_that_are_not_for_reading_are_passed_over(make: Make, file: str, family: str, options: dict) -> None:
    make(file, family, THAI, **options)
    assert len(Fonts(THAI).faces) == 1


def test_what_is_no_font_is_passed_over(make: Make) -> None:
    make("broken.ttf", "Noto Sans", THAI).write_bytes(b"no font at all")
    make("thai.ttf", "Noto Sans Thai", THAI)
    assert Fonts(THAI).faces[1].name == "thai.ttf"


def test_a_collections_face_is_chosen_by_country(make: Make) -> None:
    regions = ["Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans CJK SC"]
    make("cjk.ttc", regions, HAN + "かな한글")
    assert [face.name for face in Fonts(HAN).faces[1:]] == ["cjk.ttc#2"]
    assert [face.name for face in Fonts(HAN + "かな").faces[1:]] == ["cjk.ttc"]
    assert [face.name for face in Fonts(HAN + "한글").faces[1:]] == ["cjk.ttc#1"]
    assert Fonts(HAN).faces[1].glyphs() == set(map(ord, HAN + "かな한글"))


def test_what_only_steers_other_characters_is_never_missing() -> None:
    joined = "a\u200db\u200e\ufe0f\ufeff"
    fonts = Fonts(joined)
    assert len(fonts.faces) == 1
    assert fonts.missing(joined + " \n\t") == 0


def test_missing_scripts_are_named_with_their_packages(make: Make) -> None:
    make("thai.ttf", "Noto Sans Thai", THAI)
    text = THAI + HAN + ETHIOPIC + "🧠"
    message = (
        rf"no font here has the glyphs of 8 of {len(text)} characters: Han \(4, such as 你好世界\), "
        rf"Ethiopic \(3, such as ሰላም\), emoji \(1, such as 🧠\)\. .*Debian: apt install fonts-noto-cjk "
        r"fonts-noto-core fonts-symbola; .*or use a source that reads text"
    )
    with pytest.raises(AdapterError, match=message):
        Fonts(text).check(text)


def test_up_to_a_tenth_may_lack(make: Make) -> None:
    make("thai.ttf", "Noto Sans Thai", THAI)
    Fonts("a" * 9 + "你").check("a" * 9 + "你")
    with pytest.raises(AdapterError, match="2 of 19"):
        Fonts("a" * 17 + "你好").check("a" * 17 + "你好")
    Fonts("").check("")


def test_the_record_tells_fonts_of_one_name_apart(make: Make, tmp_path: Path) -> None:
    make("thai.ttf", "Noto Sans Thai", THAI)
    before = Fonts(THAI).settings()
    assert Fonts(THAI).settings() == before
    (tmp_path / "newer").mkdir()
    make("newer/thai.ttf", "Noto Sans Thai", THAI + "ก")
    after = Fonts(THAI + "ก").settings()
    assert after["fonts"] == before["fonts"] == "DejaVuSans.ttf, thai.ttf (Thai)"
    assert after["fonts_sha256"] != before["fonts_sha256"]


def test_runs_are_the_word_and_each_font_has_its_letters(make: Make) -> None:
    make("han.ttf", "Noto Sans CJK SC", HAN + "12,")
    make("thai.ttf", "Noto Sans Thai", THAI)
    fonts = Fonts(HAN + THAI)
    held = {face: face.glyphs() for face in fonts.faces}

    @given(st.text(st.sampled_from("abcé12 ,.،" + HAN + THAI + DEVANAGARI + "مر\u200d")))
    def check(word: str) -> None:
        runs = fonts.runs(word)
        assert "".join(text for text, _ in runs) == word
        assert all(first[1] != second[1] for first, second in pairwise(runs))
        for text, face in runs:
            shown = [c for c in text if ord(c) in fonts.glyphs and not invisible(c)]
            assert all(ord(c) in held[face] for c in shown)
        assert fonts.missing(word) == sum(script_of(c) == "Deva" for c in word)

    check()
