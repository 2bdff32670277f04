"""Fonts of this machine, chosen by script, so that a text of any script is drawn with one that has its letters."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from ..errors import AdapterError

MISSING_ALLOWED = 0.1  # share of the probe's characters without a glyph
COMMON = ("Zyyy", "Zinh")  # digits, signs and combining marks: of whatever script stands beside them
BLANK = ("Adobe Blank", "Last Resort")  # have every character, and draw nothing or the same for all
# Han letters differ by country; what else the texts hold tells which
HAN_OF = {"Hira": "JP", "Kana": "JP", "Hang": "KR", "Bopo": "TC"}
NOTO = "fonts-noto-core"  # Debian's package of nearly every script
PACKAGES = dict.fromkeys(["Hani", "Hang", "Hira", "Kana", "Bopo"], "fonts-noto-cjk") | {"emoji": "fonts-symbola"}


@dataclass(frozen=True)
class Face:
    """One font: a file, or one of those in a collection."""

    path: Path
    index: int = 0

    @property
    def name(self) -> str:
        """The file's name, and the place in it."""
        return f"{self.path.name}#{self.index}" if self.index else self.path.name

    @property
    def sha256(self) -> str:
        """Of the file's content, the first 16 digits."""
        return _sha256(self.path)

    def glyphs(self) -> frozenset[int]:
        """Code points that it can draw."""
        from fontTools.ttLib import TTFont

        with TTFont(self.path, fontNumber=self.index, lazy=True) as font:
            return frozenset(font.getBestCmap() or ())


class Fonts:
    """DejaVu Sans as matplotlib ships it, and for each script of which it lacks letters the fonts that have most.

    Parameters
    ----------
    letters : iterable of str
        All characters that must be drawn; spaces are passed over.

    Attributes
    ----------
    faces : tuple of Face
        All that are used, DejaVu Sans first.
    by_script : mapping of str to tuple of Face
        By ISO 15924 code, in the order in which they are tried before all of `faces`.
    """

    def __init__(self, letters: Iterable[str]) -> None:
        shipped = _shipped()
        held = _held(shipped)
        groups: dict[str, set[int]] = defaultdict(set)
        for letter in set(letters):
            if not letter.isspace() and not invisible(letter):
                groups[script_of(letter)].add(ord(letter))
        region = next((HAN_OF[script] for script in sorted(groups) if script in HAN_OF), "SC")
        chosen: dict[str, tuple[Face, ...]] = {}
        used: list[Face] = [shipped]
        for script in sorted(groups, key=lambda script: (script in COMMON, script)):
            # what belongs to no script comes last and is looked for in all fonts that are used anyway
            left = groups[script] - (frozenset().union(*map(_held, used)) if script in COMMON else held)
            if left:
                whole = left if script in COMMON else groups[script]
                chosen[script] = tuple(_cover(frozenset(whole), region))
                used += [face for face in chosen[script] if face not in used]
        self.by_script: Mapping[str, tuple[Face, ...]] = {s: c for s, c in chosen.items() if c and s not in COMMON}
        self.faces = tuple(used)
        self._of: dict[str, Face | None] = {}

    @cached_property
    def glyphs(self) -> frozenset[int]:
        """Code points that one of the fonts can draw."""
        return frozenset().union(*map(_held, self.faces))

    def missing(self, text: str) -> int:
        """How many characters of `text` no font can draw."""
        lacking = {c for c in set(text) if ord(c) not in self.glyphs and not c.isspace() and not invisible(c)}
        return sum(map(lacking.__contains__, text)) if lacking else 0

    def runs(self, word: str) -> list[tuple[str, Face]]:
        """`word` cut where the font changes; a sign stays with the letters before it if their font has it."""
        if len(self.faces) == 1:
            return [(word, self.faces[0])]
        runs: list[tuple[str, Face]] = []
        for letter in word:
            last = runs[-1][1] if runs else None
            stays = last and (invisible(letter) or (script_of(letter) in COMMON and ord(letter) in _held(last)))
            face = last if stays else self._face(letter) or last or self.faces[0]
            if face == last:
                runs[-1] = (runs[-1][0] + letter, runs[-1][1])
            else:
                runs.append((letter, face or self.faces[0]))
        return runs

    def settings(self) -> dict[str, str]:
        """Which fonts draw which scripts, and their content."""
        scripts = {face: [name_of(s) for s, chain in self.by_script.items() if face in chain] for face in self.faces}
        names = [f"{face.name} ({', '.join(of)})" if of else face.name for face, of in scripts.items()]
        return {"fonts": ", ".join(names), "fonts_sha256": ", ".join(face.sha256 for face in self.faces)}

    def check(self, letters: str) -> None:
        """Refuse texts of which more than a tenth of the characters cannot be drawn.

        Raises
        ------
        AdapterError
            With each script, its characters and the package that has a font of it.
        """
        if self.missing(letters) <= MISSING_ALLOWED * len(letters):
            return
        of_script: dict[str, list[str]] = defaultdict(list)
        for letter in filter(self.missing, letters):
            of_script["emoji" if 0x1F000 <= ord(letter) < 0x1FB00 else script_of(letter)].append(letter)
        lacking = sorted(of_script.items(), key=lambda item: (-len(item[1]), item[0]))
        parts = [f"{name_of(s)} ({len(found)}, such as {''.join(dict.fromkeys(found))[:10]})" for s, found in lacking]
        packages = dict.fromkeys(PACKAGES.get(script, NOTO) for script, _ in lacking)
        raise AdapterError(
            f"text->image: no font here has the glyphs of {self.missing(letters)} of {len(letters)} characters: "
            f"{', '.join(parts)}. Install fonts of their script (Debian: apt install {' '.join(packages)}; elsewhere "
            "Noto has one for each), or use a source that reads text."
        )

    def _face(self, letter: str) -> Face | None:
        """The first font that has `letter`, those of its script before the others."""
        if letter not in self._of:
            chain = (*self.by_script.get(script_of(letter), ()), *self.faces)
            self._of[letter] = next((face for face in chain if ord(letter) in _held(face)), None)
        return self._of[letter]


@lru_cache(maxsize=65_536)
def script_of(letter: str) -> str:
    """ISO 15924 code of a character's script."""
    from fontTools.unicodedata import script

    return str(script(letter))


def name_of(script: str) -> str:
    """A script's English name."""
    from fontTools.unicodedata import script_name

    return "signs" if script in COMMON else str(script_name(script, default=script)).replace("_", " ")


def invisible(letter: str) -> bool:
    """Whether a character only steers others: joiners, marks of direction, variants of the one before."""
    return unicodedata.category(letter) in ("Cf", "Cc") or 0xFE00 <= ord(letter) <= 0xFE0F


def _cover(letters: frozenset[int], region: str) -> Iterator[Face]:
    """Fonts that together have as many of `letters` as this machine can draw, the one with most first."""
    families = {face: family for path in _system_fonts() for face, family in _regular(path).items()}
    families[_shipped()] = "DejaVu Sans"
    while letters:
        most = max(len(_letters_of(face, letters)) for face in families)
        if not most:
            return
        equal = [face for face in families if len(_letters_of(face, letters)) == most]
        best = min(equal, key=lambda face: _preference(families[face], face, region))
        yield best
        letters -= _letters_of(best, letters)


def _preference(family: str, face: Face, region: str) -> tuple[object, ...]:
    """An order that is the same on every machine with the same fonts: what comes first is preferred."""
    kinds = (face == _shipped(), family.startswith("Noto Sans"), family.startswith("Noto"))
    elsewhere = "CJK" in family and not family.endswith(region)
    return *(not kind for kind in kinds), "Mono" in family, elsewhere, family, face.name, str(face.path)


def _system_fonts() -> list[Path]:
    """Files, found anew so that a font just installed is seen; matplotlib's own list is of when it was first used."""
    from matplotlib.font_manager import findSystemFonts

    return sorted(map(Path, findSystemFonts()))


@lru_cache(maxsize=4096)
def _regular(path: Path) -> Mapping[Face, str]:
    """The face and family of each upright regular font of outlines in a file; a file that is none has none."""
    from fontTools.ttLib import TTFont, TTLibError

    with path.open("rb") as file:
        head = file.read(12)
    count = int.from_bytes(head[8:12], "big") if head.startswith(b"ttcf") else 1  # how many a collection holds
    found = {}
    for index in range(count):
        try:
            font = TTFont(path, fontNumber=index, lazy=True)
        except TTLibError:  # damaged, or a format of its own: not a font for this purpose
            continue
        with font:
            if not {"glyf", "CFF ", "CFF2"} & set(font.keys()) or not {"OS/2", "name", "cmap"} <= set(font.keys()):
                continue
            family, style = font["name"].getBestFamilyName() or path.stem, font["OS/2"]
            upright = style.usWeightClass == 400 and style.usWidthClass == 5 and not style.fsSelection & 1
            if upright and not family.startswith(BLANK):
                found[Face(path, index)] = family
    return found


@lru_cache(maxsize=4096)
def _letters_of(face: Face, letters: frozenset[int]) -> frozenset[int]:
    """Those of `letters` that a font has; whole tables of every font of a machine would not fit in memory."""
    return letters & face.glyphs()


@lru_cache(maxsize=32)
def _held(face: Face) -> frozenset[int]:
    return face.glyphs()


@lru_cache(maxsize=64)
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@lru_cache(maxsize=1)
def _shipped() -> Face:
    import matplotlib

    return Face(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
