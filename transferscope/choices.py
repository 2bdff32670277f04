"""What a ranking says of the choices in it: frozen records of `transferscope.results.Ranking`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NOISE = 1.645  # standard errors: a two-sided 90 % interval, or a one-sided 95 % one


@dataclass(frozen=True)
class Effect:
    """What one choice is worth: a source's best candidate, and the same with that choice made otherwise."""

    source: str
    factor: str  # "layer", "pooling" or a converter's option, such as "channels of waveform->image"
    best: str  # what the best candidate has
    other: str
    default: str  # what is taken where nothing is asked; of layers the last
    gain: float  # by `rank_by`, above 0 where the best is better, whichever way the scorer runs
    standard_error: float | None  # of the gain, on the same samples


@dataclass(frozen=True)
class Selection:
    """How sure it is which candidate of a source is best, by `rank_by`."""

    source: str
    n_candidates: int  # that were compared
    tied_layers: tuple[str, ...]  # within `NOISE` paired standard errors of the best, it among them; the rest as there
    layer_shares: Mapping[str, float]  # how often each layer was the best with a block left out; a share, if above 0
    # by how much the best of so many looks better than it is, on the same samples; None: unknown
    optimism: float | None


@dataclass(frozen=True)
class TwinGap:
    """A source beside its own random-weights twin, each at its best candidate."""

    source: str
    twin: str
    gain: float  # by `rank_by`, above 0 where the source is better
    standard_error: float | None
    beats: bool | None  # whether the gain is above `NOISE` standard errors; False is an alarm, None is not known


@dataclass(frozen=True)
class Alignment:
    """Whether bringing a bridge's output closer to a source's own embeddings bought a better score."""

    source: str
    align: str
    measure: str  # of the distance
    before: float  # without alignment
    after: float
    gain: float | None  # of `rank_by` over the same candidate without alignment; None: that was not ranked
    standard_error: float | None
