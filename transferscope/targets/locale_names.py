"""Names of things in one language, out of Babel's copy of the Unicode Common Locale Data Repository.

Babel keeps them as pickles, which can run code; these are read without Babel and without letting them.
"""

from __future__ import annotations

import io
import pickle
from collections import Counter
from typing import Any

from ..errors import TargetError

_TABLES = {"territory": "territories", "language": "languages", "currency": "currency_names", "script": "scripts"}
_KNOWN = {
    ("babel.dates", "DateTimePattern"),
    ("babel.localedata", "Alias"),
    ("babel.numbers", "NumberPattern"),
    ("babel.plural", "PluralRule"),
}


class _Unread:
    """In place of Babel's own objects, none of which hold names: takes whatever the pickle gives and drops it."""

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _DataUnpickler(pickle.Unpickler):
    """Builds plain containers, and `_Unread` for the classes that Babel's data are known to hold; nothing else."""

    def find_class(self, module: str, name: str) -> type:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _Unread


def read_names(content: bytes) -> list[tuple[str, str]]:
    """(name, kind) pairs of one locale; kinds are territory, language, currency, script and city (of a time zone).

    Dropped: a name that stands under more than one kind (a country and its capital, a language and its
    script), names without any letter, the placeholder for an unknown city, and repeats within a kind.

    Raises
    ------
    TargetError
        If the pickle asks for a class that Babel's data do not need, or lacks a table.
    """
    try:
        data = _DataUnpickler(io.BytesIO(content)).load()
        named = {kind: set(data[table].values()) for kind, table in _TABLES.items()}
        zones = {zone: entry for zone, entry in data["time_zones"].items() if zone != "Etc/Unknown"}
    except (pickle.UnpicklingError, EOFError, KeyError, AttributeError, TypeError) as error:
        raise TargetError(f"not Babel's locale data ({error}); expected a .dat file of its pinned version.") from None
    named["city"] = {entry["city"] for entry in zones.values() if "city" in entry}
    kinds_of = Counter(name for names in named.values() for name in names)
    return [
        (name, kind)
        for kind, names in named.items()
        for name in sorted(names)
        if kinds_of[name] == 1 and any(map(str.isalpha, name))
    ]
