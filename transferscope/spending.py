"""What sources cost, and what a ranking or a confirmation spent: frozen records of `transferscope.results`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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


@dataclass(frozen=True)
class Arm:
    """One way to train one source: what runs in the race of `confirm`."""

    source: str
    strategy: str
    learning_rate: float | None  # None: closed form
    strength: float | None = None  # what else a strategy searches


@dataclass(frozen=True)
class Expected:
    """An accuracy that is expected, with its 90 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Late:
    """Why a source came into a race that was running: what was measured there says so, with earlier targets."""

    until: int  # the stage after which it came in, and until which it was brought; 0: what has no epochs
    before: Expected  # of its accuracy, by earlier targets alone
    after: Expected  # of its validation accuracy at that stage, given what the others showed
    best: float  # expected of the best source so far, at that stage
    gain: float  # expected improvement on it, above what the time is priced at
    seconds: float  # it was expected to take until there


@dataclass(frozen=True)
class Entrant:
    """A source of a race, and why it is in."""

    source: str
    reason: Literal["asked", "best set", "first", "history", "random", "results"]  # first: there is no best set
    late: Late | None = None  # of "results", which come from those that ran before


@dataclass(frozen=True)
class Ran:
    """How far an arm had come at the end of a rung."""

    arm: Arm
    epochs: int
    accuracy: float  # the best so far on the validation rows


@dataclass(frozen=True)
class ArmDropped:
    """An arm that was not trained any further, and by how much the last one that was is ahead of it."""

    arm: Arm
    epochs: int
    reason: Literal["behind", "budget"]  # beyond noise; or within, and the time left is too short for it
    gap: float | None  # of validation accuracy; None: it was not trained at all, or it was no longer compared
    standard_error: float | None


@dataclass(frozen=True)
class Rung:
    """One stage of a race: all arms in it were trained until so many epochs of their schedule."""

    until: int  # 0: what has no epochs
    ran: tuple[Ran, ...]  # best first
    dropped: tuple[ArmDropped, ...]
    seconds: float  # of training, also where an earlier call did it


@dataclass(frozen=True)
class Prediction:
    """An accuracy that the ranking predicted, beside the one that was measured."""

    source: str
    predicted: float
    low: float | None
    high: float | None
    measured: float  # best of the source's finalists on the test rows


@dataclass(frozen=True)
class TrainingRace:
    """How confirmation got by with less training than all of it."""

    confidence: float  # asked for
    entrants: tuple[Entrant, ...]
    rungs: tuple[Rung, ...]
    winner: Arm
    finished: bool  # whether the winner was trained to its end, or was measured as it was when the budget ended
    certainty: float  # that no other contender's validation accuracy is really higher; a bound for all looks together
    decided: bool  # certainty reaches confidence
    ended: Literal["decided", "done", "budget"]
    budget: float | None  # seconds of this call
    seconds: float  # of training in all calls, the finals included
    full_seconds: float | None  # estimate: every ranked source, strategy, rate and seed to the last epoch
    unpriced: tuple[str, ...] = ()  # ranked sources that the estimate lacks, for want of a measured cost
    n_compared: int = 0  # sources behind the two figures below: the ranking's order and validation accuracy so far
    weighted_kendall: float | None = None
    regret: float | None = None  # validation accuracy lost by taking the ranking's first
    predictions: tuple[Prediction, ...] = ()
