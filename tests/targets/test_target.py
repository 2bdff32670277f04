"""What every loader relies on: labels and groups are checked and coded, and the card says what there is."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch

from transferscope.errors import TargetError, TransferScopeError, UnknownNameError
from transferscope.registry import Spec
from transferscope.targets import TARGETS, Target, from_arrays, load_target

TEXTS = ["one", "two", "three", "four"]


def of_labels(labels: Any, groups: Any = None) -> Target:
    return from_arrays(TEXTS, labels, modality="text", groups=groups)


@pytest.mark.parametrize(
    ("labels", "classes", "codes"),
    [
        (["b", "b", "a", "a"], ("a", "b"), [1, 1, 0, 0]),
        ([("x", 1), ("x", 1), ("x", 0), ("x", 0)], (("x", 0), ("x", 1)), [1, 1, 0, 0]),
        ([1, 1, "1", "1"], (1, "1"), [0, 0, 1, 1]),
        ([2, 2, 1.5, 1.5], (1.5, 2), [1, 1, 0, 0]),
        ([True, False, True, False], (False, True), [1, 0, 1, 0]),
        ([b"a", b"a", "a", "a"], (b"a", "a"), [0, 0, 1, 1]),
        (["\n", "\n", '"', '"'], ("\n", '"'), [0, 0, 1, 1]),
        (np.array([7, 7, 3, 3]), (3, 7), [1, 1, 0, 0]),
        (torch.tensor([7, 7, 3, 3]), (3, 7), [1, 1, 0, 0]),
        ([torch.tensor(0), torch.tensor(0), torch.tensor(1), torch.tensor(1)], (0, 1), [0, 0, 1, 1]),
    ],
)
def test_labels_of_any_hashable_kind(labels: Any, classes: tuple[Any, ...], codes: list[int]) -> None:
    target = of_labels(labels)
    assert target.classes == classes
    assert [type(name) for name in target.classes] == [type(name) for name in classes]
    assert target.labels.dtype == np.int64
    assert target.labels.tolist() == codes


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", None, "b", "b"], r"row 1 has no label \(1 in all\)"),
        ([0.0, 1.0, float("nan"), float("nan")], r"row 2 has no label \(2 in all\)"),
        ([["a"], ["a"], ["b"], ["b"]], "row 0 has a label of type list; expected one value per sample"),
        ([([],), 1, 1, 2], "row 0 has a label of type tuple"),
        (np.eye(4), "row 0 has a label of type ndarray"),
        (torch.eye(4), "row 0 has a label of type Tensor"),
        ([1, 1, True, True], "labels mix True/False with numbers"),
        (["a", "a", "b"], "4 samples but 3 labels; give one label per sample"),
        (["a", "a", "a", "a"], "all 4 samples are of one class, 'a'"),
        (["a", "a", "a", "b"], r"1 class\(es\) have one sample only: 'b'"),
        ("aabb", "labels are a str; expected a sequence"),
        (7, "labels are a int; expected a sequence"),
    ],
)
def test_bad_labels_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        of_labels(labels)


def test_missing_value_of_pandas_is_refused() -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(TargetError, match="row 1 has no label"):
        of_labels(pandas.Series(["a", pandas.NA, "b", "b"]))


def test_groups_are_coded_and_checked() -> None:
    assert of_labels([0, 0, 1, 1], groups=["z", "y", "z", "y"]).groups.tolist() == [1, 0, 1, 0]
    with pytest.raises(TargetError, match="row 1 has no group"):
        of_labels([0, 0, 1, 1], groups=["z", None, "z", "y"])
    with pytest.raises(TargetError, match="4 samples but 2 groups; give one group per sample"):
        of_labels([0, 0, 1, 1], groups=["z", "y"])


def test_card_says_what_there_is() -> None:
    card = of_labels(["b", "a", "b", "a"], groups=[1, 1, 2, 3]).card()
    assert (card.name, card.modality, card.n_samples, card.n_groups) == ("arrays", "text", 4, 3)
    assert card.classes == ("a", "b")
    assert card.class_counts == (2, 2)
    assert len(card.content_sha256) == 64
    assert of_labels([0, 0, 1, 1]).card().n_groups is None


def test_card_tells_classes_of_like_text_apart_and_is_json() -> None:
    assert of_labels([1, 1, "1", "1"]).card().classes == ("1", "'1'")
    hostile = of_labels(["\udcff", "\udcff", "☃\n\"'", "☃\n\"'"]).card()
    assert json.loads(json.dumps(asdict(hostile), ensure_ascii=False).encode())["classes"] == ["☃\n\"'", "\\udcff"]


def test_content_hash_follows_content_alone() -> None:
    base = of_labels([0, 0, 1, 1])
    assert from_arrays(TEXTS, [0, 0, 1, 1], modality="text", name="other").content_sha256 == base.content_sha256
    others = [
        of_labels([0, 1, 0, 1]),
        of_labels(["x", "x", "y", "y"]),
        of_labels([0, 0, 1, 1], groups=[0, 1, 2, 3]),
        from_arrays([*TEXTS[:3], "five"], [0, 0, 1, 1], modality="text"),
    ]
    assert len({base.content_sha256, *(other.content_sha256 for other in others)}) == 5


def test_load_target_passes_targets_through_and_names_unknown_schemes() -> None:
    target = of_labels([0, 0, 1, 1])
    assert load_target(target) is target
    with pytest.raises(UnknownNameError, match=r"no target loader named 'imagefoldr'. Did you mean 'imagefolder'"):
        load_target("imagefoldr:photos")
    with pytest.raises(TransferScopeError, match="target 'photos' is not of the form SCHEME:LOCATION"):
        load_target("photos")
    assert {"imagefolder", "audiofolder", "csv", "tsv", "jsonl", "package"} <= set(TARGETS)


def test_plus_means_itself_in_options() -> None:
    spec = Spec.parse("imagefolder:x?group=([a-z]+)_%26", kind="target", example="")
    assert spec.options["group"] == "([a-z]+)_&"


def test_listing_loaders_loads_nothing_heavy() -> None:
    code = (
        "import sys; from transferscope.targets import TARGETS, from_arrays, split_target; list(TARGETS); "
        "from transferscope.targets.package import DATASETS; "
        "print([name for name in ('torch', 'PIL', 'sklearn', 'scipy', 'soundfile') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
