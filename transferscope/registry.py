"""Names to things: one registry class for scorers, measures, converters and loaders, and the spec grammar.

A registry walks its folder at first use, so a new file in that folder is all it takes to add an entry;
other packages add theirs through the entry-point group ``transferscope.<kind>`` (kind in the singular).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Generic, TypeVar
from urllib.parse import parse_qsl

from .errors import TransferScopeError, UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """Entries by name, found by importing every module of one package.

    Parameters
    ----------
    kind : str
        What an entry is called in messages: "scorer", "source loader" ...
    package : str
        Package whose modules are imported at first look-up; each enters its own entries.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package
        self._entries: dict[str, T] = {}
        self._walked = False

    def add(self, name: str, entry: T) -> T:
        """Enter `entry` under `name`; a second entry of that name is an error, not an overwrite."""
        if name in self._entries:
            raise TransferScopeError(
                f"{self.kind} {name!r} is already registered by {self._entries[name]!r}; choose another name."
            )
        self._entries[name] = entry
        return entry

    def __getitem__(self, name: str) -> T:
        self._walk()
        if name not in self._entries:
            raise UnknownNameError(self.kind, name, self._entries)
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        self._walk()
        return iter(sorted(self._entries))

    def __contains__(self, name: object) -> bool:
        self._walk()
        return name in self._entries

    def values(self) -> list[T]:
        """All entries in the order of their names."""
        return [self[name] for name in self]

    def _walk(self) -> None:
        if self._walked:
            return
        self._walked = True  # before the imports, because a module may look something up while it loads
        folder = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(folder.__path__, f"{self.package}."):
            importlib.import_module(module.name)
        for point in entry_points(group=f"transferscope.{self.kind.replace(' ', '_')}"):
            point.load()


@dataclass(frozen=True)
class Spec:
    """A parsed ``scheme:location?key=value&...`` as people type it for targets and sources.

    Attributes
    ----------
    text : str
        The whole spec as typed; it names the thing in results.
    scheme, location : str
        What stands before and after the first colon.
    options : Mapping[str, str]
        The key=value pairs; a loader reads them through `only`, which refuses those it does not know.
    """

    text: str
    scheme: str
    location: str
    options: Mapping[str, str]

    @classmethod
    def parse(cls, text: str, *, kind: str, example: str) -> Spec:
        """Split `text`; `kind` and `example` are for the error message."""
        scheme, colon, rest = text.partition(":")
        location, _, query = rest.partition("?")
        if not colon or not scheme or not location:
            raise TransferScopeError(
                f"{kind} {text!r} is not of the form SCHEME:LOCATION[?key=value&...]; write for example {example}."
            )
        query = query.replace("+", "%2B")  # a plus means itself here (in a regular expression), not a space
        given = parse_qsl(query, keep_blank_values=True)
        options = dict(given)
        if twice := [key for place, (key, _) in enumerate(given) if key in dict(given[:place])]:
            raise TransferScopeError(f"{text}: option {twice[0]!r} is given twice; give it once.")
        return cls(text, scheme, location, MappingProxyType(options))

    def only(self, **converters: Callable[[str], object]) -> dict[str, object]:
        """Return the options, each through its converter; an option without one is refused by name."""
        values: dict[str, object] = {}
        for key, raw in self.options.items():
            if key not in converters:
                raise UnknownNameError(f"option of {self.scheme}:", key, converters)
            try:
                values[key] = converters[key](raw)
            except ValueError as error:
                raise TransferScopeError(f"{self.text}: option {key}={raw!r} is not valid ({error}).") from None
        return values
