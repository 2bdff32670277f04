"""A few training samples as they are, and as the sources are given them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..examples import Example, Look, Picture, Piece, Seen
from ..results import Ranking
from .formats import clean, listed, noun, percent, shorten

SIDE = 160  # CSS pixels of the long side of a picture that is enlarged, so that all can be compared
TINY = 100  # pixels: smaller ones keep their pixels' edges when they are enlarged
HEIGHT = 50  # of an outline's drawing, from its middle
WORDS = {  # of the mismatch ledger, for one sample
    "band hz lost": "of the frequency band lost",
    "characters dropped": "of the letters left out",
    "characters without glyph": "of the letters drawn as empty boxes",
    "pixels cropped": "of the picture cropped away",
    "pixels dropped": "of the pixels finer than what is seen",
    "seconds dropped": "of the time cut off",
    "tokens dropped": "of the tokens cut off",
    "tokens unknown": "of the tokens unknown to the tokenizer",
}
UNTOLD = ("band lost", "truncated")  # the share of what was lost stands beside it
UNDERSTOOD = {
    "tokens": "Each box is a token: a dashed one with a question mark is unknown to the tokenizer, a struck-through "
    "one is cut off, a slanted one is the source's own mark.",
    "sounds": "The outline of a sound is drawn against its own loudest point; in spectrograms time runs to the right "
    "and low frequencies are at the bottom.",
}


@dataclass(frozen=True)
class Figure:
    """One sample to look at, ready for the template."""

    title: str
    caption: str
    alt: str
    picture: Picture | None
    size: tuple[int, int]  # of the picture, in CSS pixels
    is_tiny: bool
    outline: str  # path data
    pieces: tuple[Piece, ...]
    is_text: bool  # as it is, not in tokens


@dataclass(frozen=True, eq=False)  # two targets may share a sample, and the room for it is counted for each
class Sample:
    """One sample, as it is and as each source is given it."""

    title: str
    figures: tuple[Figure, ...]


def samples(ranking: Ranking) -> tuple[Sample, ...]:
    """The examples that a ranking kept."""
    kept = ranking.examples
    return tuple(_sample(ranking, one, k) for k, one in enumerate(kept.examples)) if kept else ()


def sample_notes(ranking: Ranking) -> list[str]:
    """How to read them, and what could not be shown."""
    if not (kept := ranking.examples):
        return []
    looks = [look for seen in kept.seen for look in seen.looks]
    found = [UNDERSTOOD["tokens"]] if any(look.pieces for look in looks) else []
    if ranking.target.modality == "audio" or any(look.outline for look in looks):
        found.append(UNDERSTOOD["sounds"])
    found += [f"Not shown for {_named(seen)}: {shorten(seen.reason, 300)}" for seen in kept.seen if seen.reason]
    if kept.n_more:
        found.append(f"{noun(kept.n_more, 'more source')} of the ranking get yet other inputs, which are not kept.")
    return found


def _sample(ranking: Ranking, example: Example, place: int) -> Sample:
    title = f"Sample {example.row}, {shorten(example.label, 60)}"
    return Sample(title, tuple(_figures(ranking, example, place, title)))


def _figures(ranking: Ranking, example: Example, place: int, title: str) -> Iterator[Figure]:
    yield _figure(example.look, "As it is", f"{title}, as it is", is_text=True)
    for seen in ranking.examples.seen if ranking.examples else ():
        if place < len(seen.looks):
            yield _figure(seen.looks[place], _named(seen), f"{title}, as given to {_named(seen)}")


def _figure(look: Look, title: str, alt: str, *, is_text: bool = False) -> Figure:
    caption = "; ".join([clean(look.size), *_lost(look)])
    width, height = (look.picture.width, look.picture.height) if look.picture else (1, 1)
    zoom = max(1.0, SIDE / max(width, height, 1))
    size = max(1, round(zoom * width)), max(1, round(zoom * height))
    outline = "".join(f"M{x} {HEIGHT - peak / 2:g}v{peak or 1}" for x, peak in enumerate(look.outline))
    pieces = tuple(Piece(clean(piece.text), piece.state) for piece in look.pieces)
    return Figure(
        title, caption, f"{alt}: {caption}", look.picture, size, max(width, height) < TINY, outline, pieces, is_text
    )


def _lost(look: Look) -> Iterator[str]:
    """Shares first, then what was done or not."""
    for name, share in look.lost:
        if share is not None:
            yield f"{percent(share)} {WORDS[name]}" if name in WORDS else f"{clean(name)}: {percent(share)}"
    yield from (clean(name) for name, share in look.lost if share is None and name not in UNTOLD)


def _named(seen: Seen) -> str:
    return listed([shorten(source, 50) for source in seen.sources], most=3)
