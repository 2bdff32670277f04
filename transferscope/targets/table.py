"""``csv:``, ``tsv:`` and ``jsonl:``: a table with a column of texts, or of paths to pictures or sounds.

Only the columns that are asked for are kept. Texts stay in memory; pictures and sounds are read when needed.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import CorruptSampleError, TargetError, UnknownNameError
from ..registry import Spec
from ..tasks import TASKS, Task
from .arrays import digest_of
from .audiofolder import read_sound
from .folder import FileSamples, printable
from .imagefolder import read_image
from .target import TARGETS, Modality, Samples, Target, make_target

_READERS: dict[str, Callable[[str], Any]] = {"image": read_image, "audio": read_sound}
_FIELD_LIMIT = 2**30  # characters of one CSV field; the standard module's 131,072 is less than a long document
Record = tuple[int, Sequence[Any]]  # line of the file where it starts, and the asked-for values


@dataclass(frozen=True)
class TableTexts:
    """Texts with the lines they came from."""

    path: str
    texts: Sequence[str]
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, row: int, /) -> str:
        try:
            self.texts[row].encode()
        except UnicodeEncodeError:  # JSON can spell these as \ud83d, and no tokenizer takes them
            raise CorruptSampleError(self.describe(row), "it holds half a surrogate pair, which is no text") from None
        return self.texts[row]

    def digest(self, row: int) -> bytes:
        """SHA-256 of the text."""
        return digest_of(self.texts[row])

    def describe(self, row: int) -> str:
        """File and line."""
        return f"{printable(self.path)}, line {self.lines[row]}"


def load_table(spec: Spec) -> Target:
    """Load ``csv:FILE?text=COLUMN&label=COLUMN[&group=COLUMN]``, and ``tsv:`` and ``jsonl:`` likewise.

    ``image=COLUMN`` or ``audio=COLUMN`` in place of ``text=`` names a column of file paths, relative to the
    table's folder. CSV is comma-separated with double quotes (RFC 4180), TSV has no quotes, both with a header
    line; JSON Lines holds one object a line, whose labels keep their type. All are UTF-8.

    With ``task=regression`` the label is a number, or several: ``label=height,weight``. With ``task=multilabel`` it is
    a list of names, in JSON Lines an array, else a cell such as ``cat; dog`` (``sep=`` names another separator) that
    may be empty; or ``label=`` lists columns of 0 and 1.

    Raises
    ------
    UnknownNameError
        If there is no such column.
    TargetError
        If options are missing, the file cannot be opened or parsed, a cell is empty, or a file named in it
        does not exist; messages give line numbers.
    """
    options = spec.only(text=str, image=str, audio=str, label=str, group=str, task=_task, sep=str)
    modality = _modality(spec, options)
    task: Task = options.get("task", "classification")  # type: ignore[assignment]
    label = str(options["label"])
    told = [label] if task == "classification" else label.split(",")
    listed = task == "multilabel" and len(told) == 1  # and then may be empty
    if "sep" in options and not (listed and options["sep"]):
        raise TargetError(
            f"{spec.text}: sep={options['sep']!r}; expected what stands between names in the one column of "
            "task=multilabel, such as sep=|. Leave it out elsewhere."
        )
    names = [str(options[modality]), *told, *([str(options["group"])] if "group" in options else [])]
    path = os.path.expanduser(spec.location)
    lines: list[int] = []
    columns: list[list[Any]] = [[] for _ in names]
    try:
        for line, values in _FORMATS[spec.scheme](path, names):
            lines.append(line)
            for column, value in zip(columns, values, strict=True):
                column.append(value)
    except OSError as error:
        raise TargetError(f"{printable(path)}: cannot be read ({error.strerror}); expected a table file.") from None
    except UnicodeDecodeError:
        raise TargetError(
            f"{printable(path)}: line {_line_not_utf8(path)} is not UTF-8; save the file as UTF-8."
        ) from None
    for name, column in zip(names, columns, strict=True):
        if listed and name == label:
            continue
        empty = [line for line, value in zip(lines, column, strict=True) if value is None or not str(value).strip()]
        _refuse(path, empty, f"column {name!r} is empty", "Fill them in or drop the rows.")
    samples = _samples(path, modality, names[0], columns[0], lines)
    groups = columns[-1] if "group" in options else None
    if task == "classification":
        return make_target(spec.text, modality, samples, columns[1], groups)
    if listed:
        nested = [line for line, value in zip(lines, columns[1], strict=True) if _is_nested(value)]
        _refuse(path, nested, f"column {label!r} holds more than names", "Write an array of names.")
        labels = [_names_in(value, str(options.get("sep", ";"))) for value in columns[1]]
        return make_target(spec.text, modality, samples, labels, groups, task=task)
    wanted = "0 or 1" if task == "multilabel" else "a number such as 1.5"
    numbers = [_numbers(path, name, column, lines, wanted) for name, column in zip(told, columns[1:], strict=False)]
    table = list(zip(*numbers, strict=True))
    return make_target(spec.text, modality, samples, table, groups, task=task, columns=told)


def _task(text: str) -> Task:
    if text not in TASKS:
        raise ValueError(f"expected one of {', '.join(TASKS)}")
    return text


def _names_in(value: Any, separator: str) -> list[str]:
    """The labels in one cell or JSON array; a name twice is one label."""
    if value is None:
        return []
    names = value if isinstance(value, list) else str(value).split(separator)
    return list(dict.fromkeys(str(name).strip() for name in names if str(name).strip()))


def _is_nested(value: Any) -> bool:
    names = value if isinstance(value, list) else []
    return isinstance(value, dict) or any(isinstance(name, list | dict) for name in names)


def _numbers(path: str, name: str, values: list[Any], lines: list[int], wanted: str) -> list[float]:
    found, wrong = [], []
    for line, value in zip(lines, values, strict=True):
        try:
            found.append(float(value))
        except (TypeError, ValueError):
            wrong.append(line)
    _refuse(path, wrong, f"column {name!r} is no number", f"Write {wanted}, or drop the rows.")
    return found


def _line_not_utf8(path: str) -> int:
    """The first such line; the decoder, which reads ahead in large pieces, does not know it."""
    with open(path, "rb") as stream:
        lines = stream.read().split(b"\n")
    return next(number for number, line in enumerate(lines, start=1) if not _is_utf8(line))


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _modality(spec: Spec, options: dict[str, object]) -> Modality:
    """The one content column there must be."""
    kinds: tuple[Modality, ...] = ("text", "image", "audio")
    named = [kind for kind in kinds if options.get(kind)]
    if len(named) != 1 or not options.get("label"):
        raise TargetError(
            f"{spec.text}: expected label=COLUMN and exactly one of text=COLUMN, image=COLUMN and audio=COLUMN, such "
            f"as {spec.scheme}:{spec.location}?text=review&label=stars."
        )
    return named[0]


def _samples(path: str, modality: Modality, name: str, values: list[Any], lines: list[int]) -> Samples:
    other = [line for line, value in zip(lines, values, strict=True) if not isinstance(value, str)]
    _refuse(path, other, f"column {name!r} is no string", "Write it in quotes.")
    if modality == "text":
        return TableTexts(path, values, lines)
    folder = os.path.dirname(path)
    files = [os.path.join(folder, value) for value in values]
    absent = [line for line, file in zip(lines, files, strict=True) if not os.path.isfile(file)]
    example = printable(files[lines.index(absent[0])]) if absent else ""
    _refuse(path, absent, f"column {name!r} names no file", f"The first is {example}.")
    return FileSamples(files, _READERS[modality])


def _refuse(path: str, lines: list[int], what: str, remedy: str) -> None:
    if lines:
        listed = ", ".join(map(str, lines[:5])) + (" ..." if len(lines) > 5 else "")
        raise TargetError(f"{printable(path)}: {what} in {len(lines)} row(s) (line {listed}). {remedy}")


def _csv_records(path: str, names: list[str]) -> Iterator[Record]:
    """Rows of a comma-separated file."""
    return _separated(path, names, {"strict": True})


def _tsv_records(path: str, names: list[str]) -> Iterator[Record]:
    """Rows of a tab-separated file (text/tab-separated-values has no quotes)."""
    return _separated(path, names, {"delimiter": "\t", "quoting": csv.QUOTE_NONE})


def _separated(path: str, names: list[str], dialect: dict[str, Any]) -> Iterator[Record]:
    """Rows below a header line, which decides how many fields each must have; empty lines are passed over."""
    before = csv.field_size_limit(_FIELD_LIMIT)
    with open(path, encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, **dialect)
        try:
            header = next(reader, None)
            if header is None:
                raise TargetError(f"{printable(path)}: the file is empty; expected a header line and rows.")
            at = [_position(path, header, name) for name in names]
            start = reader.line_num + 1
            for row in reader:
                if row and len(row) != len(header):
                    raise TargetError(
                        f"{printable(path)}: line {start} has {len(row)} fields, the header has {len(header)}; "
                        "quote fields that hold the separator."
                    )
                if row:
                    yield start, [row[position] for position in at]
                start = reader.line_num + 1
        except csv.Error as error:
            raise TargetError(f"{printable(path)}: line {reader.line_num} cannot be parsed ({error}).") from None
        finally:
            csv.field_size_limit(before)


def _position(path: str, header: list[str], name: str) -> int:
    if name not in header:
        raise UnknownNameError(f"column of {printable(path)}", name, header)
    if header.count(name) > 1:
        raise TargetError(f"{printable(path)}: {header.count(name)} columns are named {name!r}; rename all but one.")
    return header.index(name)


def _json_records(path: str, names: list[str]) -> Iterator[Record]:
    """Objects of a JSON Lines file; a key that a later line lacks is an empty cell."""
    with open(path, encoding="utf-8-sig") as stream:
        first = True
        for line, text in enumerate(stream, start=1):
            if not text.strip():
                continue
            try:
                record = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise TargetError(f"{printable(path)}: line {line} is not JSON ({error}).") from None
            if not isinstance(record, dict):
                raise TargetError(
                    f"{printable(path)}: line {line} holds a {type(record).__name__}; expected one JSON object a line."
                )
            for name in names if first else ():
                if name not in record:
                    raise UnknownNameError(f"column of {printable(path)}", name, record)
            first = False
            yield line, [record.get(name) for name in names]


_FORMATS: dict[str, Callable[[str, list[str]], Iterator[Record]]] = {
    "csv": _csv_records,
    "tsv": _tsv_records,
    "jsonl": _json_records,
}
for _scheme in _FORMATS:
    TARGETS.add(_scheme, load_table)
