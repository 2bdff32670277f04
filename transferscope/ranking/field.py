"""The field: the sources of one ranking, loaded, admitted and scored, all at once or in the stages of a race."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..adapters import Adapter, find_adapter
from ..errors import CacheError, CorruptSampleError, SourceError, TargetError, TransferScopeError
from ..results import Candidate, Failure, Score, Skipped, SourceCard
from ..sources import Source, load_source
from ..spending import Cost, Dropped, Excluded, Race, Stage
from .budget import Budget
from .candidates import Plan, Scored, score_source
from .constraints import Constraints, refusal
from .cost import measure_cost
from .paired import scored
from .race import survivors

log = logging.getLogger(__name__)
HELD = 1_000_000_000  # parameters of loaded sources kept between stages: about 4 GB


@dataclass
class Entrant:
    """A loaded source and the adapters made for it."""

    source: Source
    seconds: float  # to load
    adapters: dict[tuple[str, ...], Adapter] = field(default_factory=dict)


@dataclass
class Field:
    """What one ranking gathers on its way; whatever goes wrong with one source alone is listed, not raised."""

    plan: Plan
    constraints: Constraints
    budget: Budget | None
    trust_remote_code: bool
    found: dict[str, Scored] = field(default_factory=dict)  # the newest of each source, dropped ones among them
    cards: dict[str, SourceCard] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)
    failures: dict[str, list[Failure]] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    excluded: list[Excluded] = field(default_factory=list)
    skipped: tuple[Skipped, ...] = ()
    reached: int | None = None  # parts of the training rows that every ranked source was scored on; None: all
    race: Race | None = None
    passes: int = 0
    _loaded: dict[str, Entrant] = field(default_factory=dict)

    def score(self, spec: str, *, n_parts: int | None = None, quick: bool = False) -> Scored | None:
        """One source on the first parts of the training rows; None, with the reason listed, if that failed."""
        try:
            entrant = self._load(spec)
            started = time.perf_counter()
            new = score_source(self.plan, entrant.source, entrant.adapters, n_parts=n_parts, quick=quick)
        except (CacheError, TargetError, CorruptSampleError):
            raise  # these would hit every source alike; unreadable samples are raised only when strict
        except Exception as error:
            log.debug("%s failed", spec, exc_info=True)
            self.failures[spec] = [Failure(spec, reason(error))]
            self.errors[spec] = error
            self.found.pop(spec, None)
            return None
        self.failures[spec] = [
            Failure(spec, f"{' and '.join(choices) or 'the default adapter'}: {reason(refused)}")
            for choices, refused in new.failures.items()
        ]
        before = self.found.get(spec)
        self.passes += new.n_passed - (before.n_passed if before else 0)
        if self.budget:
            flops = new.n_computed * (new.features.flops or 0.0)
            self.budget.spend(seconds=time.perf_counter() - started, samples=new.n_computed, flops=flops)
        self.found[spec] = new
        self.cards[spec] = replace(entrant.source.card, flops=new.features.flops)
        self.skipped = new.features.skipped  # a sample is unreadable for every source alike
        return new

    def admit(self, specs: Iterable[str]) -> list[str]:
        """Those that meet the constraints, with what each costs measured; the others are listed with the reason."""
        kept = []
        for spec in specs:
            try:
                entrant = self._load(spec)
                refused = refusal(entrant.source.card, self.constraints)
                if refused is None:
                    cost = self._cost(spec, entrant)
                    refused = refusal(cost, self.constraints)
            except (CacheError, TargetError, CorruptSampleError):
                raise
            except Exception as error:
                log.debug("%s failed", spec, exc_info=True)
                self.failures[spec] = [Failure(spec, reason(error))]
                self.errors[spec] = error
                continue
            if refused:
                self.excluded.append(Excluded(spec, refused))
            else:
                self.costs[spec] = cost
                kept.append(spec)
        return kept

    def run(self, specs: Sequence[str], *, racing: bool) -> list[str]:
        """Score sources on all training rows, or in stages if they race or a budget may end it; those that remain."""
        if not racing and self.budget is None:
            return self._stage(specs, None, quick=False)
        n_stages = len(self.plan.parts)
        running, seen = list(specs), []
        stages: list[Stage] = []
        dropped: list[Dropped] = []
        for number in range(1, n_stages + 1):
            before = {spec: self.found[spec] for spec in running if spec in self.found}
            running = self._stage(running, number, quick=number < n_stages)
            if self.budget and self.budget.exhausted:
                running = self._step_back(running, before, number)
                break
            stages.append(Stage(self._n_rows(number), tuple(running)))
            seen.append({spec: scored(self.found[spec].best, self.plan.rank_by) for spec in running})
            if racing and number < n_stages:
                lost = survivors(seen, self._n_rows(n_stages))
                dropped += lost
                for one in lost:
                    running.remove(one.source)
                    self._drop(one.source)
        if racing:
            self.race = Race(LEVEL, tuple(stages), tuple(dropped), 0, 0)
        return running

    def _stage(self, specs: Iterable[str], n_parts: int | None, *, quick: bool) -> list[str]:
        """Score each on the first parts; a spent budget ends it between two sources."""
        specs = list(specs)
        task = f"ranking for {self.plan.target.name}"
        kept = []
        for done, spec in enumerate(specs):
            self.plan.extractor.progress(task, done, len(specs))
            if self.budget and self.budget.exhausted:
                break
            if self.score(spec, n_parts=n_parts, quick=quick):
                kept.append(spec)
        self.plan.extractor.progress(task, len(specs), len(specs))
        return kept

    def _step_back(self, running: Sequence[str], before: dict[str, Scored], number: int) -> list[str]:
        """When a budget ends a stage early: all sources as they were after the stage before it.

        Sources are compared on the same samples only; what this stage computed stays in the cache for the next run.
        """
        ...

    def _drop(self, spec: str) -> None:
        """Keep what is known of a dropped source, marked as such."""
        old = self.found[spec]
        marked = tuple(replace(candidate, dropped=True) for candidate in old.candidates)
        self.found[spec] = replace(old, candidates=marked)
        self._loaded.pop(spec, None)

    def _n_rows(self, n_parts: int) -> int:
        return sum(map(len, self.plan.parts[:n_parts]))

    def _load(self, spec: str) -> Entrant:
        """Load a source, or take it from those that are held."""
        if spec not in self._loaded:
            started = time.perf_counter()
            source = load_source(spec, seed=self.plan.seed, trust_remote_code=self.trust_remote_code)
            while self._loaded and self._held() + source.card.n_parameters > HELD:
                self._loaded.pop(next(iter(self._loaded)))
            self._loaded[spec] = Entrant(source, time.perf_counter() - started)
        return self._loaded[spec]

    def _held(self) -> int:
        return sum(entrant.source.card.n_parameters for entrant in self._loaded.values())
