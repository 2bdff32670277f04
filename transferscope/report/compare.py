"""What changed between two rankings of one target: sources, places, scores beyond noise, the best set, checks.

``transferscope report --schema --compare`` prints the schema of its JSON; `changes.schema.json` beside this file is a
copy of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import ResultError
from ..results import Candidate, Ranking, Score
from ..stamp import version_differences
from .drawn import plain, print_parts
from .formats import clean, listed, number, score_text, shorten
from .markdown import escaped, table_text
from .publish import format_of, write
from .tables import NAME, Column, Row, Table, ranks
from .trust import best_set, chance
from .verdict import Outcome
from .verdict import compare as beside

NAME_WIDTH = 60  # characters
FORMATS = ("html", "md", "json")
BEYOND: dict[Outcome, bool | None] = {"above": True, "below": True, "tied": False, "unknown": None}


@dataclass(frozen=True)
class Move:
    """One source in both rankings; its scores are at its best layer of each."""

    source: str
    old_place: int | None
    new_place: int | None
    old_layer: str
    new_layer: str
    old: Score | None
    new: Score | None
    beyond_noise: bool | None  # None: the noise of one of them is not known, or another scorer ranks


@dataclass(frozen=True)
class Changes:
    """Two rankings of one target, beside each other."""

    target: str
    headline: str
    sentences: tuple[str, ...]
    came: tuple[str, ...]
    went: tuple[str, ...]
    moves: tuple[Move, ...]  # in the new order
    kind: Literal["changes"] = "changes"
    version: Literal[1] = 1  # it grows when a field changes its meaning or goes

    def write(self, out: str | Path, format: str | None = None) -> Path:
        """Write as HTML, Markdown or JSON: `format`, or what the name of `out` ends with."""
        made = format or format_of(out)
        if made not in FORMATS:
            raise ResultError(f"a comparison is written as {', '.join(FORMATS)}; found format '{made}'.")
        return write(_text(self, made), out)


def compare(old: Ranking, new: Ranking) -> Changes:
    """What `new` says otherwise than `old`.

    Raises
    ------
    ResultError
        If they are of different targets.
    """
    if old.target.name != new.target.name and old.target.content_sha256 != new.target.content_sha256:
        raise ResultError(
            f"{old.target.name} and {new.target.name} are different targets; compare two rankings of one target."
        )
    before, after = _sources(old), _sources(new)
    came, went = tuple(s for s in after if s not in before), tuple(s for s in before if s not in after)
    places = ranks(old), ranks(new)
    same_scorer = old.rank_by == new.rank_by
    moves = []
    for source in (source for source in after if source in before):
        one, two = before[source], after[source]
        scores = one.scores.get(old.rank_by), two.scores.get(new.rank_by)
        beyond = BEYOND[beside(*scores)] if same_scorer else None
        moves.append(Move(source, places[0].get(source), places[1].get(source), one.layer, two.layer, *scores, beyond))
    said = (*_data(old, new), *_gone(came, went), *_moved(moves), *_best(old, new), *_checks(old, new))
    sentences = tuple(clean(text) for text in said)
    return Changes(new.target.name, clean(_headline(old, new)), sentences, came, went, tuple(moves))


def schema_text() -> str:
    """The schema of the JSON of `Changes`."""
    from .document import published

    return published(Changes, "urn:transferscope:changes:1")


def changes_table(found: Changes) -> Table:
    """Every source of both rankings."""
    columns = [
        NAME,
        Column("Place", "before", numeric=True),
        Column("Place", "now", numeric=True),
        Column("Score", "before", numeric=True),
        Column("Score", "now", numeric=True),
        Column("Changed", "beyond noise"),
        Column("Layer", "before", is_name=True),
        Column("Layer", "now", is_name=True),
    ]
    words = {True: "yes", False: "no", None: "not known"}
    rows = [
        Row(
            (clean(m.source), _place(m.old_place), _place(m.new_place), score_text(m.old), score_text(m.new),
             words[m.beyond_noise], clean(m.old_layer), clean(m.new_layer)),
        )
        for m in found.moves
    ]  # fmt: skip
    return Table("Sources of both rankings, in the new order", tuple(columns), (("", tuple(rows)),), is_sortable=True)


def print_changes(found: Changes) -> None:
    """Print the headline and what changed."""
    print_parts(plain(found.headline), *(plain(f"- {text}") for text in found.sentences))


def _text(found: Changes, made: str) -> str:
    if made == "json":
        from pydantic import TypeAdapter

        return TypeAdapter(Changes).dump_json(found, indent=1).decode() + "\n"
    table = changes_table(found)
    if made == "md":
        said = "\n".join(f"- {escaped(text)}" for text in found.sentences)
        titles = [column.title for column in table.columns]
        tables = [table_text(table, titles, len(found.moves))] if found.moves else []
        parts = [f"# What changed: {escaped(found.target)}", f"**{escaped(found.headline)}**", said, *tables]
        return "\n\n".join(part for part in parts if part) + "\n"
    from .html import environment

    return environment().get_template("compare.html").render(found=found, table_of=table if found.moves else None)


def _sources(ranking: Ranking) -> dict[str, Candidate]:
    return {c.source: c for c in ranking.best() if not c.control}


def _first(ranking: Ranking) -> str:
    return next((c.source for c in ranking.best() if not c.control and not c.dropped), "nothing")


def _headline(old: Ranking, new: Ranking) -> str:
    first, now = _short(_first(old)), _short(_first(new))
    return f"{now} is first, as before." if first == now else f"{now} is first now; it was {first}."


def _data(old: Ranking, new: Ranking) -> list[str]:
    """What makes the two hard to compare."""
    said = []
    if old.target.content_sha256 != new.target.content_sha256:
        said.append(f"The target's data changed ({old.target.n_samples} to {new.target.n_samples} samples).")
    elif old.split.sha256 != new.split.sha256:
        said.append("The split changed, so scores differ by their samples alone, too.")
    if old.rank_by != new.rank_by:
        said.append(f"Scores are not compared: {old.rank_by} ranked, now {new.rank_by} does.")
    if differ := version_differences([old.stamp.versions, new.stamp.versions]):
        said.append(f"The two were made by {differ}.")
    return said


def _gone(came: tuple[str, ...], went: tuple[str, ...]) -> list[str]:
    pairs = (("New", came), ("Gone", went))
    return [f"{word}: {listed([_short(source) for source in sources])}." for word, sources in pairs if sources]


def _moved(moves: list[Move]) -> list[str]:
    """Places, then scores that changed beyond noise, the largest change first."""
    placed = [m for m in moves if m.old_place != m.new_place]
    said = []
    if placed:
        told = [f"{_short(m.source)} {_place(m.old_place)} to {_place(m.new_place)}" for m in placed]
        said.append(f"Places: {listed(told)}.")
    else:
        said.append("No source in both changed its place.")
    changed = [m for m in moves if m.beyond_noise]
    if changed:
        changed.sort(key=lambda m: (-abs(_gain(m)), m.source))
        told = [f"{_short(m.source)} {'+' if _gain(m) > 0 else ''}{number(_gain(m))}" for m in changed]
        said.append(f"Scores beyond noise: {listed(told)}.")
    elif any(m.beyond_noise is False for m in moves):
        said.append("No score changed beyond noise.")
    return said


def _best(old: Ranking, new: Ranking) -> list[str]:
    before, after = ([s.source for s in best_set(ranking)] for ranking in (old, new))
    if not before or not after:
        return []
    named = listed([f"{_short(s.source)} ({chance(s.p_best)})" for s in best_set(new)])
    if set(before) == set(after):
        return [f"The best set is the same: {named}."]
    return [f"The best set was {listed([_short(source) for source in before])}; it is {named}."]


def _checks(old: Ranking, new: Ranking) -> list[str]:
    """What a reader is warned of now, and no longer."""
    before, after = ({check.name: check for check in ranking.checks} for ranking in (old, new))
    said = [f"New {c.level}: {c.text}" for name, c in after.items() if name not in before]
    return said + [f"No longer: {name} ({c.level})." for name, c in before.items() if name not in after]


def _gain(move: Move) -> float:
    if move.old is None or move.new is None or move.old.value is None or move.new.value is None:
        return 0.0
    return move.new.value - move.old.value


def _place(place: int | None) -> str:
    return "–" if place is None else str(place)


def _short(source: str) -> str:
    return shorten(source, NAME_WIDTH)
