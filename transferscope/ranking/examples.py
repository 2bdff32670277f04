"""A few training samples as they are, and as each source that was ranked is given them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from ..adapters import Adapter
from ..adapters.looking import look_of
from ..errors import reason
from ..examples import Example, Examples, Look, Seen
from ..results import Step
from ..targets import Target

log = logging.getLogger(__name__)
N_EXAMPLES = 3
MOST_SEEN = 8  # different inputs that are kept, of the best sources


class Gallery:
    """Looks at the examples through adapters while these are at hand.

    What cannot be shown is kept with the reason: no ranking fails by it.
    """

    def __init__(self, target: Target, rows: np.ndarray, seed: int) -> None:
        self.samples: dict[int, Any] = {}  # by row
        self.examples: list[Example] = []
        self._seen: dict[str, tuple[Look, ...] | str] = {}  # by path, which tells all that decides the input
        self._target, self._rows, self._seed = target, rows, seed

    def add(self, adapter: Adapter) -> None:
        """Look through an adapter; those that convert in the same way are looked through once."""
        if (path := repr(adapter.path)) in self._seen:
            return
        try:
            self._pick()
            found: tuple[Look, ...] | str = tuple(adapter.look(sample) for sample in self.samples.values())
        except Exception as error:
            log.debug("no example can be shown", exc_info=True)
            found = reason(error)
        self._seen[path] = found

    def record(self, paths: Mapping[str, tuple[Step, ...]]) -> Examples | None:
        """What the given sources were given, best source first; sources whose input looks the same stand together."""
        found: dict[tuple[Look, ...] | str, list[str]] = {}
        for source, path in paths.items():
            if repr(path) in self._seen:
                found.setdefault(self._seen[repr(path)], []).append(source)
        seen = [_seen(sources, looks) for looks, sources in found.items()]
        if not seen:
            return None
        n_more = sum(len(one.sources) for one in seen[MOST_SEEN:])
        return Examples(tuple(self.examples), tuple(seen[:MOST_SEEN]), n_more)

    def _pick(self) -> None:
        """Readable rows by chance, of different classes or strata as far as there are some."""
        if self.examples:
            return
        self.samples = dict(islice(self._target.readable(self._order()), N_EXAMPLES))
        self.examples = [Example(row, self._target.tell(row), look_of(sample)) for row, sample in self.samples.items()]

    def _order(self) -> Iterator[int]:
        """All rows by chance: one of each class first."""
        rows = self._rows[np.random.default_rng(self._seed).permutation(len(self._rows))]
        first = np.sort(np.unique(self._target.strata[rows], return_index=True)[1])
        yield from map(int, rows[first])
        yield from map(int, np.delete(rows, first))


def _seen(sources: Iterable[str], looks: tuple[Look, ...] | str) -> Seen:
    return Seen(tuple(sources), reason=looks) if isinstance(looks, str) else Seen(tuple(sources), looks)
