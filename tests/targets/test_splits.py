"""The split: laws that hold for every target, checked on generated ones."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from transferscope.errors import TargetError
from transferscope.targets import Split, Target, from_arrays, split_target
from transferscope.targets.splits import allocate

SEEDS = st.integers(0, 2**32 - 1)
CLASS_SIZES = st.lists(st.integers(2, 40), min_size=2, max_size=6)


def make(labels: list[int], groups: list[int] | None = None) -> Target:
    return from_arrays([f"text {row}" for row in range(len(labels))], labels, modality="text", groups=groups)


@st.composite
def targets(draw: st.DrawFn, grouped: bool = False) -> Target:
    sizes = draw(CLASS_SIZES)
    labels = draw(st.permutations([code for code, size in enumerate(sizes) for _ in range(size)]))
    n_groups = draw(st.integers(5, 12))
    groups = draw(st.lists(st.integers(0, n_groups - 1), min_size=len(labels), max_size=len(labels)))
    return make(labels, groups if grouped else None)


def parts(split: Split) -> list[np.ndarray]:
    return [split.train, split.validation, split.test]


def check_rows(split: Split, expected: set[int]) -> None:
    """Sorted, disjoint, and together exactly what is expected."""
    together = np.concatenate(parts(split))
    assert len(together) == len(set(together.tolist()))
    assert set(together.tolist()) == expected
    for rows in parts(split):
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()


@given(targets(), SEEDS)
@settings(deadline=None, max_examples=60)
def test_every_class_is_split_60_20_20_within_one(target: Target, seed: int) -> None:
    split = split_target(target, seed=seed)
    check_rows(split, set(range(len(target))))
    for code in range(len(target.classes)):
        size = (target.labels == code).sum()
        held = [np.count_nonzero(target.labels[rows] == code) for rows in parts(split)]
        assert held[0] >= 2
        assert held == pytest.approx([0.6 * size, 0.2 * size, 0.2 * size], abs=1)
    assert split.grouped is False


@given(targets(grouped=True), SEEDS)
@settings(deadline=None, max_examples=40)
def test_groups_never_cross(target: Target, seed: int) -> None:
    assert target.groups is not None
    try:
        split = split_target(target, seed=seed)
    except TargetError as error:
        assume(not re.search("groups kept together|5 groups|grouped split needs", str(error)))
        raise
    check_rows(split, set(range(len(target))))
    sides = [set(target.groups[rows].tolist()) for rows in parts(split)]
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
    assert np.bincount(target.labels[split.train], minlength=len(target.classes)).min() >= 2
    assert split.grouped is True


@given(targets(), SEEDS, st.data())
@settings(deadline=None, max_examples=60)
def test_a_cap_is_proportional_and_excluded_rows_stay_out(target: Target, seed: int, data: st.DataObject) -> None:
    counts = np.bincount(target.labels)
    spare = np.flatnonzero(counts[target.labels] > 2)
    excluded = data.draw(
        st.lists(st.sampled_from(spare.tolist()), max_size=3, unique=True) if len(spare) else st.just([])
    )
    left = np.bincount(np.delete(target.labels, excluded), minlength=len(counts))
    assume(left.min() >= 2)
    cap = data.draw(st.integers(2 * len(counts), len(target) + 5))
    split = split_target(target, seed=seed, max_samples=cap, exclude=excluded)
    used = np.concatenate(parts(split))
    assert not set(used.tolist()) & set(excluded)
    check_rows(split, set(used.tolist()))
    assert len(used) == min(cap, left.sum())
    assert np.bincount(target.labels[split.train]).min() >= 2


@given(st.lists(st.integers(2, 1000), min_size=1, max_size=8), st.data())
@settings(deadline=None)
def test_shares_add_up_and_are_proportional(sizes: list[int], data: st.DataObject) -> None:
    counts = np.array(sizes)
    total = data.draw(st.integers(2 * len(sizes), int(counts.sum())))
    shares = allocate(counts, total)
    assert shares.sum() == total
    assert (shares >= 2).all()
    assert (shares <= counts).all()
    order = np.argsort(counts, kind="stable")
    assert (np.diff(shares[order]) >= -1).all()
    if (counts * total / counts.sum() >= 2).all():
        assert np.abs(shares - counts * total / counts.sum()).max() < 1


def test_the_seed_decides_all() -> None:
    target = make([0, 1, 2] * 30)
    first = split_target(target, seed=3)
    assert split_target(target, seed=3).sha256 == first.sha256
    assert len({split_target(target, seed=seed).sha256 for seed in range(10)}) == 10
    before = np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    split_target(make([0, 1] * 30, [row % 6 for row in range(60)]))
    assert (np.random.get_state()[1] == before).all()  # type: ignore[index]


def test_the_hash_is_of_the_rows() -> None:
    def split(train: list[int], validation: list[int], test: list[int], seed: int = 0) -> str:
        rows = [np.array(part, dtype=np.int64) for part in (train, validation, test)]
        return Split(seed, *rows, grouped=False, max_samples=None).sha256

    assert split([0, 1], [2], [3]) == split([0, 1], [2], [3], seed=1)
    assert (
        len({split([0, 1], [2], [3]), split([0, 1, 2], [], [3]), split([0], [1, 2], [3]), split([0, 1], [3], [2])})
        == 4
    )


def test_excluding_rows_of_one_class_leaves_the_others_where_they_were() -> None:
    target = make([0] * 20 + [1] * 20)
    whole, less = split_target(target), split_target(target, exclude=[0, 5, 7])
    for one, other in zip(parts(whole), parts(less), strict=True):
        assert one[one >= 20].tolist() == other[other >= 20].tolist()


def test_a_class_in_one_group_goes_to_train() -> None:
    target = make([0] * 30 + [1] * 30, [row % 10 for row in range(30)] + [99] * 30)
    for seed in range(10):
        assert np.count_nonzero(target.labels[split_target(target, seed=seed).train]) == 30


def test_a_capped_grouped_split_keeps_groups_together() -> None:
    groups = [row // 4 for row in range(120)]
    target = make([row // 4 % 3 for row in range(120)], groups)
    split = split_target(target, max_samples=60)
    assert [len(rows) for rows in parts(split)] == pytest.approx([36, 12, 12], abs=6)
    sides = [set(np.array(groups)[rows].tolist()) for rows in parts(split)]
    assert not sides[0] & (sides[1] | sides[2])


def pairs_of_groups() -> Target:
    """Every two of five groups hold a class of their own, so holding any two out loses one."""
    pairs = [(a, b) for a in range(5) for b in range(a)]
    labels = [0] * 10 + [code for code in range(1, 11) for _ in range(2)]
    return make(labels, [row % 5 for row in range(10)] + [group for pair in pairs for group in pair])


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        (make([0, 0, 1, 1]), {"seed": -1}, "seed=-1; expected a whole number from 0 to 4294967295"),
        (make([0, 0, 1, 1]), {"seed": 2**32}, "seed=4294967296; expected"),
        (make([0, 0, 1, 1]), {"max_samples": 3}, "3 samples are too few for 2 classes; expected at least 4, two each"),
        (make([0, 0, 1, 1]), {"exclude": [2]}, r"class 1 has 1 usable sample\(s\), .*Repair the unreadable samples"),
        (make([0, 1] * 9, [r % 4 for r in range(18)]), {}, "4 groups; a grouped split needs at least 5. Collect more"),
        (make([0, 0, 1, 1, 2, 2], list(range(6))), {}, "the largest class has 2 samples; a grouped split needs"),
        (pairs_of_groups(), {}, r"groups kept together .* fewer than 2 train samples.* lies in 2 group\(s\) only"),
    ],
)
def test_splits_that_cannot_be_are_refused(target: Target, options: dict, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        split_target(target, **options)
