"""How tables and sentences look in a terminal."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from .formats import clean

WIDTH = 100


def print_parts(*parts: RenderableType) -> None:
    """Print below each other, no wider than `WIDTH`; a log or a pipe gets the full width."""
    console = Console(highlight=False)
    console = Console(highlight=False, width=min(WIDTH, console.width) if console.is_terminal else WIDTH)
    for part in parts:
        console.print(part)


def print_file(said: str, path: Path) -> None:
    """A path, which terminals that know how open with a click."""
    link = Text(clean(str(path)), style=Style(link=path.resolve().as_uri()))
    Console(highlight=False).print(Text.assemble(said, link), soft_wrap=True)


def new_table(title: str | None) -> Table:
    return Table(
        title=title and Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )


def plain(text: str) -> Text:
    """Text as it is: names may hold what rich reads as markup, or what a terminal obeys."""
    return Text(clean(text))
