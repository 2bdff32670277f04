"""`Table`: measured accuracies, and perhaps scores, of many sources on many targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Table:
    """Rows are targets, columns are sources; NaN where nothing is known.

    Attributes
    ----------
    targets, sources : tuple of str
    accuracy : ndarray of shape (n_targets, n_sources)
        Measured after training. In one unit throughout: a share (0 to 1) or per cent, as it was given.
    scores : mapping of scorer to ndarray of shape (n_targets, n_sources)
        Oriented: higher is better.
    seconds : ndarray of shape (n_targets, n_sources) or None
        What each training took.
    """

    targets: tuple[str, ...]
    sources: tuple[str, ...]
    accuracy: Array
    scores: Mapping[str, Array] = field(default_factory=dict)
    seconds: Array | None = None

    def without(self, *targets: str) -> Table:
        """The table without some targets' rows: what may be known before these are seen."""
        keep = [place for place, name in enumerate(self.targets) if name not in targets]
        return Table(
            tuple(self.targets[place] for place in keep),
            self.sources,
            self.accuracy[keep],
            {name: values[keep] for name, values in self.scores.items()},
            None if self.seconds is None else self.seconds[keep],
        )
