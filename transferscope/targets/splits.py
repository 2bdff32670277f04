"""Train, validation and test rows of a target: stratified, seeded, and never across a group."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from ..errors import TargetError
from ..tasks import Task
from .target import Target

TRAIN, VALIDATION, TEST = 0, 1, 2
DEAL = (TRAIN, TRAIN, TEST, VALIDATION, TRAIN)  # two for training first: a class of two can be learned at all
FOLDS = 5  # of which two are held out; a class in few groups may need others in train than the first three
HELD_OUT = ((3, 4), *(pair for pair in permutations(range(FOLDS), 2) if pair != (3, 4)))
FEWEST_NUMBERS = 4  # train rows: leaving one of two out, every source has R squared -3
_SEEDS = 2**32  # scikit-learn takes no larger ones


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of a target, each list sorted.

    Attributes
    ----------
    seed : int
    train, validation, test : ndarray of int64
        Disjoint. Scores and training see train rows only.
    grouped : bool
        Whether rows of one group were kept on one side.
    max_samples : int or None
        The cap that was asked for.
    """

    seed: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    grouped: bool
    max_samples: int | None

    @property
    def sha256(self) -> str:
        """Of the three row lists: equal exactly when the rows are."""
        state = hashlib.sha256()
        for rows in (self.train, self.validation, self.test):
            state.update(len(rows).to_bytes(8, "little") + rows.astype("<i8").tobytes())
        return state.hexdigest()


def split_target(
    target: Target, *, seed: int = 0, max_samples: int | None = None, exclude: Sequence[int] = ()
) -> Split:
    """Divide a target into 60 % train, 20 % validation and 20 % test, stratum by stratum: class by class.

    Without groups each class is shuffled and dealt in the repeating pattern `DEAL`, so every class is within
    one sample of its 60/20/20, and has at least two train rows. With groups, scikit-learn's
    `StratifiedGroupKFold` makes five folds of whole groups: three to train, one each to validate and test (the
    last two, unless that leaves a class without two train rows). For several labels a sample, and for numbers, see
    `Target.strata`.

    Parameters
    ----------
    target : Target
    seed : int, default=0
        In [0, 2**32).
    max_samples : int, optional
        Draw at most this many rows first, in proportion to the classes but at least two of each.
    exclude : sequence of int
        Rows that must not be used, such as unreadable ones.

    Returns
    -------
    Split

    Raises
    ------
    TargetError
        If `seed` is out of range, `max_samples` is below two per class, a class has fewer than two rows left,
        there are fewer than five groups, grouping leaves a class without two train rows, a label or number does not
        vary among the train rows, or there are fewer than `FEWEST_NUMBERS` of them for numbers.
    """
    if not 0 <= seed < _SEEDS:
        raise TargetError(f"seed={seed}; expected a whole number from 0 to {_SEEDS - 1}.")
    rows_of_class = _shuffled(target, seed, exclude)
    counts = np.array([len(rows) for rows in rows_of_class])
    if max_samples is not None and max_samples < counts.sum():
        shares = allocate(counts, max_samples, target.task)
        rows_of_class = [rows[:share] for rows, share in zip(rows_of_class, shares, strict=True)]
    if target.groups is None:
        deal = _deal_by_deficit if target.task == "multilabel" else _deal_by_pattern
        rows, part = np.concatenate(rows_of_class), deal([len(rows) for rows in rows_of_class])
    else:
        rows = np.sort(np.concatenate(rows_of_class))
        part = _deal_groups(target, rows, seed)
    train, validation, test = (np.sort(rows[part == which]) for which in (TRAIN, VALIDATION, TEST))
    _check_columns(target, train)
    return Split(seed, train, validation, test, target.groups is not None, max_samples)


def _deal_by_pattern(sizes: Sequence[int]) -> np.ndarray:
    """Part of each row of strata of these sizes, stratum by stratum."""
    return np.concatenate([np.resize(DEAL, size) for size in sizes])


def _deal_by_deficit(sizes: Sequence[int]) -> np.ndarray:
    """The same where many strata are tiny, as of rare labels: two of each to training, the rest where most is lacking.

    By the pattern, strata of three would leave nothing to validate.
    """
    wanted, given = np.bincount(DEAL) / len(DEAL), np.zeros(3)
    parts = []
    for size in sizes:
        for place in range(size):
            part = TRAIN if place < 2 else int(np.argmax(wanted * (given.sum() + 1) - given))
            given[part] += 1
            parts.append(part)
    return np.array(parts)


def allocate(counts: np.ndarray, total: int, task: Task = "classification") -> np.ndarray:
    """Shares of `total` in proportion to `counts`, at least 2 each, by largest remainder.

    Raises
    ------
    TargetError
        If `total` is below two per class.
    """
    if total < 2 * len(counts):
        kinds = "classes" if task == "classification" else "groups of alike labels"
        raise TargetError(
            f"{total} samples are too few for {len(counts)} {kinds}; expected at least {2 * len(counts)}, two each."
        )
    small = np.zeros(len(counts), dtype=bool)
    while True:  # a class lifted to 2 takes from the others, which may push another below 2
        rest = total - 2 * small.sum()
        exact = np.where(small, 2.0, counts * rest / counts[~small].sum())
        if not (exact < 2).any():
            break
        small |= exact < 2
    shares = np.floor(exact).astype(int)
    largest = np.argsort(shares - exact, kind="stable")[: total - shares.sum()]
    shares[largest] += 1
    return shares


def _shuffled(target: Target, seed: int, exclude: Sequence[int]) -> list[np.ndarray]:
    """Usable rows of each class in an order that depends on the seed and that class alone."""
    usable = np.ones(len(target), dtype=bool)
    usable[np.asarray(exclude, dtype=np.int64)] = False
    found = []
    for code in range(int(target.strata.max()) + 1):
        rows = np.random.default_rng((seed, code)).permutation(np.flatnonzero(target.strata == code))
        rows = rows[usable[rows]].astype(np.int64)
        if len(rows) < 2 and target.task == "classification":
            raise TargetError(
                f"{target.name}: class {target.classes[code]!r} has {len(rows)} usable sample(s), the others being "
                "excluded; expected at least 2. Repair the unreadable samples or drop the class."
            )
        found.append(rows)
    return found


def _deal_groups(target: Target, rows: np.ndarray, seed: int) -> np.ndarray:
    """Part of each row, whole groups together."""
    from sklearn.model_selection import StratifiedGroupKFold

    assert target.groups is not None
    labels, groups = target.strata[rows], target.groups[rows]
    if (n_groups := len(np.unique(groups))) < FOLDS:
        raise TargetError(
            f"{target.name}: {n_groups} groups; a grouped split needs at least {FOLDS}. Collect more groups, "
            "or leave the group option out if samples of one group do not resemble each other."
        )
    if (most := np.bincount(labels).max()) < FOLDS:
        raise TargetError(
            f"{target.name}: the largest class has {most} samples; a grouped split needs at least {FOLDS}."
        )
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    fold = np.empty(len(rows), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")  # checked below, by its consequence
        for number, (_, held) in enumerate(folds.split(rows, labels, groups)):
            fold[held] = number
    if target.task != "classification":
        dealt = [np.select([fold == one, fold == other], [VALIDATION, TEST], TRAIN) for one, other in HELD_OUT]
        return next((part for part in dealt if np.ptp(target.labels[rows[part == TRAIN]], axis=0).all()), dealt[0])
    counts = np.array([np.bincount(labels[fold == f], minlength=len(target.classes)) for f in range(FOLDS)])
    for validation, test in HELD_OUT:
        if (counts.sum(axis=0) - counts[validation] - counts[test]).min() >= 2:
            return np.select([fold == validation, fold == test], [VALIDATION, TEST], TRAIN)
    in_groups = [len(np.unique(groups[labels == code])) for code in range(len(target.classes))]
    rarest = int(np.argmin(in_groups))
    raise TargetError(
        f"{target.name}: with groups kept together some class has fewer than 2 train samples, whichever folds are "
        f"held out; class {target.classes[rarest]!r} lies in {in_groups[rarest]} group(s) only. Add groups of it, "
        "drop it, or try another seed."
    )


def _check_columns(target: Target, train: np.ndarray) -> None:
    """Nothing is learned of a label that all train rows have, or none, nor of so few numbers that each decides."""
    if target.task == "classification" or not len(train):
        return
    if target.task == "regression" and len(train) < FEWEST_NUMBERS:
        raise TargetError(
            f"{target.name}: {len(train)} train samples; expected at least {FEWEST_NUMBERS} to predict numbers. "
            "Add samples."
        )
    constant = np.flatnonzero(np.ptp(target.labels[train], axis=0) == 0)
    if len(constant):
        raise TargetError(
            f"{target.name}: {target.classes[constant[0]]!r} is the same in all {len(train)} train samples; expected "
            "samples that differ in it. Add some, drop it, or try another seed."
        )
