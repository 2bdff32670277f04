"""What sources cost and what a ranking spent: frozen records of `transferscope.results.Ranking`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What using one source costs on this machine; None where it is not known."""

    source: str
    device: str
    license: str | None
    n_parameters: int
    flops: float | None  # of one sample's forward pass
    latency: float | None  # seconds for one sample alone, forward pass only, median
    throughput: float | None  # samples per second in batches, adapter included
    load_seconds: float | None
    tuning_bytes: float | None  # estimate for full fine-tuning at the batch size; peaks reach 1.4 times that
    tuning_seconds: float | None  # estimated time of one epoch of full fine-tuning over the training rows


@dataclass(frozen=True)
class Excluded:
    """A source that was not ranked, or not to the end, by choice: a constraint or the budget."""

    source: str
    reason: str


@dataclass(frozen=True)
class Stage:
    """One stage of a race: how many training rows every source that was still running had been scored on."""

    n_samples: int
    running: tuple[str, ...]


@dataclass(frozen=True)
class Dropped:
    """A source that could no longer reach the best group."""

    source: str
    n_samples: int  # rows after which it was dropped
    leader: str
    gap: float  # by `rank_by`, behind the leader; above 0
    bound: float  # the gap that remains after noise and the growth it might still show; above 0


@dataclass(frozen=True)
class Race:
    """How a ranking got by with fewer forward passes than all."""

    level: float  # 1 minus the chance that the full-data winner is dropped
    stages: tuple[Stage, ...]
    dropped: tuple[Dropped, ...]
    passes: int  # samples that went through a source, twins among them
    full_passes: int  # without the race


@dataclass(frozen=True)
class Planned:
    """What ranking one source would cost, before it is done; without a race, which can only save."""

    source: str
    passes: int  # samples through it, over all adapters
    cached: int  # of them at hand already
    flops: float | None  # of those that are not
    seconds: float | None  # to load it and compute them; None: it could not be measured
    note: str = ""  # why it would not be ranked
