"""A race in progress, steered by the history or not: replayed on published fine-tunes with made-up learning curves.

    python reports/benchmarks/steered.py FOLDER

FOLDER holds transfergraph_image_accuracy.csv. Writes steered.md beside this file, in about two minutes on two cores.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from race import CLOSE, columns, split, table_of
from scipy.special import ndtri
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from transferscope.confirm.halving import Seen, race
from transferscope.confirm.steer import Steering
from transferscope.evaluate.read import read_table
from transferscope.evaluate.table import Table
from transferscope.history.acquire import next_source
from transferscope.history.prior import static_prior
from transferscope.history.surrogate import Surrogate, savage_scores
from transferscope.spending import Arm

HERE = Path(__file__).parent
TOP = 6
EPOCHS = 10
N_ROWS = 300  # for validation
DRAWS = 15  # of pools, scores and curves, per target
FITS = (0.0, 0.3, 0.5, 0.8)
PACE = 0.5  # of learning, an epoch: the median source's
WEIGHT = 0.5  # of the ranking's scores in the prior mean, where they have a say
FIXED, WIDER, STEERED = "fixed", f"fixed, {TOP} more by score", "steered"
SCORED, BLIND, DRAWN = "steered, scores in the prior mean", "late ones by history alone", "late ones at random"
KINDS = (FIXED, WIDER, STEERED, SCORED, BLIND, DRAWN)
Array = np.ndarray
Pick = Callable[[Mapping[int, Mapping[Arm, Seen]], Sequence[str], float], str | None]


@dataclass(frozen=True)
class Setup:
    """What a race is like."""

    fit: float  # correlation of the ranking's scores with accuracy, both as normal scores
    n_ranked: int = 30
    spread: float = 0.2  # standard deviation of the logarithm of a source's pace
    budgets: tuple[float, ...] = (0.1, 0.2, 0.3)  # of the seconds that training all ranked ones takes


@dataclass
class Training:
    """What training would show, with a clock that it moves.

    An accuracy nears its end exponentially, each source at a pace of its own; validation rows are drawn once.
    """

    accuracy: Mapping[str, float]
    seconds: Mapping[str, float]
    pace: Mapping[str, float]
    luck: Mapping[str, float]  # standard errors on the validation rows
    budget: float
    trained: dict[Arm, int] = field(default_factory=dict)

    def spent(self) -> float:
        return math.fsum(self.seconds[arm.source] / EPOCHS * n for arm, n in self.trained.items())

    def left(self) -> float:
        return self.budget - self.spent()

    def advance(self, arms: Sequence[Arm], until: int) -> dict[Arm, Seen]:
        seen: dict[Arm, Seen] = {}
        for arm in arms:
            if self.left() <= 0:
                break
            while self.trained.get(arm, 0) < until and self.left() > 0:
                self.trained[arm] = self.trained.get(arm, 0) + 1
            seen[arm] = self.seen(arm, self.trained[arm])
        return seen

    def seen(self, arm: Arm, epochs: int) -> Seen:
        pace, name = self.pace[arm.source], arm.source
        share = (1 - math.exp(-pace * epochs)) / (1 - math.exp(-pace * EPOCHS))
        mean = share * self.accuracy[name]
        shown = mean + self.luck[name] * math.sqrt(mean * (1 - mean) / N_ROWS)
        return Seen(min(max(shown, 0.0), 1.0), epochs, epochs == EPOCHS, self.seconds[name] / EPOCHS * epochs)


HALF = math.log(2) / PACE
WORDS = """
What the tables say:

- It helps where the scores tell little. With correlations of 0 and 0.3 and 30 ranked sources, at a fifth of the
  seconds, the steered race ends 0.6 to 1.1 points closer to the best than the fixed one, which is through before its
  budget is, and 0.5 to 0.9 points closer than one that lets in anyone at the same spend.
- It does not help where they are good. With 0.5, taking six more by score from the start does as well or better; with
  0.8 nothing that is added to a race matters. Among 100 ranked ones six more by score do as well from 0.3 on.
- It does nothing where time is short: at a tenth hardly anyone comes in, as the time that those who run could use to
  their end is not given away.
- It is the history that helps, not the results on this target: without any of these the same policy chooses as well,
  in every kind of race here. A race has eight to fourteen results, and noisy ones; where dozens of sources are trained
  to their end, results do help ([race.md](race.md): 15 targets against 10, of 16, at a tenth of the seconds).
- The ranking's scores in the prior mean change the mean regret by -0.07 to +0.26 points, so `confirm` leaves them out.
"""
HEAD = f"""# Whom the history has join a race in progress

Made by `python reports/benchmarks/steered.py FOLDER`, FOLDER with the published tables.

TransferGraph's image records again: each of 16 targets is left out in turn, {DRAWS} times 30 (or 100) of its sources
are drawn as the ranked ones, and `confirm`'s own race runs over them by the clock of the recorded seconds: one arm a
source, {EPOCHS} epochs, {N_ROWS} validation rows. The records tell where training ends; the way there is made up: an
accuracy nears its end exponentially, each source at a pace of its own (the median is half the way in {HALF:.1f}
epochs; the standard deviation of its logarithm is given). The table has no scores, so these are made up too, with
the correlation with accuracy that is given. Both are assumptions; the more the scores are worth, the less is left
for a history to gain.

A race starts with the scores' first {TOP}, the history's favourite and one at random.

- *{FIXED}*: those alone. *{WIDER}*: the scores' first {2 * TOP} from the start.
- *{STEERED}*: up to {TOP} come in late, as in `confirm`.
- *{SCORED}*: {WEIGHT:g} times the Savage score of a source's score is added to its mean.
- *{BLIND}*: by the same policy without any result of this target. *{DRAWN}*: anyone.

Budgets are shares of the seconds that training all ranked sources takes, equal for all kinds of races, which need
not use them up: compare what was spent. The regret, in points of accuracy, is of the source that wins, as it is when
trained to its end. ± is a standard error over targets, of paired differences.
{WORDS}"""


def arm_of(source: str) -> Arm:
    return Arm(source, "full", 1e-3)


def raced(training: Training, start: Sequence[str], pick: Pick) -> tuple[str | None, int]:
    """The winner, and how many came in late."""
    came = list(start)

    def invite(at: Mapping[int, Mapping[Arm, Seen]], spare: float) -> tuple[dict[Arm, Seen], list[Arm]] | None:
        late = pick(at, came, spare) if len(came) - len(start) < TOP else None
        if late is None:
            return None
        came.append(late)
        return {}, [arm_of(late)]

    arms = [arm_of(name) for name in start]
    outcome = race(
        {}, arms, training.advance, epochs=EPOCHS, n_rows=N_ROWS, confidence=0.95, left=training.left, invite=invite
    )
    best = next(iter(outcome.contending), None)
    return best.source if best else None, len(came) - len(start)


def steered(steering: Steering) -> Pick:
    """As `confirm` does it."""

    def pick(at: Mapping[int, Mapping[Arm, Seen]], came: Sequence[str], spare: float) -> str | None:
        late = steering.late(at, came, epochs=EPOCHS, n_rows=N_ROWS, spare=spare)
        return late.source if late else None

    return pick


def by_history(steering: Steering) -> Pick:
    """What it would train next if it knew no result of this target."""

    def pick(at: Mapping[int, Mapping[Arm, Seen]], came: Sequence[str], spare: float) -> str | None:
        unknown = dict.fromkeys((*steering.strangers, *came), math.nan)
        took = {arm.source: one.seconds for stage in sorted(at) for arm, one in at[stage].items()}
        choice = next_source(steering.surrogate, unknown, took, left=spare)
        return choice.source if choice else None

    return pick


def at_random(names: Sequence[str], seed: tuple[int, int]) -> Pick:
    """Any other source that has not run, as long as a run of mean length to the same stage fits."""
    order = np.random.default_rng((*seed, 1)).permutation(len(names))

    def pick(at: Mapping[int, Mapping[Arm, Seen]], came: Sequence[str], spare: float) -> str | None:
        took = [one.seconds for one in at[max(at)].values()]
        rest = [names[place] for place in order if names[place] not in came]
        return rest[0] if rest and np.mean(took) <= spare else None

    return pick


def one_race(table: Table, setup: Setup, target: int, draw: int) -> Array:
    """Regret, share of the pool's seconds spent, number of late ones; by budget and kind of race."""
    rng, size, fit = np.random.default_rng((target, draw)), setup.n_ranked, setup.fit
    earlier, held = split(table, target)
    pool = columns(held, np.sort(rng.permutation(len(held.sources))[:size]))
    assert pool.seconds is not None
    accuracy, seconds, names = pool.accuracy[0], pool.seconds[0], pool.sources
    quantiles = ndtri((rankdata(accuracy) - 0.5) / size)
    scores = fit * quantiles + math.sqrt(1 - fit**2) * rng.normal(size=size)
    paces, lucks = PACE * np.exp(setup.spread * rng.normal(size=size)), rng.normal(size=size)
    told = [dict(zip(names, values.tolist(), strict=True)) for values in (accuracy, seconds, paces, lucks)]
    known = static_prior(earlier)
    surrogate = Surrogate.fit(earlier, sources=names)
    steering = Steering(surrogate, frozenset(name for name in names if name not in known))
    scored = replace(steering, surrogate=replace(surrogate, mean=surrogate.mean + WEIGHT * savage_scores(scores)))
    nobody: Pick = lambda *_: None  # noqa: E731
    kinds = [(TOP, nobody), (2 * TOP, nobody), (TOP, steered(steering)), (TOP, steered(scored)),
             (TOP, by_history(steering)), (TOP, at_random(names, (target, draw)))]  # fmt: skip
    order, drawn = [names[place] for place in np.argsort(-scores)], rng.random()
    found = np.empty((len(setup.budgets), len(kinds), 3))
    for (row, budget), (column, (top, pick)) in product(enumerate(setup.budgets), enumerate(kinds)):
        favourite = steering.favourite()
        start = list(dict.fromkeys([*order[:top], *([favourite] if favourite else [])]))
        rest = [name for name in order if name not in start]
        start.append(rest[int(drawn * len(rest))])
        training = Training(*told, budget=budget * seconds.sum())
        winner, n_late = raced(training, start, pick)
        regret = accuracy.max() - (told[0][winner] if winner else 0.0)
        found[row, column] = regret, training.spent() / seconds.sum(), n_late
    return found


def section(setup: Setup, found: Array) -> str:
    """One table: found is of shape (targets, draws, budgets, kinds, 3)."""
    body = []
    for (row, budget), (column, name) in product(enumerate(setup.budgets), enumerate(KINDS)):
        regret, spent, late = np.moveaxis(found[:, :, row, column], -1, 0)
        close = (regret <= CLOSE + 1e-12).mean()
        body.append([f"{100 * budget:.0f} %", name, f"{100 * spent.mean():.1f} %", f"{late.mean():.1f}",
                     f"{100 * close:.0f} %", f"{100 * regret.mean():.2f}", beside(found, row, column, 0)])  # fmt: skip
    heads = ["budget", "race", "spent", "late ones", f"within {CLOSE}", "mean regret", "regret beside fixed"]
    return f"\n## Scores that correlate {setup.fit:g} with accuracy\n\n" + table_of(heads, body)


def beside(found: Array, budget: int, kind: int, other: int) -> str:
    """A difference of regrets, paired, with a standard error over targets: those are what differs, not draws."""
    apart = 100 * (found[:, :, budget, kind, 0] - found[:, :, budget, other, 0]).mean(axis=1)
    return f"{apart.mean():+.2f} ± {apart.std(ddof=1) / math.sqrt(len(apart)):.2f}" if kind != other else ""


def others_section(all_found: Mapping[Setup, Array]) -> str:
    """What steering gains in all kinds of races, at the middle budget."""
    body = []
    for setup, found in all_found.items():
        steered, others = KINDS.index(STEERED), [KINDS.index(name) for name in (FIXED, WIDER, BLIND, DRAWN)]
        told = [f"{setup.fit:g}", f"{setup.n_ranked}", f"{setup.spread:g}", f"{100 * setup.budgets[1]:.0f} %"]
        body.append([*told, *(beside(found, 1, steered, other) for other in others)])
    heads = [
        "scores",
        "ranked",
        "spread of paces",
        "budget",
        *(f"beside {name}" for name in (FIXED, WIDER, BLIND, DRAWN)),
    ]
    return "\n## Regret of the steered race beside the others\n\nLess than 0 is better.\n\n" + table_of(heads, body)


def main(folder: Path) -> None:
    table = read_table(folder / "transfergraph_image_accuracy.csv")
    jobs = list(product(range(len(table.targets)), range(DRAWS)))
    main_setups = [Setup(fit) for fit in FITS]
    others = [Setup(fit, spread=0.5) for fit in FITS] + [Setup(fit, 100, budgets=(0.05, 0.1)) for fit in FITS]
    all_found: dict[Setup, Array] = {}
    with ProcessPoolExecutor(os.cpu_count(), initializer=threadpool_limits, initargs=(1,)) as pool:
        for setup in (*main_setups, *others):
            each = pool.map(partial(one_race, table, setup), *zip(*jobs, strict=True), chunksize=4)
            all_found[setup] = np.array(list(each)).reshape(len(table.targets), DRAWS, len(setup.budgets), -1, 3)
    sections = [section(setup, all_found[setup]) for setup in main_setups]
    (HERE / "steered.md").write_text(HEAD + others_section(all_found) + "".join(sections))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
