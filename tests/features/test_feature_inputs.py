"""What any scorer says of arrays it cannot use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import pytest
import torch

from transferscope.errors import ScoreError, UnknownNameError
from transferscope.features.arrays import Checked, check_inputs, storage_eps

X = np.arange(12.0).reshape(6, 2)
Y = [0, 0, 0, 1, 1, 1]


def with_holes() -> np.ndarray:
    holed = X.copy()
    holed[2, 1], holed[4, 0], holed[4, 1] = np.nan, np.inf, np.nan
    return holed


@pytest.mark.parametrize(
    ("features", "labels", "says"),
    [
        (X[:, 0], Y, r"features are of shape \(6,\); expected \(n_samples, n_columns\)"),
        (X[None], Y, r"features are of shape \(1, 6, 2\); .* Pool tokens or pixels"),
        (X[:0], [], r"features are of shape \(0, 2\)"),
        (X.astype(complex), Y, "features are of dtype complex128; expected real numbers"),
        (np.full((6, 2), "a"), Y, "features are of dtype <U1"),
        ([[1.0, 2.0], [3.0]], Y, "rows of features are of unequal lengths"),
        (with_holes(), Y, r"hold 2 NaN and 1 infinite values in 2 rows, the first at row 2; .* Drop those rows"),
        (X, Y[:5], "6 rows of features but 5 labels; give one label per row"),
        (X, [7] * 6, "all 6 labels are of one class, 7; expected at least 2 classes"),
        (X, ["a", None, "b", None, "a", "b"], r"2 labels are missing \(None or NaN\), the first at row 1"),
        (X, [0, 1, 0, 1, float("nan"), 0], "1 labels are missing"),
        (X, pandas.Series(["a", "b", pandas.NA, "a", "b", "b"]), "1 labels are missing"),
        (X, [0, 1, 0, 1, 2.5, 0], "labels hold fractions such as 2.5; expected classes"),
        (X, [[1], [2], {3}, [4], [5], [6]], "the label at row 0 is a list; expected one hashable value"),
        (X, "abcdef", "labels are a str; expected a sequence"),
        (X, 3, "labels are a int; expected a sequence"),
        (X, np.array(Y)[:, None] + 5.0, r"labels are of shape \(6, 1\); expected one class per row"),
    ],
)
def test_refusals_of_a_classifier(features, labels, says: str) -> None:
    with pytest.raises(ScoreError, match=f"some_scorer: .*{says}"):
        check_inputs(features, labels, caller="some_scorer", tasks=("classification",))


def test_refusals_of_targets() -> None:
    with pytest.raises(ScoreError, match="6 rows of features but 5 rows of targets"):
        check_inputs(X, X[:5], caller="some_scorer")
    with pytest.raises(ScoreError, match="targets hold 0 NaN and 6 infinite values"):
        check_inputs(X, np.full(6, np.inf), caller="some_scorer")
    with pytest.raises(ScoreError, match="is not defined for multilabel; it is for classification, regression"):
        check_inputs(X, np.eye(6, dtype=int), caller="some_scorer", tasks=("classification", "regression"))
    with pytest.raises(UnknownNameError, match="no task named 'regresion'. Did you mean 'regression'"):
        check_inputs(X, X, caller="some_scorer", task="regresion")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (Y, "classification"),
        (np.array(list("aabbcc")), "classification"),
        (torch.tensor(Y), "classification"),
        ([(0, 1)] * 3 + [(1, 0)] * 3, "classification"),
        (pandas.Series(list("aabbcc"), dtype="category"), "classification"),
        ([0.5] * 3 + [1.5] * 3, "regression"),
        (torch.linspace(0, 1, 6, dtype=torch.bfloat16), "regression"),
        (X, "regression"),
        (pandas.DataFrame(X), "regression"),
        (np.eye(6, dtype=int), "multilabel"),
        ([[0, 1], [1, 1], [0, 0], [1, 0], [1, 1], [0, 1]], "multilabel"),
    ],
)
def test_task_is_told_from_the_labels(labels, task: str) -> None:
    assert check_inputs(X, labels, caller="some_scorer")[1].task == task


@pytest.mark.parametrize(
    "labels",
    [
        np.array([5, 5, 9, 9, 40, 40]),
        ["ant", "ant", "bee", "bee", "cat", "cat"],
        [b"a", b"a", b"b", b"b", b"c", b"c"],
        [(0, 1), (0, 1), (0, 2), (0, 2), (1, 0), (1, 0)],
        [1, 1, "one", "one", (1,), (1,)],
        [torch.tensor(v) for v in (1, 1, 2, 2, 3, 3)],
        [np.int8(v) for v in (1, 1, 2, 2, 3, 3)],
        torch.tensor([1.0, 1.0, 2.0, 2.0, 3.0, 3.0]),
        np.array([True, True, False, False, False, False]),
    ],
    ids=["gaps", "text", "bytes", "tuples", "mixed", "tensors", "numpy scalars", "whole floats", "bool"],
)
def test_labels_of_any_kind_become_dense_codes(labels) -> None:
    _, targets = check_inputs(X, labels, caller="some_scorer", task="classification")
    assert targets.codes is not None
    codes, classes = targets.codes, targets.classes
    assert sorted(set(codes.tolist())) == list(range(len(classes)))
    assert codes[0] == codes[1]
    assert [classes[code] for code in codes] == [v.item() if hasattr(v, "item") else v for v in labels]


def test_storage_types() -> None:
    single, double = np.finfo(np.float32).eps, np.finfo(np.float64).eps
    for dtype in (np.float64, np.int32, np.uint8, bool):
        assert storage_eps(np.zeros(1, dtype=dtype)) == double
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert storage_eps(torch.zeros(1, dtype=dtype)) == single
    assert storage_eps([[1.0]]) == double


def test_checked_features_are_not_checked_again_and_keep_their_precision() -> None:
    single = np.arange(12, dtype=np.float32).reshape(6, 2)
    values, _ = check_inputs(single, [0, 1] * 3, caller="test")
    checked = Checked.of(values, storage_eps(single))
    again, targets = check_inputs(checked, [0, 1] * 3, caller="test")
    assert again is not checked
    assert type(again) is np.ndarray
    assert np.shares_memory(again, values)
    assert storage_eps(checked) == storage_eps(checked[2:]) == float(np.finfo(np.float32).eps)
    assert targets.classes == (0, 1)
    with pytest.raises(ScoreError, match=r"test: features are of shape \(6,\)"):
        check_inputs(checked[:, 0], [0, 1] * 3, caller="test")
    with pytest.raises(ScoreError, match="test: 6 rows of features but 5 labels"):
        check_inputs(checked, [0, 1, 0, 1, 0], caller="test")


@pytest.mark.parametrize(
    "labels",
    [
        np.array([3, -1, 3, 7], dtype=np.int16), np.array([True, False, True, True]), np.array(["b", "a", "b", "c"]),
        np.array([3, 1, 3, 7], dtype=object), [3, 1, 3, 7], np.array([3.0, 1.0, 3.0, 7.0]),
    ],
)  # fmt: skip
def test_codes_are_places_among_the_sorted_classes(labels: Any) -> None:
    _, targets = check_inputs(np.zeros((4, 1)), labels, caller="test", task="classification")
    assert targets.codes is not None
    assert targets.codes.dtype == np.int64
    assert targets.classes == tuple(sorted(set(labels)))
    assert [targets.classes[code] for code in targets.codes] == list(labels)
    assert all(type(name).__module__ == "builtins" for name in targets.classes)
