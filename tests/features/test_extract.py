"""Extraction: order, padding, skipping, caching, and what a change of any part does to the cache."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from transferscope.errors import CacheError, CorruptSampleError, TargetError, UnknownNameError
from transferscope.features import extract as extract_module
from transferscope.features.cache import FeatureCache
from transferscope.features.extract import Extractor
from transferscope.results import SourceCard, Step
from transferscope.sources import Activation, Inputs, Outputs, Source, WaveformInput
from transferscope.targets import Target, make_target


class Words:
    """Texts, some of which cannot be read."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, row: int) -> str:
        if self.texts[row] == "bad":
            raise CorruptSampleError(self.describe(row), "torn")
        return self.texts[row]

    def digest(self, row: int) -> bytes:
        return hashlib.sha256(self.texts[row].encode()).digest()

    def describe(self, row: int) -> str:
        return f"row {row}"


class Letters:
    """An adapter: characters as numbers, padded to the longest."""

    path = (Step("letters", {"scale": 1}, "none"),)

    def prepare(self, samples: Sequence[Any], edits: Counter[str]) -> Inputs:
        edits["samples"] += len(samples)
        edits["letters"] += sum(map(len, samples))
        longest = max(map(len, samples))
        values = torch.zeros(len(samples), longest)
        mask = torch.zeros(len(samples), longest)
        for i, text in enumerate(samples):
            values[i, : len(text)] = torch.tensor([float(ord(c)) for c in text])
            mask[i, : len(text)] = 1
        return {"values": values, "mask": mask}


class Counting:
    """A source of two layers that counts its forward passes."""

    def __init__(self) -> None:
        self.seen = 0
        self.layers: list[tuple[str, ...]] = []

    def __call__(self, inputs: Inputs, layers: Sequence[str]) -> Outputs:
        self.seen += len(inputs["values"])
        self.layers.append(tuple(layers))
        wave, mask = inputs["values"].unsqueeze(-1), inputs["mask"]
        every = {"one": Activation(wave, "NTC", mask), "two": Activation(torch.cat([wave, wave**2], -1), "NTC", mask)}
        total = (wave.squeeze(-1) * mask).sum(1)
        return Outputs({name: every[name] for name in layers}, torch.stack([total, -total], 1) / 1000)


def source(run: Counting, weights: str = "w") -> Source:
    card = SourceCard("python:test", "counting", {"kind": "waveform"}, ("one", "two"), 1, weights)
    return Source(card, torch.nn.Identity(), WaveformInput(16_000, 1.0), run)


def target(texts: Sequence[str]) -> Target:
    return make_target("words", "text", Words(texts), [i % 2 for i in range(len(texts))])


TEXTS = ["a" * (1 + i % 7) + chr(98 + i % 20) for i in range(50)]
ROWS = np.arange(len(TEXTS))


def mean_letters(texts: Sequence[str]) -> np.ndarray:
    return np.array([np.mean([ord(c) for c in text]) for text in texts], dtype=np.float32)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "features")


def test_values_come_back_in_the_order_of_rows_whatever_the_batches() -> None:
    for batch_size in (1, 7, 64):
        found = Extractor(cache=None, batch_size=batch_size).extract(
            target(TEXTS), source(Counting()), Letters(), ROWS
        )
        np.testing.assert_allclose(found.layers["one"][:, 0], mean_letters(TEXTS), rtol=1e-6)
        assert found.layers["two"].shape == (50, 2)
        assert found.rows.tolist() == ROWS.tolist()
        totals = np.array([sum(map(ord, text)) / 1000 for text in TEXTS])
        np.testing.assert_allclose(found.source_logits, np.stack([totals, -totals], axis=1), rtol=1e-6)
        assert found.edits == {"samples": 50, "letters": sum(map(len, TEXTS))}


def test_unreadable_samples_are_left_out_and_named() -> None:
    texts = [*TEXTS[:10], "bad", *TEXTS[10:20], "bad"]
    found = Extractor(cache=None, batch_size=4).extract(target(texts), source(Counting()), Letters(), np.arange(22))
    assert [skip.sample for skip in found.skipped] == ["row 10", "row 21"]
    assert found.rows.tolist() == [i for i in range(22) if i not in (10, 21)]
    np.testing.assert_allclose(found.layers["one"][:, 0], mean_letters(TEXTS[:20]), rtol=1e-6)


def test_strict_stops_at_an_unreadable_sample_cached_or_not(cache: FeatureCache) -> None:
    data = target([*TEXTS[:10], "bad", "also bad"])
    with pytest.raises(CorruptSampleError, match="row 10: cannot be read"):
        Extractor(cache, strict=True).extract(data, source(Counting()), Letters(), np.arange(12))
    Extractor(cache).extract(data, source(Counting()), Letters(), np.arange(12))
    with pytest.raises(CorruptSampleError, match="row 10: cannot be read"):
        Extractor(cache, strict=True).extract(data, source(Counting()), Letters(), np.arange(12))


def test_nothing_readable_is_a_clear_error() -> None:
    data = make_target("words", "text", Words(["bad"] * 4), [0, 0, 1, 1])
    with pytest.raises(TargetError, match="none of 4 samples can be read; the first: row 0 \\(torn\\)"):
        Extractor(cache=None).extract(data, source(Counting()), Letters(), np.arange(4))


def test_unknown_layer_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'two'"):
        Extractor(cache=None).extract(target(TEXTS), source(Counting()), Letters(), ROWS, ["tow"])


def test_second_run_computes_nothing_and_gives_the_same(cache: FeatureCache) -> None:
    first = Extractor(cache).extract(target(TEXTS), source(Counting()), Letters(), ROWS)
    again = Counting()
    second = Extractor(cache, batch_size=3).extract(target(TEXTS), source(again), Letters(), ROWS)
    assert again.seen == 0
    assert second.seconds == first.seconds
    assert second.edits == first.edits
    for name in first.layers:
        np.testing.assert_array_equal(first.layers[name], second.layers[name])


def test_interrupted_run_loses_one_block_at_most(cache: FeatureCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract_module, "BLOCK", 20)

    class Stopped(Counting):
        def __call__(self, inputs: Inputs, layers: Sequence[str]) -> Outputs:
            if self.seen >= 30:
                raise KeyboardInterrupt
            return super().__call__(inputs, layers)

    with pytest.raises(KeyboardInterrupt):
        Extractor(cache, batch_size=10).extract(target(TEXTS), source(Stopped()), Letters(), ROWS)
    again = Counting()
    found = Extractor(cache, batch_size=10).extract(target(TEXTS), source(again), Letters(), ROWS)
    assert again.seen == 30  # the first 20 were kept
    np.testing.assert_allclose(found.layers["one"][:, 0], mean_letters(TEXTS), rtol=1e-6)


def test_whatever_decides_values_decides_the_cache_entry(cache: FeatureCache) -> None:
    def computed(run: Counting, **changes: Any) -> int:
        adapter = Letters()
        adapter.path = changes.get("path", adapter.path)
        data = target(changes.get("texts", TEXTS))
        extractor = Extractor(cache, poolings=(changes.get("pooling", "mean"),))
        extractor.extract(data, source(run, changes.get("weights", "w")), adapter, ROWS)
        return run.seen

    assert computed(Counting()) == 50
    assert computed(Counting()) == 0
    assert computed(Counting(), weights="v") == 50
    assert computed(Counting(), pooling="first") == 50
    assert computed(Counting(), path=(replace(Letters.path[0], settings={"scale": 2}),)) == 50
    assert computed(Counting(), texts=["z", *TEXTS[1:]]) == 50


def test_poolings_share_one_forward_pass(cache: FeatureCache) -> None:
    run = Counting()
    both = Extractor(cache, poolings=("mean", "last")).extract(target(TEXTS), source(run), Letters(), ROWS)
    assert run.seen == 50
    assert list(both.pooled) == ["mean", "last"]
    for how in ("mean", "last"):
        alone = Extractor(cache, poolings=(how,)).extract(target(TEXTS), source(run), Letters(), ROWS)
        np.testing.assert_array_equal(alone.layers["one"], both.pooled[how]["one"])
    assert run.seen == 50
    Extractor(cache, poolings=("mean", "first")).extract(target(TEXTS), source(run), Letters(), ROWS)
    assert run.seen == 100  # the first of texts has not been kept


def test_a_new_layer_is_added_to_those_at_hand(cache: FeatureCache) -> None:
    Extractor(cache).extract(target(TEXTS), source(Counting()), Letters(), ROWS, ["one"])
    more = Counting()
    Extractor(cache).extract(target(TEXTS), source(more), Letters(), ROWS, ["two"])
    assert more.layers[0] == ("one", "two")
    none = Counting()
    Extractor(cache).extract(target(TEXTS), source(none), Letters(), ROWS, ["one"])
    assert none.seen == 0


def test_damaged_file_is_named_not_recomputed(cache: FeatureCache) -> None:
    Extractor(cache).extract(target(TEXTS), source(Counting()), Letters(), ROWS)
    (data,) = cache.folder.rglob("*.safetensors")
    data.write_bytes(data.read_bytes()[:40])
    with pytest.raises(CacheError, match=f"{data.name} are damaged"):
        Extractor(cache).extract(target(TEXTS), source(Counting()), Letters(), ROWS)


def test_unwritable_cache_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="point TRANSFERSCOPE_CACHE to another folder"):
        Extractor(FeatureCache(tmp_path / "file")).extract(target(TEXTS), source(Counting()), Letters(), ROWS)


def test_a_person_can_read_what_an_entry_is(cache: FeatureCache) -> None:
    Extractor(cache).extract(target(TEXTS), source(Counting()), Letters(), ROWS)
    (notes,) = cache.folder.rglob("*.json")
    key = json.loads(notes.read_text())["key"]
    assert key["architecture"] == "counting"
    assert key["path"][0]["converter"] == "letters"
    assert key["n_samples"] == 50


def test_flops_are_those_of_one_sample() -> None:
    linear = torch.nn.Linear(1, 3)

    def run(inputs: Inputs, layers: Sequence[str]) -> Outputs:
        return Outputs({"one": Activation(linear(inputs["values"].unsqueeze(-1)), "NTC", inputs["mask"])})

    same = replace(source(Counting()), run=run)
    data = make_target("words", "text", Words(["abcd"] * 8), [0, 1] * 4)
    found = Extractor(cache=None).extract(data, same, Letters(), np.arange(8), ["one"])
    assert found.flops == 2 * 4 * 1 * 3  # multiply-adds counted as two, four letters
