"""Results of one target, gathered from whatever was given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..advices import Advice
from ..errors import ResultError
from ..results import (
    Advised,
    Agreement,
    Confirmed,
    Evaluation,
    Failure,
    Ranking,
    Result,
    SplitCard,
    TargetCard,
    Truth,
    is_control,
    load_result,
)


@dataclass(frozen=True)
class Study:
    """One target on one split: its ranking, what training measured, how the two agree, and the advice."""

    target: TargetCard
    split: SplitCard
    ranking: Ranking | None = None
    truths: tuple[Truth, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    advised: tuple[Advised, ...] = ()

    @property
    def confirmed(self) -> tuple[Confirmed, ...]:
        """Measured accuracies of all truths, highest first, each once."""
        rows: list[Confirmed] = []
        for truth in self.truths:
            rows += [row for row in truth.confirmed if row not in rows]
        return tuple(sorted(rows, key=lambda row: -row.accuracy))

    def advice_on(self, source: str) -> Advice | None:
        """How to transfer a source, where it was asked."""
        return next((one for made in self.advised for one in made.advice if one.source == source), None)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Sources that could not be ranked, trained or advised on."""
        ranked = self.ranking.failures if self.ranking else ()
        trained = [failure for truth in self.truths for failure in truth.failures]
        return tuple(dict.fromkeys([*ranked, *trained, *(f for made in self.advised for f in made.failures)]))

    @property
    def controls(self) -> frozenset[str]:
        """Names of the random twins and the raw input: they are there to be beaten, not to be chosen."""
        if self.ranking:
            return frozenset(c.source for c in self.ranking.candidates if c.control)
        # without a ranking only the names are left to tell
        names = {row.source for row in self.confirmed}
        return frozenset(name for name in names if is_control(name))


def gather(results: Result | str | Path | Iterable[Result | str | Path]) -> tuple[list[Study], list[Evaluation]]:
    """Put rankings, truths and agreements of one target and split together, in the order given.

    Raises
    ------
    ResultError
        If there is nothing to report, or an item is no result.
    """
    items = [results] if isinstance(results, Ranking | Truth | Evaluation | Advised | str | Path) else list(results)
    if not items:
        raise ResultError("no results were given; pass rankings, truths and evaluations, or paths to their files.")
    loaded: list[Result] = []
    for item in items:
        found = load_result(item) if isinstance(item, str | Path) else item
        if not isinstance(found, Ranking | Truth | Evaluation | Advised):
            raise ResultError(
                f"found a {type(found).__name__} among the results; expected rankings, truths, evaluations and "
                "advice, or paths to their JSON files."
            )
        if found not in loaded:
            loaded.append(found)
    rankings = [item for item in loaded if isinstance(item, Ranking)]
    truths = [item for item in loaded if isinstance(item, Truth)]
    evaluations = [item for item in loaded if isinstance(item, Evaluation)]
    advised = [item for item in loaded if isinstance(item, Advised)]
    agreements = [row for evaluation in evaluations for row in evaluation.agreements]
    owners: list[Ranking | Truth | Advised] = list(rankings)
    strangers: list[Truth | Advised] = [*truths, *advised]
    for stranger in strangers:  # one that belongs to no ranking here opens a study of its own
        if not any(_same_data(stranger, owner) for owner in owners):
            owners.append(stranger)
    studies = [
        Study(
            owner.target,
            owner.split,
            owner if isinstance(owner, Ranking) else None,
            tuple(truth for truth in truths if _same_data(truth, owner)),
            tuple(row for row in agreements if row.target == owner.target.name),
            tuple(one for one in advised if _same_data(one, owner)),
        )
        for owner in owners
    ]
    return studies, evaluations


def _same_data(one: Ranking | Truth | Advised, other: Ranking | Truth | Advised) -> bool:
    return (one.target.content_sha256, one.split.sha256) == (other.target.content_sha256, other.split.sha256)
