"""The arms of a race as they are really trained: one source in memory at a time, stage by stage."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CacheError, reason
from ..results import Candidate, Failure, Run
from ..sources import Source, load_source
from ..spending import Arm
from ..storage import write_cache
from .halving import Pair, Seen
from .linear_probe import probe_run
from .search import Try, attempt, plan_of, run_of
from .strategy import STRATEGIES, Trial
from .training import Plan, Trained, known, shed, train
from .trials import Settings, finish, finished, run_from, trial_of
from .tuning import Tuning

log = logging.getLogger(__name__)


@dataclass
class Stable:
    """Trains arms and remembers what they cost.

    Attributes
    ----------
    candidates : mapping of source to Candidate
        Of all sources that may run.
    left : callable
        Seconds of the budget that are left.
    failures : dict of pair to Failure
    layers : dict of pair to str
        Where heads sit.
    runs : dict of Arm to tuple of Run
        What an earlier confirmation finished, tests included.
    spent : dict of (pair, run) to (seconds, epochs)
        Of training.
    """

    settings: Settings
    candidates: Mapping[str, Candidate]
    left: Callable[[], float]
    failures: dict[Pair, Failure] = field(default_factory=dict)
    layers: dict[Pair, str] = field(default_factory=dict)
    runs: dict[Arm, tuple[Run, ...]] = field(default_factory=dict)
    spent: dict[tuple[Pair, str], tuple[float, int]] = field(default_factory=dict)
    folders: dict[Arm, set[Path]] = field(default_factory=dict)
    _source: Source | None = None
    _name: str = ""
    _tunings: dict[Pair, tuple[Trial, Tuning]] = field(default_factory=dict)
    _portable: dict[Pair, Tuning] = field(default_factory=dict)

    def enter(self, sources: Sequence[str], strategies: Sequence[str]) -> tuple[dict[Arm, Seen], list[Arm]]:
        """Finish what has no epochs, or was finished earlier; and the arms to race."""
        closed: dict[Arm, Seen] = {}
        arms: list[Arm] = []
        whole = [name for name in strategies if STRATEGIES[name].tuning is None]
        for names in (whole, [name for name in strategies if name not in whole]):
            for place, source in enumerate(sources):
                self._tell("entering", place, len(sources))
                for name in names:
                    if self.left() > 0:
                        self._guard((source, name), partial(self._enter, source, name, closed, arms))
        self._tell("entering", len(sources), len(sources))
        return closed, arms

    def _enter(self, source: str, strategy: str, closed: dict[Arm, Seen], arms: list[Arm]) -> None:
        if STRATEGIES[strategy].trains_body and not self._loaded(source).card.n_parameters:
            return  # the raw input has nothing to fine-tune
        trial = self._trial(source, strategy)
        self.layers[source, strategy] = trial.layer
        if strategy == "linear_probe":
            closed[Arm(source, strategy, None)] = self._probed(trial)
            return
        runs = finished(trial)
        if runs is None and STRATEGIES[strategy].tuning is None:
            runs = finish(trial, STRATEGIES[strategy].fit(trial))
        if runs is None:
            tuning = self._tuning(source, strategy)[1]
            arms += [
                Arm(source, strategy, rate, strength)
                for strength in tuning.strengths(trial.recipe)
                for rate in trial.recipe.learning_rates
            ]
            return
        chosen = [run for run in runs if run.test_accuracy is not None]
        arm = Arm(source, strategy, chosen[0].learning_rate)
        self.runs[arm] = runs
        for place, run in enumerate(runs):
            self.spent[(source, strategy), str(place)] = run.seconds, len(run.epochs)
        accuracy = float(np.mean([run.validation_accuracy for run in chosen]))
        n_epochs = max(len(run.epochs) for run in chosen)
        seconds = float(np.mean([run.seconds for run in chosen]))
        collapsed, error = all(run.collapsed for run in chosen), self._validation_error(chosen)
        closed[arm] = Seen(accuracy, n_epochs, True, seconds, collapsed=collapsed, error=error)

    def _validation_error(self, tested: Sequence[Run]) -> float | None:
        """Standard error on the validation rows by that on the test rows; None for a share, whose value tells."""
        errors = [run.test_error for run in tested if run.test_error is not None]
        split = self.settings.split
        return float(np.mean(errors)) * math.sqrt(len(split.test) / len(split.validation)) if errors else None

    def advance(self, arms: Sequence[Arm], until: int) -> dict[Arm, Seen]:
        """Train arms until an epoch of their schedule, those of one source together; stop when no time is left."""
        seen: dict[Arm, Seen] = {}
        grouped = {arm.source: [other for other in arms if other.source == arm.source] for arm in arms}
        for arm in (arm for group in grouped.values() for arm in group):
            self._tell(f"until epoch {until}", len(seen), len(arms))
            if self.left() <= 0:
                break
            self._guard((arm.source, arm.strategy), partial(self._advance, arm, until, seen))
        self._tell(f"until epoch {until}", len(arms), len(arms))
        return seen

    def _advance(self, arm: Arm, until: int, seen: dict[Arm, Seen]) -> None:
        seen[arm] = seen_of([self._best(self._attempt(arm, self.settings.seed, until))])

    @property
    def seconds(self) -> float:
        """Of all training, whichever call did it."""
        return math.fsum(seconds for seconds, _ in self.spent.values())

    def finals(self, arm: Arm, seen: Seen, n_seeds: int) -> Seen | None:
        """Train a finalist to its end under all seeds; None if the budget was spent before, or it failed."""
        if arm in self.runs or arm.learning_rate is None:
            return seen
        tries: list[Try] = []
        for place in range(n_seeds):
            self._tell(f"final of {arm.source} with {arm.strategy}", place, n_seeds)
            if self.left() > 0:
                self._guard((arm.source, arm.strategy), partial(self._run_whole, arm, place, tries))
        self._tell(f"final of {arm.source} with {arm.strategy}", n_seeds, n_seeds)
        return seen_of(tries) if len(tries) == n_seeds and all(one.trained.over for one in tries) else None

    def _run_whole(self, arm: Arm, place: int, tries: list[Try]) -> None:
        tries.append(self._best(self._attempt(arm, self.settings.seed + place, None, fitted=_final)))

    def test(self, arm: Arm, arms: Iterable[Arm], n_seeds: int) -> tuple[Run, ...]:
        """All runs of a finalist: those of its source and strategy, and its own with their accuracy on test rows.

        Empty if none of its weights are there, as the budget was spent before, or if it failed.
        """
        runs: list[Run] = []
        self._guard((arm.source, arm.strategy), lambda: runs.extend(self._tested_runs(arm, arms, n_seeds)))
        return tuple(runs)

    def _tested_runs(self, arm: Arm, arms: Iterable[Arm], n_seeds: int) -> tuple[Run, ...]:
        if arm in self.runs:
            return self.runs[arm]
        trial = self._trial(arm.source, arm.strategy)
        if arm.learning_rate is None:
            return finished(trial) or finish(trial, STRATEGIES[arm.strategy].fit(trial))
        trial, tuning = self._tuning(arm.source, arm.strategy)
        seeds = range(trial.seed, trial.seed + n_seeds)
        begun = [self._best(tries) for seed in seeds if (tries := self._attempt(arm, seed, None, fitted=_known))]
        able = [one for one in begun if one.trained.weights is not None]
        complete = [one for one in able if one.trained.over] or able[:1]
        chosen = [self._tested(trial, tuning, one) for one in complete]
        other = [arm for arm in arms if arm.strategy == trial.strategy and arm.source == trial.source.card.name]
        rest = [one for arm in other for one in self._attempt(arm, trial.seed, None, fitted=_known)]
        rest += [one for one in begun if one.seed != trial.seed]
        names = {(one.rate, one.strength, one.seed) for one in complete}
        untested = [self._run(trial, tuning, one) for one in rest if (one.rate, one.strength, one.seed) not in names]
        return (*untested, *chosen) if chosen else ()

    def drop(self, arms: Iterable[Arm]) -> None:
        """Free the space of arms that are not trained any further."""
        for arm in arms:
            for folder in self.folders.pop(arm, ()):
                shed(folder)

    def _attempt(
        self, arm: Arm, seed: int, until: int | None, fitted: Callable[[Plan], Trained] | None = None
    ) -> list[Try]:
        """The arm's run under a seed, and the one at a lower rate where it collapsed; none if `fitted` finds none."""
        trial, tuning = self._tuning(arm.source, arm.strategy)
        assert arm.learning_rate is not None

        def stage(plan: Plan) -> Trained:
            plan = replace(plan, until=until, stop=lambda: self.left() <= 0)
            found = (fitted or train)(plan)
            self.folders.setdefault(arm, set()).add(plan.folder)
            self.spent[(arm.source, arm.strategy), plan.folder.name] = found.seconds, len(found.epochs)
            return found

        try:
            return attempt(trial, tuning, arm.learning_rate, arm.strength, seed, stage)
        except _UnknownError:
            return []

    def _best(self, tries: Sequence[Try]) -> Try:
        """The better of a collapsed run and its second try; the last one if no loss was finite."""
        return max(tries, key=lambda one: (not one.trained.collapsed, one.trained.validation_accuracy))

    def _tested(self, trial: Trial, tuning: Tuning, one: Try) -> Run:
        """The run with its accuracy on the test rows, which are read once, whatever is repeated."""
        folder = plan_of(trial, tuning, one.rate, one.strength, one.seed).folder
        run, kept = self._run(trial, tuning, one), _tested_before(folder, len(one.trained.epochs))
        if kept is None:
            tested = run_of(trial, tuning, one, tested=True)
            kept = {"accuracy": tested.test_accuracy, "error": tested.test_error, "epochs": len(run.epochs)}
            write_cache(folder / "tested.json", json.dumps(kept).encode())
        return replace(run, test_accuracy=kept["accuracy"], test_error=kept.get("error"))

    def _run(self, trial: Trial, tuning: Tuning, one: Try) -> Run:
        """Without the test rows; a run that a stage stopped says so."""
        run = run_of(trial, tuning, one, tested=False)
        if one.trained.over:
            return run
        short = f"stopped after {len(run.epochs)} of {trial.recipe.epochs} epochs"
        return replace(run, note="; ".join(note for note in (run.note, short) if note))

    def _probed(self, trial: Trial) -> Seen:
        """The probe on the validation rows; test rows are not read."""
        path = trial.folder / "validated.json"
        if not path.exists():
            run, hits = probe_run(trial, tested=False)
            write_cache(path, json.dumps({"run": asdict(run), "hits": hits.tolist()}).encode())
        kept = json.loads(path.read_text())
        run, hits = run_from(kept["run"]), np.array(kept["hits"])
        self.spent[(trial.source.card.name, trial.strategy), "probe"] = run.seconds, 0
        return Seen(run.validation_accuracy, 0, True, run.seconds, hits)

    def _tell(self, stage: str, done: int, total: int) -> None:
        self.settings.progress(f"racing on {self.settings.target.name}: {stage}", done, total)

    def _guard(self, pair: Pair, work: Callable[[], object]) -> None:
        """A pair's own failure is listed, not raised."""
        if pair in self.failures:
            return
        try:
            work()
        except CacheError:
            raise
        except Exception as error:
            log.debug("%s failed", pair, exc_info=True)
            self.failures[pair] = Failure(pair[0], f"{pair[1]}: {reason(error)}")

    def _loaded(self, name: str) -> Source:
        if self._source is None or self._name != name:
            self._source, self._tunings = None, {}  # the one before is freed first
            self._source = load_source(
                name, seed=self.settings.seed, trust_remote_code=self.settings.trust_remote_code
            )
            self._name = name
        return self._source

    def _trial(self, source: str, strategy: str) -> Trial:
        return trial_of(self.settings, self._loaded(source), self.candidates[source], strategy)

    def _tuning(self, source: str, strategy: str) -> tuple[Trial, Tuning]:
        """Kept while its source is in memory, or longer where it holds nothing of it: LP-FT's probe takes time."""
        pair = source, strategy
        if self._loaded(source) and pair not in self._tunings:
            trial, make = self._trial(source, strategy), STRATEGIES[strategy].tuning
            assert make is not None
            tuning = self._portable.get(pair) or make(trial)
            if tuning.portable:
                self._portable[pair] = tuning
            self._tunings[pair] = trial, tuning
        return self._tunings[pair]


def seen_of(tries: Sequence[Try]) -> Seen:
    """One arm over its seeds."""
    runs = [one.trained for one in tries]
    rows = [run.hits for run in runs if run.hits is not None]
    return Seen(
        accuracy=float(np.mean([run.validation_accuracy for run in runs])),
        epochs=min(len(run.epochs) for run in runs),
        over=all(run.over for run in runs),
        seconds=math.fsum(run.seconds for run in runs) / len(runs),
        hits=np.mean(rows, axis=0) if len(rows) == len(runs) else None,
        collapsed=all(run.collapsed for run in runs),
    )


class _UnknownError(Exception):
    """A run that was never begun."""


def _known(plan: Plan) -> Trained:
    """What is there of a run, without training; weights only if they, or what the test made of them, are there too."""
    found = known(plan)
    if found is None:
        raise _UnknownError
    able = (plan.folder / "best.pt").exists() or _tested_before(plan.folder, len(found.epochs)) is not None
    return found if able else replace(found, weights=None)


def _final(plan: Plan) -> Trained:
    """The whole run; one that was tested is not trained again, though its weights are gone."""
    found = known(plan)
    done = found and found.over and _tested_before(plan.folder, len(found.epochs)) is not None
    return found if found and done else train(plan)


def _tested_before(folder: Path, n_epochs: int) -> dict[str, Any] | None:
    """What an earlier call measured on the test rows, with the weights that these epochs gave."""
    path = folder / "tested.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    return kept if kept.get("epochs") == n_epochs else None
