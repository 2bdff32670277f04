"""The field: the sources of one ranking, loaded, admitted and scored, all at once or in the stages of a race."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from ..adapters import Adapter, variants
from ..errors import CacheError, CorruptSampleError, TargetError, reason
from ..results import Candidate, Failure, Score, Skipped, SourceCard
from ..sources import Source, load_source
from ..spending import Cost, Dropped, Excluded, Race, Stage
from ..trust import Check
from .budget import Budget
from .candidates import Plan, Scored, adapter_of, layers_of, score_source
from .constraints import Constraints, refusal
from .cost import measure_cost
from .examples import Gallery
from .health import check_candidates, check_target
from .paired import chance_of, scored
from .race import LEVEL, losers
from .views import groups_of

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
    measures_costs: bool
    gallery: Gallery | None = None
    found: dict[str, Scored] = field(default_factory=dict)  # the newest of each source, dropped ones among them
    n_rows: dict[str, int] = field(default_factory=dict)  # training rows that each was scored on
    cards: dict[str, SourceCard] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)
    failures: dict[str, list[Failure]] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    admitted: list[str] = field(default_factory=list)
    excluded: list[Excluded] = field(default_factory=list)
    skipped: tuple[Skipped, ...] = ()
    reached: int | None = None  # parts of the training rows that every ranked source was scored on; None: all
    race: Race | None = None
    _loaded: dict[str, Entrant] = field(default_factory=dict)

    def score(self, spec: str, *, n_parts: int | None = None, quick: bool = False) -> Scored | None:
        """One source on the first parts of the training rows; None, with the reason listed, if that failed."""
        with self._listing(spec):
            entrant = self.entrant(spec)
            started = time.perf_counter()
            new = score_source(self.plan, entrant.source, entrant.adapters, n_parts=n_parts, quick=quick)
        if spec in self.errors:
            self.found.pop(spec, None)
            return None
        self.failures[spec] = [
            Failure(spec, f"{' and '.join(choices) or 'the default adapter'}: {reason(refused)}")
            for choices, refused in new.failures.items()
        ]
        if self.budget:
            flops = new.n_computed * (new.features.flops or 0.0)
            self.budget.spend(seconds=time.perf_counter() - started, samples=new.n_computed, flops=flops)
        if self.gallery and not quick and new.best.control is None:
            self.gallery.add(next(made for made in entrant.adapters.values() if made.path == new.best.path))
        self.found[spec] = new
        self.n_rows[spec] = self._n_rows(n_parts)
        self.cards[spec] = replace(entrant.source.card, flops=new.features.flops)
        self.skipped = new.features.skipped  # a sample is unreadable for every source alike
        return new

    def admit(self, specs: Iterable[str]) -> list[str]:
        """Those that meet the constraints, with what each costs measured; the others are listed with the reason."""
        kept = []
        for spec in specs:
            with self._listing(spec):
                entrant = self.entrant(spec)
                refused = refusal(entrant.source.card, self.constraints)
                cost = None
                if refused is None and self.measures_costs:
                    cost = self._cost(entrant)
                    refused = refusal(cost, self.constraints)
            if spec in self.errors:
                continue
            if refused:
                self.excluded.append(Excluded(spec, refused))
                continue
            if cost:
                self.costs[spec] = cost
            kept.append(spec)
        self.admitted = kept
        return kept

    @contextmanager
    def _listing(self, spec: str) -> Iterator[None]:
        """What goes wrong with one source inside is listed; what would hit every source alike is raised."""
        try:
            yield
        except (CacheError, TargetError, CorruptSampleError):
            raise  # unreadable samples are raised only when strict
        except Exception as error:
            log.debug("%s failed", spec, exc_info=True)
            self.failures[spec] = [Failure(spec, reason(error))]
            self.errors[spec] = error

    def _cost(self, entrant: Entrant) -> Cost:
        """By the default adapter."""
        plan, source, extractor = self.plan, entrant.source, self.plan.extractor
        choices = variants(plan.target, source, plan.asked.adapters)[0]
        return measure_cost(
            plan.target, source, adapter_of(plan, source, entrant.adapters, choices), plan.split.train,
            layers=layers_of(plan, source), batch_size=extractor.batch_size, device=extractor.device,
            precision=extractor.precision, load_seconds=entrant.seconds,
        )  # fmt: skip

    def run(self, specs: Sequence[str], *, racing: bool) -> list[str]:
        """Score sources on all training rows, or in stages if they race or a budget may end it; those that remain."""
        if not racing and self.budget is None:
            return self._stage(specs, None, quick=False)
        n_stages = len(self.plan.parts)
        running = list(specs)
        seen: list[dict[str, Score | None]] = []
        passed: list[Stage] = []
        dropped: list[Dropped] = []
        for number in range(1, n_stages + 1):
            before = {spec: self.found[spec] for spec in running if spec in self.found}
            running = self._stage(running, number, quick=number < n_stages)
            if self._is_spent():
                running = self._step_back(running, before, number)
                break
            passed.append(Stage(self._n_rows(number), tuple(running)))
            seen.append({spec: scored(self.found[spec].best, self.plan.rank_by) for spec in running})
            if racing and number < n_stages:
                lost = losers(seen, self._n_rows(), n_stages, chance=self._chance)
                dropped += lost
                for one in lost:
                    running.remove(one.source)
                    self._drop(one.source)
        if racing:
            self.race = Race(LEVEL, tuple(passed), tuple(dropped), 0, 0)
        return running

    def add_controls(self, raw: str, twins: Mapping[str, str]) -> None:
        """Score the raw input, and the twins of sources that were not dropped on as many samples as they were.

        `twins` are those of all sources. The passes that a race saved are counted then.
        """
        running = [twin for source, twin in twins.items() if source in self.found and not self._is_out(source)]
        for spec in dict.fromkeys((raw, *running)):
            if spec not in self.found and (spec == raw or not self._is_spent()):
                self.score(spec, n_parts=self.reached)
        if self.race:
            sources = {spec: found for spec, found in self.found.items() if found.best.control != "raw"}
            passes = sum(found.n_paths * self.n_rows[spec] for spec, found in sources.items())
            spared = sum(sources[spec].n_paths for spec in twins if spec in sources and self._is_out(spec))
            full = self._n_rows() * (sum(found.n_paths for found in sources.values()) + spared)
            self.race = replace(self.race, passes=passes, full_passes=full)

    def _is_out(self, spec: str) -> bool:
        return self.found[spec].best.dropped

    def _is_spent(self) -> bool:
        return self.budget is not None and self.budget.exhausted

    @property
    def _chance(self) -> float:
        return chance_of(self.plan.target.labels[self.plan.split.train], self.plan.rank_by)

    @property
    def candidates(self) -> list[Candidate]:
        """Of all sources and controls."""
        return [candidate for found in self.found.values() for candidate in found.candidates]

    @property
    def all_failures(self) -> tuple[Failure, ...]:
        """In the order of the sources."""
        return tuple(failure for failures in self.failures.values() for failure in failures)

    @property
    def shortfall(self) -> tuple[str, ...]:
        """What a spent budget left undone."""
        if self.budget is None or not self.budget.exhausted:
            return ()
        told = f"The budget was spent after {self._n_rows(self.reached)} of {self._n_rows()} training samples"
        if self.reached is None or self._n_rows(self.reached) == self._n_rows():
            return (f"{told}: what controls are missing had no turn. The same command goes on from there.",)
        return (f"{told}, on which all sources are compared. The same command goes on from there.",)

    def checks(self, candidates: Sequence[Candidate]) -> tuple[Check, ...]:
        """Of the target, and of the sources that were ranked to the end."""
        return (
            *check_target(self.plan.target, self.plan.split),
            *check_candidates(
                candidates,
                self.matrices(),
                self.labels() if self.plan.target.task == "classification" else {},
                {spec: found.features.versions for spec, found in self.found.items()},
                self.plan.rank_by,
            ),
        )

    def matrices(self) -> dict[str, np.ndarray]:
        """The best features of each source that was ranked to the end; controls are not among them."""
        return {
            spec: found.matrix
            for spec, found in self.found.items()
            if found.best.control is None and not found.best.dropped
        }

    def labels(self) -> dict[str, np.ndarray]:
        """Classes of the rows of `matrices`, or the strata that stand for them."""
        return self._of_rows(self.plan.target.strata)

    def answers(self) -> dict[str, np.ndarray]:
        """What the rows of `matrices` are scored against."""
        return self._of_rows(self.plan.answers(np.arange(len(self.plan.target))))

    def groups(self) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
        """What rows of `matrices` are coloured by; see `groups_of`."""
        codes, names = groups_of(self.plan.target)
        return self._of_rows(codes), names

    def layers(self) -> dict[str, Mapping[str, np.ndarray]]:
        """Every layer of the sources of `matrices`, under the best adapter and pooling; read when asked for."""
        return {spec: self.found[spec].every_layer for spec in self.matrices()}

    def _of_rows(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Of one value per sample of the target, those of the rows of `matrices`."""
        return {spec: values[self.found[spec].features.rows] for spec in self.matrices()}

    def _stage(self, specs: Iterable[str], n_parts: int | None, *, quick: bool) -> list[str]:
        """Score each on the first parts; a spent budget ends it between two sources."""
        specs = list(specs)
        task = f"ranking for {self.plan.target.name}"
        kept = []
        for done, spec in enumerate(specs):
            self.plan.extractor.progress(task, done, len(specs))
            if self._is_spent():
                break
            if self.score(spec, n_parts=n_parts, quick=quick):
                kept.append(spec)
        self.plan.extractor.progress(task, len(specs), len(specs))
        return kept

    def _step_back(self, running: Sequence[str], before: Mapping[str, Scored], number: int) -> list[str]:
        """When a budget ends a stage early, all sources as the stage before it left them.

        Only the same samples compare. What this stage computed is kept in the cache, and the next run goes on there.
        """
        if len(running) == len(before) or (number == 1 and running):
            reached, kept = number, list(running)  # the budget ended with the stage, or within the first one
        else:
            reached, kept = number - 1, list(before)
        if number == 1:
            late = [spec for spec in self.admitted if spec not in kept and spec not in self.errors]
            self.excluded += [Excluded(spec, "the budget was spent before its turn") for spec in late]
        self.reached = reached
        for spec in kept:
            self.score(spec, n_parts=reached)
        return kept

    def _drop(self, spec: str) -> None:
        """Keep what is known of a dropped source, marked as such."""
        old = self.found[spec]
        marked = tuple(replace(candidate, dropped=True) for candidate in old.candidates)
        self.found[spec] = replace(old, candidates=marked)
        self._loaded.pop(spec, None)

    def _n_rows(self, n_parts: int | None = None) -> int:
        return sum(map(len, self.plan.parts[:n_parts]))

    def entrant(self, spec: str) -> Entrant:
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
