"""Ways to convert that people choose between: named, refused when unknown, and built again from their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from PIL import Image

from transferscope.adapters import CONVERTERS, Edge, find_adapter, parse_choice, variants
from transferscope.errors import UnknownNameError

Build = Callable[[str], Any]


class Ink:
    """Texts as pictures of one shade, of one or two columns."""

    def __init__(self, spec: Any, probe: Sequence[str], shade: str, layout: str) -> None:
        self.shade, self.layout = shade, layout

    def settings(self) -> Mapping[str, Any]:
        return {"shade": self.shade, "layout": self.layout}

    def __call__(self, samples: Sequence[str], edits: Counter[str]) -> list[Image.Image]:
        size = (32, 32) if self.layout == "square" else (64, 16)
        return [Image.new("L", size, 0 if self.shade == "black" else 128) for _ in samples]


@pytest.fixture(autouse=True)
def ink(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "text->image" in CONVERTERS  # the registry is walked now, and not again inside
    options = {"shade": ("black", "gray"), "layout": ("square", "strip")}
    monkeypatch.setitem(
        CONVERTERS._entries, "text->image", Edge("text->image", "text", "image", 2.0, "x", Ink, options)
    )


def test_defaults_where_nothing_is_chosen(source_of: Build, target_of: Build) -> None:
    adapter = find_adapter(target_of("text"), source_of("image"))
    assert adapter.choices == ()
    assert dict(adapter.path[0].settings) == {"shade": "black", "layout": "square"}


def test_a_choice_is_kept_by_its_name(source_of: Build, target_of: Build) -> None:
    adapter = find_adapter(target_of("text"), source_of("image"), ["text->image?layout=strip"])
    assert adapter.choices == ("text->image?layout=strip",)
    assert dict(adapter.path[0].settings) == {"shade": "black", "layout": "strip"}
    again = find_adapter(target_of("text"), source_of("image"), adapter.choices)
    assert again.path == adapter.path


def test_defaults_by_name_are_no_other_adapter(source_of: Build, target_of: Build) -> None:
    chosen = find_adapter(target_of("text"), source_of("image"), ["text->image?layout=square&shade=gray"])
    assert chosen.choices == ("text->image?shade=gray",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text->imag?layout=strip", "no converter named 'text->imag'. Did you mean 'text->image'"),
        ("text->image?lay=strip", "no option of text->image named 'lay'"),
        ("text->image?layout=strips", "no layout of text->image named 'strips'. Did you mean 'strip'"),
    ],
)
def test_what_is_unknown_is_refused(text: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message.replace("?", r"\?").replace(".", r"\.")):
        parse_choice(text)


def test_variants(source_of: Build, target_of: Build) -> None:
    target, source = target_of("text"), source_of("image")
    assert variants(target, source, []) == [()]
    assert variants(target, source, ["all"]) == [(), ("text->image?shade=gray",), ("text->image?layout=strip",)]
    both = ["text->image", "text->image?layout=strip", "text->image?shade=black"]
    assert variants(target, source, both) == [(), ("text->image?layout=strip",)]
    # converters that this pair does not need
    assert variants(target, source_of("tokens"), both) == [()]
    assert variants(target_of("image"), source, ["all"]) == [()]
