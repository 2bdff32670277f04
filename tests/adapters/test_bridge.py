"""Bridges into a table of embeddings: what each alignment knows of it and reaches, and that it repeats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from transferscope.adapters.bridge import ALIGN, STEPS, Bridge

WIDTH = 24


def table(seed: int = 0, vocabulary: int = 300, dtype: torch.dtype = torch.float32) -> nn.Embedding:
    """Embeddings in three clusters: more than a mean and a covariance tell."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))
    centres = rng.normal(size=(3, WIDTH)) * np.geomspace(2, 0.1, WIDTH)
    rows = centres[rng.integers(0, 3, vocabulary)] + 0.3 * rng.normal(size=(vocabulary, WIDTH))
    made = nn.Embedding(vocabulary, WIDTH, dtype=dtype)
    made.weight.data = torch.from_numpy(0.05 * rows @ turn + 0.02).to(dtype)
    return made


def frames(n: int = 300, seed: int = 1) -> np.ndarray:
    """Skewed frames of eight numbers that depend on each other."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    return rng.exponential(size=(n, 8)) * np.geomspace(1, 0.5, 8) @ turn + 3


def bridge(align: str, rows: np.ndarray | None = None, embedding: nn.Module | None = None) -> Bridge:
    rows = frames() if rows is None else rows
    return Bridge(rows, embedding or table(), align, converter="image->tokens", control="raw:image")


@pytest.fixture(scope="module")
def made() -> Mapping[str, Bridge]:
    return {align: bridge(align) for align in ALIGN}


def setting(bridge: Bridge, name: str) -> Any:
    return bridge.settings()[name]


def test_a_plain_bridge_knows_nothing_of_the_source_and_makes_unit_rows(made: Mapping[str, Bridge]) -> None:
    rows = made["none"](frames())
    np.testing.assert_array_equal(bridge("none", embedding=table(seed=5))(frames()), rows)
    assert (rows.astype(np.float64) ** 2).sum(axis=1).mean() == pytest.approx(1, rel=0.01)
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-6)
    directions = made["none"].projection * np.sqrt(8)
    np.testing.assert_allclose(directions @ directions.T, np.eye(8), atol=1e-9)


def test_a_matched_bridge_has_the_tables_mean_and_leading_variances(made: Mapping[str, Bridge]) -> None:
    rows, weights = made["moments"](frames()), table().weight.detach().double().numpy()
    np.testing.assert_allclose(rows.mean(axis=0), weights.mean(axis=0), atol=1e-6)
    ours, theirs = (np.linalg.eigvalsh(np.cov(part, rowvar=False))[::-1] for part in (rows, weights))
    np.testing.assert_allclose(ours[:8], theirs[:8], rtol=0.01)


@pytest.mark.parametrize("align", STEPS)
def test_training_shrinks_its_distance_on_rows_held_back(align: str, made: Mapping[str, Bridge]) -> None:
    none, start, now = (setting(made[align], f"{align}_{which}") for which in ("none", "moments", "now"))
    assert now < 0.95 * start < none
    assert 0 < setting(made[align], "kept_step") <= setting(made[align], "steps")


def test_the_record_compares_with_no_alignment_and_with_the_training_free_one(made: Mapping[str, Bridge]) -> None:
    assert setting(made["none"], "mmd_now") == setting(made["none"], "mmd_none")
    assert setting(made["moments"], "mmd_now") == setting(made["moments"], "mmd_moments")
    assert setting(made["moments"], "mmd_moments") < setting(made["none"], "mmd_none")
    for align, built in made.items():
        assert setting(built, "align") == align
        for name in ("mmd_none", "mmd_moments"):  # of the same maps on the same rows
            assert setting(built, name) == setting(made["moments"], name)
        assert all(isinstance(value, str | int | float) for value in built.settings().values())
    assert len({setting(built, "align") + setting(built, "projection_sha256") for built in made.values()}) == 4


@pytest.mark.parametrize("align", ALIGN)
def test_two_builds_are_equal_whatever_torchs_threads_and_generator(align: str, made: Mapping[str, Bridge]) -> None:
    threads, embedding = torch.get_num_threads(), table()
    torch.set_num_threads(threads + 1)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    try:
        again = bridge(align, embedding=embedding)
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), before)
    assert again.settings() == made[align].settings()
    np.testing.assert_allclose(again(frames(50)), made[align](frames(50)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("align", ALIGN)
def test_the_record_changes_with_the_probe_and_with_the_table(align: str, made: Mapping[str, Bridge]) -> None:
    assert bridge(align, frames(seed=2)).settings() != made[align].settings()
    assert bridge(align, embedding=table(seed=5)).settings() != made[align].settings()


@pytest.mark.parametrize("align", ALIGN)
def test_training_touches_neither_the_table_nor_gradients(align: str) -> None:
    embedding = table(dtype=torch.bfloat16)
    before = embedding.weight.detach().clone()
    with torch.inference_mode():
        rows = bridge(align, embedding=embedding)(frames(10))
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    assert torch.equal(embedding.weight, before)
    assert embedding.weight.grad is None


@pytest.mark.parametrize("align", ALIGN)
@pytest.mark.parametrize(("n", "vocabulary"), [(1, 1), (1, 50), (3, 2), (20, 5)])
def test_probes_and_vocabularies_of_any_size_make_a_bridge(align: str, n: int, vocabulary: int) -> None:
    rows = bridge(align, frames(n), table(vocabulary=vocabulary))(frames(30))
    assert rows.shape == (30, WIDTH)
    assert np.isfinite(rows).all()


def test_directions_are_no_more_than_the_probe_can_tell() -> None:
    flat = np.outer(np.arange(400.0), np.ones(8))  # one direction
    assert setting(bridge("moments", flat), "rank") == 1
    assert setting(bridge("moments", frames(20)), "rank") == 5
    assert setting(bridge("moments"), "rank") == 8
    far = bridge("moments", flat)(flat[:1] + np.eye(8) - np.full((8, 8), 1 / 8))
    np.testing.assert_allclose(far, far[:1].repeat(8, axis=0), atol=1e-6)  # what the probe never did is not shown


@pytest.mark.parametrize("align", ALIGN)
def test_frames_that_are_all_equal_become_one_point(align: str) -> None:
    rows = bridge(align, np.full((40, 8), 0.5))(frames(5))
    np.testing.assert_allclose(rows, rows[:1].repeat(5, axis=0), atol=1e-6)
    assert np.isfinite(rows).all()
