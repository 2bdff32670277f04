"""Patches in a language model's embedding space: the table's mean and leading variances, without training."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from transferscope.adapters.bridge import WHITEN
from transferscope.adapters.image_to_tokens import GRID, PATCH, EmbedPatches
from transferscope.errors import AdapterError
from transferscope.sources import TokensInput

SIDE = GRID * PATCH


def table(vocabulary: int = 300, width: int = 24, seed: int = 0) -> nn.Embedding:
    """Token embeddings with a mean and unequal variances in turned directions."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(width, width)))
    rows = rng.normal(size=(vocabulary, width)) * np.geomspace(3, 0.05, width) @ turn + rng.normal(size=width)
    made = nn.Embedding(vocabulary, width)
    made.weight.data = torch.from_numpy(rows).float()
    return made


def spec(embedding: nn.Module | None = None, max_length: int = 64) -> TokensInput:
    return TokensInput(None, max_length, embedding or table())


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Pictures whose patches vary in every direction."""
    rng = np.random.default_rng(1)
    return [Image.fromarray(rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)) for _ in range(200)]


def embed(pictures: list[Image.Image], made: EmbedPatches) -> np.ndarray:
    return made(pictures, Counter())["inputs_embeds"].double().numpy()


@pytest.mark.parametrize("width", [8, PATCH * PATCH, 24])
def test_embedded_patches_have_the_tables_mean_and_leading_variances(pictures: list[Image.Image], width: int) -> None:
    embedding = table(width=width)
    rows = embed(pictures, EmbedPatches(spec(embedding), pictures)).reshape(-1, width)
    weights = embedding.weight.detach().double().numpy()
    np.testing.assert_allclose(rows.mean(axis=0), weights.mean(axis=0), atol=1e-5)
    ours, theirs = (np.linalg.eigh(np.cov(part, rowvar=False)) for part in (rows, weights))
    leading = min(width, PATCH * PATCH)
    np.testing.assert_allclose(ours[0][::-1][:leading], theirs[0][::-1][:leading], rtol=2 * WHITEN)
    for i in range(1, leading + 1):  # and their directions, up to sign
        assert abs(ours[1][:, -i] @ theirs[1][:, -i]) == pytest.approx(1, abs=1e-4)
    assert (ours[0][::-1][leading:] < 1e-9).all()


def test_variance_that_the_patches_lack_is_not_made_up(pictures: list[Image.Image]) -> None:
    flat = [Image.new("L", (SIDE, SIDE), level) for level in range(0, 256, 5)]  # patches differ in brightness only
    rows = embed(flat, EmbedPatches(spec(), flat)).reshape(-1, 24)
    variances = np.linalg.eigvalsh(np.cov(rows, rowvar=False))[::-1]
    assert variances[0] > 1
    assert (variances[1:] < 1e-6).all()
    same = [Image.new("L", (SIDE, SIDE), 90)] * 3
    constant = embed(same, EmbedPatches(spec(), same))
    np.testing.assert_allclose(constant, np.broadcast_to(table().weight.detach().mean(0), constant.shape), atol=1e-4)


def test_the_same_probe_gives_the_same_embeddings_and_record(pictures: list[Image.Image]) -> None:
    first, second = (EmbedPatches(spec(), pictures[:50]) for _ in range(2))
    np.testing.assert_array_equal(embed(pictures, first), embed(pictures, second))
    assert first.settings() == second.settings()
    record = first.settings()["projection_sha256"]
    assert EmbedPatches(spec(), pictures[50:100]).settings()["projection_sha256"] != record
    assert EmbedPatches(spec(table(seed=1)), pictures[:50]).settings()["projection_sha256"] != record


def test_patches_are_read_row_by_row(pictures: list[Image.Image]) -> None:
    made = EmbedPatches(spec(), pictures)
    dark, lit = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    lit[PATCH : 2 * PATCH, 2 * PATCH : 3 * PATCH] = 255  # second row, third column
    before, after = embed([Image.fromarray(dark), Image.fromarray(lit)], made)
    changed = np.flatnonzero(np.abs(after - before).max(axis=1) > 1e-9)
    assert changed.tolist() == [GRID + 2]


def test_a_source_without_a_table_is_refused(pictures: list[Image.Image]) -> None:
    with pytest.raises(AdapterError, match=r"image->tokens: Identity is no table of token embeddings .*raw:image"):
        EmbedPatches(spec(nn.Identity()), pictures)


@pytest.mark.parametrize(("max_length", "grid"), [(1, 1), (8, 2), (48, 6), (49, 7), (512, 7)])
def test_no_more_patches_than_the_source_takes(pictures: list[Image.Image], max_length: int, grid: int) -> None:
    made = EmbedPatches(spec(max_length=max_length), pictures)
    inputs = made(pictures[:3], Counter())
    assert inputs["inputs_embeds"].shape == (3, grid**2, 24)
    assert inputs["attention_mask"].tolist() == [[1] * grid**2] * 3
    assert made.settings()["grid"] == grid


def test_changes_are_counted(pictures: list[Image.Image]) -> None:
    edits: Counter[str] = Counter()
    mixed = [
        Image.new("RGB", (9, 5)),
        Image.new("L", (SIDE, SIDE)),
        Image.new("RGB", (SIDE, SIDE)),
        Image.new("1", (3, 3)),
    ]
    EmbedPatches(spec(), pictures)(mixed, edits)
    assert edits == {
        "resized": 2, "channels_dropped": 2, "pixels": 45 + 2 * SIDE**2 + 9, "pixels_dropped": 0,
    }  # fmt: skip


def test_pixels_finer_than_the_grid_are_counted_as_dropped(pictures: list[Image.Image]) -> None:
    edits: Counter[str] = Counter()
    EmbedPatches(spec(), pictures)([Image.new("L", (2 * SIDE, 2 * SIDE)), Image.new("L", (10, 2 * SIDE))], edits)
    assert edits["pixels"] == 4 * SIDE**2 + 20 * SIDE
    assert edits["pixels_dropped"] == 3 * SIDE**2 + 10 * SIDE


def test_the_bridge_is_aligned_as_asked(pictures: list[Image.Image]) -> None:
    plain, matched = (EmbedPatches(spec(), pictures, align) for align in ("none", "moments"))
    assert (plain.settings()["align"], matched.settings()["align"]) == ("none", "moments")
    assert EmbedPatches(spec(), pictures).settings() == matched.settings()
    assert not np.allclose(embed(pictures[:2], plain), embed(pictures[:2], matched), atol=0.1)


def test_tables_of_any_precision_are_read_and_left_alone(pictures: list[Image.Image]) -> None:
    half: Any = table().to(torch.bfloat16)
    before = half.weight.clone()
    values = EmbedPatches(spec(half), pictures)(pictures[:2], Counter())["inputs_embeds"]
    assert values.dtype == torch.float32
    assert torch.isfinite(values).all()
    assert torch.equal(half.weight, before)
    assert not values.requires_grad
