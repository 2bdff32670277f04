"""Names to things, and the grammar of specs."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from transferscope import registry
from transferscope.errors import TransferScopeError, UnknownNameError
from transferscope.registry import Registry, Spec


def parse(text: str) -> Spec:
    return Spec.parse(text, kind="source", example="timm:resnet18")


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[str]:
    """A registry over a package of two modules, each of which enters one name."""
    (tmp_path / "plugin_room").mkdir()
    (tmp_path / "plugin_room" / "__init__.py").write_text(
        "from transferscope.registry import Registry\nTHINGS = Registry('thing', 'plugin_room')\n"
    )
    for name in ("beta", "alpha"):
        (tmp_path / "plugin_room" / f"{name}.py").write_text(
            f"from plugin_room import THINGS\nTHINGS.add('{name}', '{name}!')\n"
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    import plugin_room

    return plugin_room.THINGS


def test_a_new_file_in_the_folder_is_all_it_takes(room: Registry[str], monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("gamma", "plugin_of_another:enter", "transferscope.thing")
    loaded = []
    monkeypatch.setattr(EntryPoint, "load", lambda self: loaded.append(self.name))
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == point.group else [])
    assert list(room) == ["alpha", "beta"]
    assert room.values() == ["alpha!", "beta!"]
    assert "alpha" in room
    assert "delta" not in room
    assert loaded == ["gamma"]  # other packages add theirs


def test_unknown_and_doubled_names_are_refused() -> None:
    things: Registry[str] = Registry("thing", "transferscope.report")
    things.add("logme", "one")
    with pytest.raises(UnknownNameError, match="^no thing named 'logmee'. Did you mean 'logme'\\? Known: logme.$"):
        things["logmee"]
    with pytest.raises(TransferScopeError, match="thing 'logme' is already registered by 'one'; choose another name"):
        things.add("logme", "two")
    assert things["logme"] == "one"


def test_specs() -> None:
    spec = parse("csv:data/a file.csv?text=body&label=kind&group=(\\w+)%26&empty=")
    assert (spec.scheme, spec.location) == ("csv", "data/a file.csv")
    assert spec.options == {"text": "body", "label": "kind", "group": "(\\w+)&", "empty": ""}
    assert parse("python:module:function").location == "module:function"
    assert parse("csv:a.csv?group=a+b").options["group"] == "a+b"  # a plus is a plus
    for wrong in ("resnet18", "timm:", ":resnet18", "", "timm:?size=3"):
        with pytest.raises(TransferScopeError, match=r"is not of the form SCHEME:LOCATION.*write for example timm:"):
            parse(wrong)


def test_options_go_through_their_converters() -> None:
    spec = parse("timm:resnet18?size=64")
    assert spec.only(size=int, weights=str) == {"size": 64}
    with pytest.raises(UnknownNameError, match="no option of timm: named 'size'. Did you mean 'sizes'"):
        spec.only(sizes=int, weights=str)
    with pytest.raises(TransferScopeError, match="option size='big' is not valid"):
        parse("timm:resnet18?size=big").only(size=int)
