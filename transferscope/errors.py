"""Every error a person can cause. Each message says what was found, what was expected and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TransferScopeError(ValueError):
    """Base of all errors raised for wrong input; the command line prints its text and exits with 2."""


class TargetError(TransferScopeError):
    """The target data cannot be used: missing, empty, one class only, a class with one sample ..."""


class SourceError(TransferScopeError):
    """A source cannot be built: weights missing, keys that do not fit, no network ..."""


class AdapterError(TransferScopeError):
    """No converter path leads from the target's modality to what the source takes in, or one refused."""


class ScoreError(TransferScopeError):
    """Features and labels that a scorer or a similarity measure is not defined for."""


class ResultError(TransferScopeError):
    """A saved result cannot be read, or does not belong with the others."""


class CacheError(TransferScopeError, OSError):
    """The cache cannot be written or a file in it is damaged."""


class CorruptSampleError(TransferScopeError):
    """One sample cannot be decoded.

    Parameters
    ----------
    sample : str
        How the target names the sample: a path, or "row 12".
    reason : str
        What the decoder said.
    """

    def __init__(self, sample: str, reason: str) -> None:
        super().__init__(f"{sample}: cannot be read ({reason}).")
        self.sample, self.reason = sample, reason


class UnknownNameError(TransferScopeError, KeyError):
    """A name that no registry entry has, with the nearest ones suggested."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=3)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        listed = ", ".join(known[:40]) + (" ..." if len(known) > 40 else "")
        self.text = f"no {kind} named {name!r}.{hint} Known: {listed}."
        super().__init__(self.text)

    def __str__(self) -> str:  # KeyError would print the repr
        return self.text


def first_line(error: Exception, most: int = 200) -> str:
    """What another library's error says, cut to one line of `most` letters; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]


def reason(error: Exception) -> str:
    """What is listed of a failure: our own words as they are, another library's with their type."""
    return str(error) if isinstance(error, TransferScopeError) else f"{type(error).__name__}: {error}"
