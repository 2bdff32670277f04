"""Moments of what is left when rows are taken away, without forming their scatter."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from ..errors import ScoreError
from .arrays import Array
from .moments import Moments, aligned, combine


@dataclass(frozen=True, eq=False)
class Remainder(Moments):
    """Moments of the rows of `whole` that are not those of `part`, over the classes that are left.

    A jackknife asks for many of them and reads little of each: their scatter is that of the whole, less that of the
    part, and two outer products, and is formed only if it is asked for.
    """

    whole: Moments
    part: Moments

    @classmethod
    def of(cls, whole: Moments, part: Moments) -> Remainder:
        """Take away `part`, moments of some of the rows that `whole` is of.

        Raises
        ------
        ScoreError
            If no row would be left.
        """
        whole, part = aligned((whole, part))
        if part.n_samples >= whole.n_samples:
            raise ScoreError(
                f"moments: {part.n_samples} rows taken from {whole.n_samples}; one at least must be left."
            )
        left = combine((whole, part), (1, -1))
        if left.classes is not None:
            kept = np.flatnonzero(left.target_sum > 0.5)
            left = left.select(tuple(left.classes[column] for column in kept), kept)
        return cls(**{field.name: getattr(left, field.name) for field in fields(Moments)}, whole=whole, part=part)

    @cached_property
    def _gaps(self) -> tuple[Array, Array]:
        """What the whole's and the part's means add to their scatters."""
        return tuple(np.sqrt(m.n_samples) * (m.mean - self.mean) for m in (self.whole, self.part))

    @cached_property
    def scatter(self) -> Array:
        """Sum of (x - mean) (x - mean)'."""
        added, removed = self._gaps
        return self.whole.scatter - self.part.scatter + np.outer(added, added) - np.outer(removed, removed)

    @cached_property
    def trace(self) -> float:
        """Sum of ||x - mean||^2."""
        added, removed = self._gaps
        return self.whole.trace - self.part.trace + float(added @ added - removed @ removed)

    @cached_property
    def square_norm(self) -> float:
        """Sum of the squares of the scatter's entries."""
        added, removed = self._gaps
        bends = [
            self.whole.spread_along(gap[:, None])[0] - self.part.spread_along(gap[:, None])[0] for gap in self._gaps
        ]
        outer = (
            (added @ added) ** 2 + (removed @ removed) ** 2 - 2 * (added @ removed) ** 2 + 2 * (bends[0] - bends[1])
        )
        inner = float(np.vdot(self.whole.scatter, self.part.scatter))
        return float(self.whole.square_norm + self.part.square_norm - 2 * inner + outer)

    def spread_along(self, directions: Array) -> Array:
        """Sum over rows of the squares of (x - mean)'v, for every column v of `directions`."""
        added, removed = self._gaps
        far = np.square(added @ directions) - np.square(removed @ directions)
        return self.whole.spread_along(directions) - self.part.spread_along(directions) + far
