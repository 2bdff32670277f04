"""A few training samples as they are and as sources are given them: frozen records of `Ranking`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["known", "unknown", "special", "cut", "more"]  # cut: the source never gets it; more: a count of others


@dataclass(frozen=True)
class Picture:
    """A small file that browsers show."""

    data: str  # base64
    width: int  # pixels, of this file
    height: int
    format: Literal["png", "webp"]


@dataclass(frozen=True)
class Piece:
    """A text or one token of it."""

    text: str
    state: State = "known"


@dataclass(frozen=True)
class Look:
    """One sample to look at: a picture, the outline of a sound, or pieces of text."""

    size: str  # in words: "224 × 224 pixels"
    picture: Picture | None = None
    outline: tuple[int, ...] = ()  # size of a sound over time, in percent of its own loudest point
    pieces: tuple[Piece, ...] = ()
    lost: tuple[tuple[str, float | None], ...] = ()  # on the way: "pixels cropped", 0.25; of what has no share: None


@dataclass(frozen=True)
class Example:
    """One training sample as it is."""

    row: int  # of the target
    label: str  # what is to be learned of it, in words: "class cat"
    look: Look


@dataclass(frozen=True)
class Seen:
    """The examples as some sources are given them."""

    sources: tuple[str, ...]  # whose input looks the same
    looks: tuple[Look, ...] = ()  # one per example, in their order
    reason: str | None = None  # why there are none


@dataclass(frozen=True)
class Examples:
    """What a person looks at to see what each way to convert loses."""

    examples: tuple[Example, ...]
    seen: tuple[Seen, ...]  # in the order of the ranking
    n_more: int = 0  # sources whose input differs from all these, and is not kept
