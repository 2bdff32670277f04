"""Published tables of scores and accuracies, out of CSV files."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ResultError
from .table import Table

ACCURACY = "accuracy"
SECONDS = ("finetune_seconds", "seconds")
KEYS = ("target", "source")
LONG = ("scorer", "value")  # columns of a table with a row per score
NOT_NUMBERS = ("strategy",)


@dataclass(frozen=True)
class _Cell:
    line: int
    value: float


def read_table(path: str | Path, *, lower_is_better: Collection[str] = ()) -> Table:
    """Read a CSV file with a row per (target, source), or a row per score.

    Columns are target, source and any of: accuracy; finetune_seconds or seconds; any other name, which is a scorer. Or
    target, source, scorer, value. An empty cell is unknown.

    Parameters
    ----------
    path : str or Path
        UTF-8, comma-separated, with a header.
    lower_is_better : collection of str
        Scorers whose sign is turned, so that higher is better throughout.

    Raises
    ------
    ResultError
        If the file cannot be read, lacks a column, has text or an infinite value where a number is expected, or tells
        one (target, source) twice; lines are named.
    """
    path = Path(path)
    header, rows = _rows(path)
    for name in KEYS:
        if name not in header:
            raise ResultError(f"{path}: has the columns {', '.join(header)}; expected target and source among them.")
    cells: dict[str, dict[tuple[str, str], _Cell]] = {}
    is_long = set(LONG) <= set(header)
    for line, row in rows:
        target, source = (row[name].strip() for name in KEYS)
        if not target or not source:
            raise ResultError(f"{path}, line {line}: target {target!r} and source {source!r}; both must be named.")
        entries: Iterable[tuple[str, str]] = (
            [(row["scorer"].strip(), row["value"])]
            if is_long
            else [(name, row[name]) for name in header if name not in (*KEYS, *NOT_NUMBERS)]
        )
        for name, text in entries:
            if text.strip():
                _enter(
                    cells.setdefault(name, {}), (target, source), _Cell(line, _number(path, line, name, text)), path
                )
    if not any(cells.values()):
        raise ResultError(f"{path}: holds no number beside its targets and sources.")
    return _table(cells, lower_is_better)


def _rows(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The header and every row with its line."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            found = []
            for row in reader:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) != len(header):
                    raise ResultError(
                        f"{path}, line {reader.line_num}: {len(row)} cells under {len(header)} columns; "
                        "expected a cell for each."
                    )
                found.append((reader.line_num, dict(zip(header, row, strict=True))))
    except OSError as error:
        raise ResultError(f"{path}: cannot be read ({error.strerror}); expected a CSV file.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ResultError(f"{path}: is no CSV file in UTF-8 ({error}).") from None
    if not found:
        raise ResultError(f"{path}: is empty; expected a header with target, source and numbers, and rows below it.")
    if len(set(header)) < len(header):
        raise ResultError(f"{path}: a column is named twice: {', '.join(header)}.")
    return header, found


def _number(path: Path, line: int, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ResultError(f"{path}, line {line}: {name} is {text.strip()!r}; expected a number or an empty cell.")
    return value


def _enter(column: dict[tuple[str, str], _Cell], key: tuple[str, str], cell: _Cell, path: Path) -> None:
    if key in column:
        raise ResultError(
            f"{path}, line {cell.line}: {key[1]!r} on {key[0]!r} stands in line {column[key].line} too; keep one."
        )
    column[key] = cell


def _table(cells: Mapping[str, Mapping[tuple[str, str], _Cell]], lower_is_better: Collection[str]) -> Table:
    keys = dict.fromkeys(key for column in cells.values() for key in column)
    targets, sources = (tuple(dict.fromkeys(key[place] for key in keys)) for place in (0, 1))
    rows, columns = ({name: place for place, name in enumerate(names)} for names in (targets, sources))
    arrays = {}
    for name, column in cells.items():
        array = np.full((len(targets), len(sources)), np.nan)
        for (target, source), cell in column.items():
            array[rows[target], columns[source]] = -cell.value if name in lower_is_better else cell.value
        arrays[name] = array
    unknown = np.full((len(targets), len(sources)), np.nan)
    seconds = [arrays.pop(name) for name in SECONDS if name in arrays]
    return Table(targets, sources, arrays.pop(ACCURACY, unknown), arrays, seconds[0] if seconds else None)


def merge(scores: Table, truth: Table) -> Table:
    """One table of the scores of one and the accuracies of the other, over the targets and sources of both.

    Raises
    ------
    ResultError
        If they share no (target, source) with a score and an accuracy.
    """
    targets = tuple(name for name in scores.targets if name in truth.targets)
    sources = tuple(name for name in scores.sources if name in truth.sources)
    if not targets or not sources:
        raise ResultError(
            f"the scores are of the targets {', '.join(scores.targets[:5])} and the sources "
            f"{', '.join(scores.sources[:5])}, the accuracies of {', '.join(truth.targets[:5])} and "
            f"{', '.join(truth.sources[:5])}; names must match, letter by letter."
        )
    ours = np.ix_([scores.targets.index(n) for n in targets], [scores.sources.index(n) for n in sources])
    theirs = np.ix_([truth.targets.index(n) for n in targets], [truth.sources.index(n) for n in sources])
    return Table(
        targets,
        sources,
        truth.accuracy[theirs],
        {name: values[ours] for name, values in scores.scores.items()},
        None if truth.seconds is None else truth.seconds[theirs],
    )
