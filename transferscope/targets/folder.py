"""Files in class folders: the walk, and samples that are decoded when asked for. Pictures and sounds share it."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import TargetError
from ..registry import Spec
from .target import Modality, Target, make_target

log = logging.getLogger(__name__)
_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval"}


@dataclass(frozen=True)
class FileSamples:
    """One file a sample.

    Attributes
    ----------
    paths : sequence of str
    decode : callable
        ``decode(path)`` gives the sample or raises `CorruptSampleError`.
    """

    paths: Sequence[str]
    decode: Callable[[str], Any]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int, /) -> Any:
        return self.decode(self.paths[row])

    def digest(self, row: int) -> bytes:
        """SHA-256 of the file's bytes."""
        try:
            with open(self.paths[row], "rb") as stream:
                return hashlib.file_digest(stream, "sha256").digest()
        except OSError:  # decoding it raises CorruptSampleError, which is where it is reported
            return hashlib.sha256(b"a file that cannot be opened").digest()

    def describe(self, row: int) -> str:
        """The path."""
        return printable(self.paths[row])


def printable(path: str) -> str:
    """`path` with bytes that are no text escaped, so that it can be printed and saved as JSON."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")


def load_class_folders(
    spec: Spec, modality: Modality, suffixes: frozenset[str], decode: Callable[[str], Any]
) -> Target:
    """Load ``SCHEME:DIR[?group=REGEX]``: one class per subfolder of DIR, one sample per file below it.

    Parameters
    ----------
    spec : Spec
        The first capture group of REGEX, searched in a file's path relative to DIR (with ``/``), names its
        group; write ``%26`` for ``&``.
    modality : {"image", "audio"}
    suffixes : frozenset of str
        File-name endings to take, in lower case; other files and hidden ones are no samples.
    decode : callable
        Reads one file.

    Raises
    ------
    TargetError
        If DIR cannot be listed, holds no class folders or a class folder without samples, or a path does not
        match REGEX.
    """
    pattern = spec.only(group=_pattern).get("group")
    root = os.path.expanduser(spec.location)
    taken = ", ".join(sorted(suffixes))
    wanted = f"expected a folder with one subfolder per class, each holding {modality} files ({taken})"
    try:
        entries = sorted(os.listdir(root))
        classes = [name for name in entries if not name.startswith(".") and os.path.isdir(os.path.join(root, name))]
        above = (_identity(root),)
        files = {name: list(_files(os.path.join(root, name), above)) for name in classes}
    except OSError as error:
        raise TargetError(f"{printable(error.filename)}: cannot be listed ({error.strerror}); {wanted}.") from None
    loose = [name for name in entries if _suffix(name) in suffixes and name not in files]
    if not classes:
        found = f"holds {len(loose)} {modality} files" if loose else f"holds {len(entries)} files"
        raise TargetError(f"{printable(root)}: {found} and no subfolder; {wanted}.")
    if _SPLITS.issuperset(name.lower() for name in classes):
        raise TargetError(
            f"{printable(root)}: its subfolders ({', '.join(classes)}) are splits, not classes; name one of them, "
            f"such as {spec.scheme}:{spec.location.rstrip('/')}/{classes[-1]}. TransferScope splits it by itself."
        )
    samples = {name: [path for path in files[name] if _suffix(path) in suffixes] for name in classes}
    _refuse_empty_classes(root, files, samples, wanted)
    _tell_ignored(root, loose, files, samples)
    paths = [path for name in classes for path in samples[name]]
    labels = [name for name in classes for _ in samples[name]]
    groups = [_group_of(pattern, os.path.relpath(path, root)) for path in paths] if pattern else None
    return make_target(spec.text, modality, FileSamples(paths, decode), labels, groups)


def _files(folder: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    """Visible files at any depth, in the order of their names; links are followed, but never in a circle."""
    here = _identity(folder)
    if here in above:
        return
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.startswith("."):
            continue
        if os.path.isdir(path):
            yield from _files(path, (*above, here))
        else:
            yield path


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _refuse_empty_classes(root: str, files: dict[str, list[str]], samples: dict[str, list[str]], wanted: str) -> None:
    """A class that vanishes without a word would change the task."""
    empty = [name for name, paths in samples.items() if not paths]
    if not empty:
        return
    endings = Counter(_suffix(path) or "no ending" for name in empty for path in files[name])
    found = ", ".join(f"{count} {suffix}" for suffix, count in endings.most_common(5)) or "nothing"
    raise TargetError(
        f"{printable(root)}: {len(empty)} of {len(samples)} subfolders hold no sample: "
        f"{', '.join(map(repr, empty[:5]))} (found there: {found}); {wanted}. Convert the files or remove the folder."
    )


def _tell_ignored(root: str, loose: list[str], files: dict[str, list[str]], samples: dict[str, list[str]]) -> None:
    """Warn of files that are no samples."""
    ignored = [path for name in files for path in set(files[name]).difference(samples[name])]
    if loose:
        log.warning("%s: %d files lie outside the class folders and are left out.", printable(root), len(loose))
    if ignored:
        endings = ", ".join(sorted({Path(path).suffix or "no ending" for path in ignored}))
        log.warning("%s: %d files of other kinds are left out (%s).", printable(root), len(ignored), endings)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if not pattern.groups:
        raise ValueError("it has no capture group; put parentheses around what names the group")
    return pattern


def _group_of(pattern: object, relative: str) -> str:
    assert isinstance(pattern, re.Pattern)
    relative = relative.replace(os.sep, "/")
    match = pattern.search(relative)
    if match is None or match[1] is None:
        raise TargetError(
            f"{printable(relative)}: group={pattern.pattern} names no group for it; expected its first capture group "
            "to match a part of every path."
        )
    return match[1]
