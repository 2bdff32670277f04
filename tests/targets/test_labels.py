"""Targets of several labels or numbers per sample: how labels may be given, what is refused, how they are split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transferscope.errors import TargetError, TransferScopeError, UnknownNameError
from transferscope.targets import Target, from_arrays, from_dataset, load_target, split_target

SETS = [{"a"}, {"a", "b"}, set(), {"b"}, {"a"}, {"b"}]


def texts(labels: Any, task: str, **options: Any) -> Target:
    return from_arrays([f"text {row}" for row in range(len(labels))], labels, modality="text", task=task, **options)


@pytest.mark.parametrize(
    "labels",
    [
        SETS,
        [sorted(one) for one in SETS],
        np.array([["a" in one, "b" in one] for one in SETS]),
        torch.tensor([["a" in one, "b" in one] for one in SETS]),
        [[int("a" in one), int("b" in one)] for one in SETS],
    ],
    ids=["sets", "lists", "bools", "tensor", "rows"],
)
def test_label_sets_in_every_form_are_the_same(labels: Any) -> None:
    target = texts(labels, "multilabel", columns=["a", "b"])
    assert target.labels.tolist() == [[1, 0], [1, 1], [0, 0], [0, 1], [1, 0], [0, 1]]
    assert target.labels.dtype == np.int64
    card = target.card()
    assert (card.task, card.metric, card.classes, card.class_counts) == ("multilabel", "ROC-AUC", ("a", "b"), (3, 3))
    assert target.content_sha256 == texts(SETS, "multilabel").content_sha256


def test_one_label_may_be_a_plain_column() -> None:
    for labels in ([0, 1, 1, 0], [np.int64(0), True, 1.0, False], np.array([0, 1, 1, 0])):
        assert texts(labels, "multilabel").labels.tolist() == [[0], [1], [1], [0]]


def test_numbers_in_every_form_are_the_same() -> None:
    pandas = pytest.importorskip("pandas")
    rows = np.arange(12.0)
    one = texts(rows, "regression")
    assert one.labels.shape == (12, 1)
    for other in (rows.tolist(), torch.tensor(rows), rows[:, None], rows.astype(int)):
        assert texts(other, "regression").content_sha256 == one.content_sha256
    frame = pandas.DataFrame({"x": rows, "y": -rows})
    two = texts(frame, "regression")
    assert two.classes == ("x", "y")
    card = two.card()
    assert (card.task, card.metric, card.class_counts) == ("regression", "R²", ())
    assert card.ranges == ((0.0, 11.0), (-11.0, 0.0))
    assert two.content_sha256 != one.content_sha256 != texts([0, 1] * 6, "classification").content_sha256


@pytest.mark.parametrize(
    ("labels", "task", "options", "message"),
    [
        ([1.0, 2.0, np.nan, 3.0], "regression", {}, "row 2 has a NaN or infinite target"),
        ([1.0, 1.0, 1.0], "regression", {}, "target column 'value' is 1 for all samples"),
        (["a", "b"], "regression", {}, "labels are no table of numbers"),
        ([1j, 2j, 3j], "regression", {}, r"no table of numbers \(complex numbers\); expected float numbers"),
        (np.zeros((3, 2, 2)), "regression", {}, r"labels are of shape \(3, 2, 2\)"),
        ([0, None, 1, 1], "multilabel", {}, "expected 0 or 1"),
        ([1.0, 2.0, 3.0], "regression", {"columns": ["x", "y"]}, "2 names for 1 label columns"),
        ([[1, 2], [3, 4], [4, 3]], "regression", {"columns": ["x", "x"]}, "label column 'x' is named twice"),
        ([1e300, 2e300, 0.0], "regression", {}, "goes from 0 to 2e.300, whose squares are no floating numbers"),
        ([1e-300, 2e-300, 0.0], "regression", {}, "expected a range of ordinary size"),
        ([], "regression", {}, "no samples found; expected float numbers"),
        ([[], [], []], "multilabel", {}, "no sample has any label; expected at least 2 samples with each"),
        ([[1, 2], [0, 1], [1, 0]], "multilabel", {}, "'label 1' holds 2; expected 0 or 1 .* task=.regression."),
        ([{"a"}, {"a", "b"}, {"a", "b"}, {"a"}], "multilabel", {}, "label 'a' is set in 4 of 4 samples"),
        ([["a"], {"b": 1}, ["b"]], "multilabel", {}, "row 1 has labels of type dict"),
        ([{"a"}, {"a"}, {"b"}, {"b"}, {"a", "c"}], "multilabel", {}, "label 'c' is set in 1 of 5 samples"),
        ([{"a"}, {"a"}, {"a", "b"}, {"b"}], "multilabel", {"columns": ["a"]}, "row 2 has label 'b'"),
        ([["a"], "ab", ["b"]], "multilabel", {}, "row 1 has labels of type str"),
        ([{"a"}, 3, {"b"}], "multilabel", {}, "row 1 has labels of type int|no table of numbers"),
        ([1, 2, 1, 2], "classification", {"columns": ["a"]}, "columns are of multi-label or regression targets"),
        ([[1, 0], [0, 1]], "classification", {}, 'For several labels or numbers per sample give task="multilabel"'),
    ],
)
def test_what_cannot_be_learned_is_refused(labels: Any, task: str, options: dict, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        texts(labels, task, **options)


def test_unknown_task_and_other_lengths_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="no task named 'regresion'"):
        texts([1.0, 2.0], "regresion")
    for task, labels in (("regression", [1.0, 2.0]), ("multilabel", [[0, 1], [1, 0]]), ("multilabel", [{"a"}, {"b"}])):
        with pytest.raises(TargetError, match="3 samples but 2 labels"):
            from_arrays(["a", "b", "c"], labels, modality="text", task=task)  # type: ignore[arg-type]


@given(st.integers(0, 2**32 - 1), st.integers(20, 120), st.integers(1, 4))
@settings(deadline=None, max_examples=40)
def test_numbers_are_spread_over_the_parts(seed: int, n: int, n_columns: int) -> None:
    target = texts(np.random.default_rng(seed).exponential(size=(n, n_columns)), "regression")
    sizes = np.bincount(target.strata)
    assert sizes.max() - sizes.min() <= 1
    assert sizes.min() >= 5
    split = split_target(target, seed=seed)
    for rows, share in ((split.train, 0.6), (split.validation, 0.2), (split.test, 0.2)):
        held = np.bincount(target.strata[rows], minlength=len(sizes))
        assert held == pytest.approx(share * sizes, abs=1)
    if n_columns == 1:  # bins are ranges of the number
        order = np.argsort(target.labels[:, 0], kind="stable")
        assert (np.diff(target.strata[order]) >= 0).all()


@given(st.integers(0, 2**32 - 1), st.integers(40, 120), st.integers(1, 5))
@settings(deadline=None, max_examples=40)
def test_a_rare_label_is_spread_over_the_parts(seed: int, n: int, n_columns: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.random((n, n_columns)) < 0.5
    labels[:, 0] = np.arange(n) < 10
    target = texts(labels, "multilabel")
    split = split_target(target, seed=seed)
    rarest = int(np.minimum(labels.sum(0), n - labels.sum(0)).argmin())
    odd = labels[:, rarest] if labels[:, rarest].mean() <= 0.5 else ~labels[:, rarest]
    for rows, share in ((split.train, 0.6), (split.validation, 0.2), (split.test, 0.2)):
        assert odd[rows].sum() == pytest.approx(share * odd.sum(), abs=1)


def test_many_rare_labels_leave_rows_to_validate_and_to_test() -> None:
    labels = np.zeros((200, 60), dtype=int)
    rng = np.random.default_rng(0)
    for column in labels.T:
        column[rng.choice(200, 3, replace=False)] = 1
    split = split_target(texts(labels, "multilabel"))
    assert labels[split.train].any(axis=0).all()
    assert len(split.train) <= 150
    assert min(len(split.validation), len(split.test)) >= 25
    assert abs(len(split.validation) - len(split.test)) <= 1


def test_numbers_need_samples_to_learn_from() -> None:
    with pytest.raises(TargetError, match="3 train samples; expected at least 4"):
        split_target(texts([1.0, 2.0, 3.0, 4.0, 5.0], "regression"))
    assert len(split_target(texts(np.arange(8.0), "regression")).train) >= 4


def test_the_rarest_label_is_dealt_to_training_first() -> None:
    labels = np.zeros((200, 2), dtype=int)
    labels[:100, 0] = 1
    labels[[0, 150], 1] = 1
    target = texts(labels, "multilabel", columns=["common", "rare"])
    assert target.labels[split_target(target).train][:, 1].sum() == 2


def test_groups_that_keep_a_label_to_themselves_are_named() -> None:
    groups = np.arange(200) // 40
    labels = (groups[:, None] == np.arange(5)).astype(int)  # whatever is held out, two labels are unknown in training
    samples = [f"t{k}" for k in range(200)]
    apart = from_arrays(samples, labels, modality="text", task="multilabel", groups=groups)
    with pytest.raises(TargetError, match=r"'label \d' is the same in all 120 train samples"):
        split_target(apart)
    rare = np.stack([np.arange(200) % 2, np.isin(np.arange(200), [0, 150])], axis=1)
    found = from_arrays(samples, rare, modality="text", task="multilabel", groups=groups)
    for seed in range(10):  # some pair of folds leaves one of the two to train
        split = split_target(found, seed=seed)
        assert rare[split.train][:, 1].any()


def test_a_dataset_of_numbers() -> None:
    class Squares(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 10

        def __getitem__(self, row: int) -> tuple[str, float]:
            return f"number {row}", row**2 / 2

    target = from_dataset(Squares(), modality="text", task="regression", columns=["half a square"])
    assert target.labels[:, 0].tolist() == [row**2 / 2 for row in range(10)]
    assert target.classes == ("half a square",)


TABLE = "text,tags,x,y\na,cat; dog,1.5,0\nb,dog,2,1\nc,,3,0\nd,cat;cat,-4e1,1\n"


def load(folder: Path, query: str, content: str = TABLE, scheme: str = "csv") -> Target:
    path = folder / f"table.{scheme}"
    path.write_text(content)
    return load_target(f"{scheme}:{path}?text=text&{query}")


def test_tables_of_labels_and_numbers(tmp_path: Path) -> None:
    tags = load(tmp_path, "label=tags&task=multilabel")
    assert tags.classes == ("cat", "dog")
    assert tags.labels.tolist() == [[1, 1], [0, 1], [0, 0], [1, 0]]
    assert load(tmp_path, "label=tags&task=multilabel&sep=|", TABLE.replace(";", "|")).labels.tolist() == (
        tags.labels.tolist()
    )
    array = '{"text": "%s", "tags": %s}'
    rows = [("a", '["cat", "dog"]'), ("b", '["dog"]'), ("c", "[]"), ("d", '["cat"]')]
    jsonl = "\n".join(array % row for row in rows)
    assert load(tmp_path, "label=tags&task=multilabel", jsonl, "jsonl").labels.tolist() == tags.labels.tolist()
    both = load(tmp_path, "label=y,z&task=multilabel", "text,y,z\na,1,0\nb,1,1\nc,0,0\nd,0,1\n")
    assert both.classes == ("y", "z")
    assert both.labels.tolist() == [[1, 0], [1, 1], [0, 0], [0, 1]]
    numbers = load(tmp_path, "label=x,y&task=regression")
    assert numbers.classes == ("x", "y")
    assert numbers.labels.tolist() == [[1.5, 0], [2, 1], [3, 0], [-40, 1]]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("label=tags&task=regression", r"column 'tags' is empty in 1 row\(s\) \(line 4\)"),
        ("label=text&task=regression", r"column 'text' is no number in 4 row\(s\)"),
        ("label=x,y&task=multilabel", r"column 'x' holds 1.5; expected 0 or 1"),
        ("label=y,text&task=multilabel", r"column 'text' is no number in 4 row\(s\) .* Write 0 or 1"),
        ("label=tags&task=multilabel&sep=", "sep=''; expected what stands between names"),
        ("label=x&task=regression&sep=;", "sep=';'; expected what stands between names .* Leave it out elsewhere"),
        ("label=x&task=regression&task=multilabel", "option 'task' is given twice; give it once"),
        ("label=x,z&task=regression", "no column of .* named 'z'"),
        ("label=x&task=numbers", "option task='numbers' is not valid .expected one of classification, multilabel"),
    ],
)
def test_bad_tables_of_labels_are_refused(tmp_path: Path, query: str, message: str) -> None:
    with pytest.raises(TransferScopeError, match=message):
        load(tmp_path, query)


@pytest.mark.parametrize("cell", ['{"cat": 1}', '["cat", ["dog"]]'])
def test_names_within_names_are_refused(tmp_path: Path, cell: str) -> None:
    jsonl = f'{{"text": "a", "tags": ["cat"]}}\n{{"text": "b", "tags": {cell}}}'
    with pytest.raises(TargetError, match=r"column 'tags' holds more than names in 1 row\(s\) \(line 2\)"):
        load(tmp_path, "label=tags&task=multilabel", jsonl, "jsonl")


def test_packaged_traits_are_true_of_the_digits() -> None:
    digits, traits = load_target("package:digits?limit=100"), load_target("package:digit-traits")
    assert traits.task == "multilabel"
    assert len(traits) == 1797
    assert len(digits) == 100
    limited = load_target("package:digit-traits?limit=100")
    assert len(limited) == 100
    assert limited.classes == traits.classes == ("closed loop", "even", "prime")
    known = {traits.digests[row]: traits.labels[row].tolist() for row in range(len(traits))}
    assert all(known[limited.digests[row]] == limited.labels[row].tolist() for row in range(100))


def test_too_small_a_limit_speaks_of_no_classes_where_there_are_none() -> None:
    with pytest.raises(TargetError, match="3 samples are too few for 4 groups of alike labels"):
        load_target("package:digit-traits?limit=3")
