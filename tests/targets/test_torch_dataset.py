"""Torch datasets: labels without loading samples, and samples without keeping them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset

from transferscope.errors import CorruptSampleError, TargetError
from transferscope.targets import from_dataset

CODES = [0, 0, 1, 1, 2, 2]
IMAGES = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Counting(Dataset):
    """Pictures that count how often they are read, as torchvision's data sets are built."""

    def __init__(self, targets: Any = None, transform: Callable = lambda image: image, target_transform: Any = None):
        self.reads = 0
        self.transform, self.target_transform = transform, target_transform
        if targets is not None:
            self.targets = targets

    def __len__(self) -> int:
        return 6

    def __getitem__(self, row: int) -> tuple[Any, Any]:
        self.reads += 1
        label = self.target_transform(CODES[row]) if self.target_transform else CODES[row]
        return self.transform(IMAGES[row]), label


def test_labels_come_from_targets_without_loading() -> None:
    dataset = Counting(CODES)
    target = from_dataset(dataset, modality="image", name="mine")
    assert (target.name, target.classes, target.labels.tolist()) == ("mine", (0, 1, 2), CODES)
    assert dataset.reads == 8  # four samples, twice each
    np.testing.assert_array_equal(
        np.asarray(target.samples[5]), (IMAGES[5].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    )
    assert dataset.reads == 9
    assert target.samples.describe(5) == "row 5 of the Counting"


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_labels_go_through_subsets_and_unions(kind: Callable) -> None:
    dataset = Counting(kind(CODES))
    subset = Subset(Subset(dataset, [5, 4, 3, 2, 0]), np.array([0, 1, 2, 3]))
    target = from_dataset(subset, modality="image")
    assert target.classes == (1, 2)
    assert target.labels.tolist() == [1, 1, 0, 0]
    assert from_dataset(ConcatDataset([dataset, subset]), modality="image").labels.tolist() == [*CODES, 2, 2, 1, 1]
    assert dataset.reads == 16


def test_target_transform_applies_and_given_labels_win() -> None:
    dataset = Counting(CODES, target_transform=lambda code: code // 2)
    assert from_dataset(dataset, modality="image").labels.tolist() == [0, 0, 0, 0, 1, 1]
    assert from_dataset(dataset, modality="image", labels=list("xxyyzz")).classes == ("x", "y", "z")


def test_without_targets_one_pass_reads_the_labels() -> None:
    dataset = Counting()
    assert from_dataset(dataset, modality="image").labels.tolist() == CODES
    assert dataset.reads == 8 + 6
    wrong_length = Counting([1, 2])
    assert from_dataset(wrong_length, modality="image").labels.tolist() == CODES
    tensors = TensorDataset(IMAGES, torch.tensor(CODES))
    assert from_dataset(tensors, modality="image").classes == (0, 1, 2)


def test_groups_texts_and_sounds() -> None:
    texts = [("a", "x"), ("b", "x"), ("c", "y"), ("d", "y")]
    target = from_dataset(texts, modality="text", groups=[1, 2, 1, 2])  # type: ignore[arg-type]
    assert [target.samples[row] for row in range(4)] == ["a", "b", "c", "d"]
    assert target.card().n_groups == 2
    waves = TensorDataset(torch.zeros(4, 1, 100), torch.tensor([0, 0, 1, 1]))
    assert from_dataset(waves, modality="audio", sample_rate=8000).samples[0].samples.shape == (1, 100)


def test_content_decides_the_hash() -> None:
    base = from_dataset(Counting(CODES), modality="image").content_sha256
    assert from_dataset(TensorDataset(IMAGES, torch.tensor(CODES)), modality="image").content_sha256 == base
    assert from_dataset(Counting(CODES, lambda image: 1 - image), modality="image").content_sha256 != base


class Broken(Counting):
    """One row cannot be read."""

    def __getitem__(self, row: int) -> tuple[Any, Any]:
        if row == 1:
            raise OSError("broken jpeg")
        return super().__getitem__(row)


def test_a_row_that_fails_is_a_corrupt_sample(tmp_path) -> None:
    target = from_dataset(Broken(CODES), modality="image")
    assert len(target.digests) == 6
    with pytest.raises(CorruptSampleError, match=r"row 1 of the Broken: cannot be read \(OSError: broken jpeg\)"):
        target.samples[1]
    with pytest.raises(TargetError, match="row 1 of the Broken: its label cannot be read .*; give labels="):
        from_dataset(Broken(), modality="image")
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    lazy = from_dataset(Counting(CODES, lambda image: Image.open(tmp_path / "a.png")), modality="image")
    with pytest.raises(CorruptSampleError, match="row 0 of the Counting"):
        lazy.samples[0]


class Endless(IterableDataset):
    """No length and no rows."""

    def __iter__(self) -> Iterator[Any]:
        yield IMAGES[0], 0


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (
            Counting(CODES, lambda image: image.clamp(0.1, 0.9) + torch.rand(1) / 10),
            "row 0 differs between two readings",
        ),
        (Counting(CODES, lambda image: (image - 0.5) / 0.25), r"row 0 of the Counting: ranges from .*not normalised"),
        (Endless(), "dataset is a Endless without length or indexing; expected a map-style dataset"),
        ([{"image": 1, "label": 2}] * 4, r"the dataset gives a dict; expected \(sample, label\) pairs"),
        ([(1, 2, 3)] * 4, "the dataset gives a tuple; expected"),
        ([], "list: no samples found"),
    ],
)
def test_datasets_that_cannot_be_used_are_refused(dataset: Any, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        from_dataset(dataset, modality="image")
