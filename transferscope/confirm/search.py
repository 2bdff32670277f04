"""The search that all fine-tuning strategies share: rates and strengths on validation, then seeds, then the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..errors import TransferScopeError
from ..results import Run
from .memory import relieved
from .objective import standard_error
from .strategy import STRATEGIES, Strategy, Trial
from .training import Plan, Trained, read_state, train
from .tuning import Tuning

RETREAT = 1 / 3  # of the rate, once, after a collapse


@dataclass(frozen=True)
class Try:
    """A trained run, and how it came about."""

    rate: float
    strength: float | None
    seed: int
    trained: Trained
    note: str | None = None


def fine_tune(trial: Trial, tuning: Tuning) -> tuple[Run, ...]:
    """Search rate and strength on validation with the first seed, then repeat the best with the others.

    One rate for all sources would rank the rate rather than the sources. Rates are tried at the last strength, and
    the other strengths at the best rate. A run that collapses is tried once more at a third of the rate. Test rows
    are predicted once per seed, with the weights of the best validation epoch at the chosen rate.

    Raises
    ------
    TransferScopeError
        If the loss was finite at no rate.

    References
    ----------
    Kornblith, Shlens and Le, "Do better ImageNet models transfer better?", CVPR 2019 (search per model).
    """
    *others, strength = tuning.strengths(trial.recipe)
    tries: list[Try] = []
    for rate in trial.recipe.learning_rates:
        tries += attempt(trial, tuning, rate, strength, trial.seed)
    rate = best_of(tries).rate
    for other in others:
        tries += attempt(trial, tuning, rate, other, trial.seed)
    best = best_of(tries)
    chosen = [best]
    for seed in range(trial.seed + 1, trial.seed + trial.recipe.n_seeds):
        repeated = attempt(trial, tuning, best.rate, best.strength, seed)
        tries += repeated
        chosen += [best_of(repeated)] if _able(repeated) else []
    rest = [one for one in tries if one not in chosen]
    return tuple(run_of(trial, tuning, one, tested=one in chosen) for one in (*rest, *chosen))


def attempt(
    trial: Trial,
    tuning: Tuning,
    rate: float,
    strength: float | None,
    seed: int,
    fitted: Callable[[Plan], Trained] = train,
) -> list[Try]:
    """One run, and a second at a lower rate if it ended collapsed; `fitted` may train part of it only."""

    def fit(rate: float) -> Trained:
        return fitted(plan_of(trial, tuning, rate, strength, seed))

    first = Try(rate, strength, seed, fit(rate))
    if not (first.trained.collapsed and first.trained.over):
        return [first]
    lower = rate * RETREAT
    return [first, Try(lower, strength, seed, fit(lower), f"again at a third of {rate:g}, which collapsed")]


def plan_of(trial: Trial, tuning: Tuning, rate: float, strength: float | None, seed: int) -> Plan:
    """One run, all of it."""
    name = f"{rate:g}-{seed}" if strength is None else f"{rate:g}-{strength:g}-{seed}"
    task = f"{trial.strategy} of {trial.source.card.name} on {trial.target.name} (rate {rate:g}, seed {seed})"
    return Plan(trial, tuning, rate, seed, strength, trial.folder / name, task)


def _able(tries: list[Try]) -> list[Try]:
    """Those with an epoch to keep."""
    return [one for one in tries if one.trained.weights is not None]


def best_of(tries: list[Try]) -> Try:
    """The best on validation; a collapsed one only for want of others."""
    if not _able(tries):
        rates = ", ".join(f"{one.rate:g}" for one in tries)
        raise TransferScopeError(f"the loss was not finite at any rate ({rates}); give lower learning rates.")
    return max(_able(tries), key=lambda one: (not one.trained.collapsed, one.trained.validation_accuracy))


def run_of(trial: Trial, tuning: Tuning, one: Try, *, tested: bool) -> Run:
    trained = one.trained
    accuracy, error = _test(trial, tuning, one) if tested else (None, None)
    chosen = {} if one.strength is None else {tuning.strength_name: one.strength}
    return Run(
        seed=one.seed,
        learning_rate=one.rate,
        validation_accuracy=trained.validation_accuracy,
        test_accuracy=accuracy,
        epochs=trained.epochs,
        seconds=trained.seconds,
        settings={**chosen, **trained.settings},
        collapsed=trained.collapsed,
        note="; ".join(note for note in (one.note, trained.note) if note) or None,
        peak_memory=trained.peak_memory,
        test_error=error,
    )


def _test(trial: Trial, tuning: Tuning, one: Try) -> tuple[float, float | None]:
    """The measure on the test rows with the weights of the best epoch, and its standard error."""
    assert one.trained.weights is not None
    with tuning.opened(trial, one.seed, one.strength) as network:
        network.load(read_state(one.trained.weights))
        added = relieved(network, lambda: network.judge(trial.split.test))[0]
    return float(added.mean()), standard_error(trial.objective, added)


def register_tuning(
    name: str, *, head_at: Literal["best", "last"], needs_source_data: bool = False
) -> Callable[[Callable[[Trial], Tuning]], Callable[[Trial], Tuning]]:
    """Enter the decorated function, which makes a trial's tuning, as a strategy that fine-tunes with it."""

    def enter(tuning: Callable[[Trial], Tuning]) -> Callable[[Trial], Tuning]:
        def fit(trial: Trial) -> tuple[Run, ...]:
            return fine_tune(trial, tuning(trial))

        STRATEGIES.add(name, Strategy(name, fit, head_at, True, needs_source_data, tuning))
        return tuning

    return enter
