"""What a person may ask a ranking to compare of each source: layers, poolings and ways to convert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..adapters import parse_choice
from ..errors import TransferScopeError, UnknownNameError
from ..features.pooling import POOLINGS
from ..results import SourceCard

EVERY = "every:"


@dataclass(frozen=True)
class Asked:
    """Checked as far as it can be without a source.

    Attributes
    ----------
    layers : tuple of str
        "all", "last", "every:N", names or indices.
    poolings : tuple of str
        Each once.
    adapters : tuple of str
        As of `transferscope.adapters.variants`.
    """

    layers: tuple[str, ...]
    poolings: tuple[str, ...]
    adapters: tuple[str, ...]

    @classmethod
    def of(
        cls, layers: str | int | Sequence[str | int], pooling: str | Sequence[str], adapters: str | Sequence[str]
    ) -> Asked:
        """One or several of each.

        Raises
        ------
        UnknownNameError
            If a pooling, a converter, one of its options or a value is unknown.
        TransferScopeError
            If nothing is named, or N of "every:N" is no positive whole number.
        """
        named = tuple(map(str, (layers,) if isinstance(layers, str | int) else layers))
        poolings = (pooling,) if isinstance(pooling, str) else tuple(dict.fromkeys(pooling))
        choices = (adapters,) if isinstance(adapters, str) else tuple(adapters)
        if not named or not poolings:
            raise TransferScopeError("an empty list of layers or poolings leaves nothing to rank; name at least one.")
        for name in named:
            if name.startswith(EVERY) and not (name[len(EVERY) :].isdecimal() and int(name[len(EVERY) :])):
                raise TransferScopeError(f"layers={name!r}; expected every:N with a whole N from 1, such as every:3.")
        for how in poolings:
            if how not in POOLINGS:
                raise UnknownNameError("pooling", how, POOLINGS)
        for choice in choices:
            if choices != ("all",):
                parse_choice(choice)
        return cls(named, poolings, choices)

    def layers_of(self, card: SourceCard) -> tuple[str, ...]:
        """The layers of one source that are asked for, from input to output.

        Raises
        ------
        UnknownNameError
            If it has no layer of that name, and not so many that the index means one.
        """
        places = {place for name in self.layers for place in _places(name, card)}
        return tuple(layer for place, layer in enumerate(card.layers) if place in places)


def _places(name: str, card: SourceCard) -> Sequence[int]:
    """Positions that one word means; a layer's own name goes before any other reading."""
    n = len(card.layers)
    if name in card.layers:
        return [card.layers.index(name)]
    if name == "all":
        return range(n)
    if name == "last":
        return [n - 1]
    if name.startswith(EVERY):
        return range(n - 1, -1, -int(name[len(EVERY) :]))
    if name.removeprefix("-").isdecimal() and -n <= int(name) < n:
        return [int(name) % n]
    raise UnknownNameError(f"layer of {card.name}", name, card.layers)
