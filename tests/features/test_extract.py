"""Extraction: order, padding, skipping, caching, and what a change of any part does to the cache."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from transferscope.adapters import find_adapter
from transferscope.errors import CacheError, CorruptSampleError, TargetError, UnknownNameError
from transferscope.features import extract as extract_module
from transferscope.features.cache import FeatureCache
from transferscope.features.extract import Extractor
from transferscope.features.forward import ahead, pick_precision
from transferscope.results import SourceCard, Step
from transferscope.scorers.score import score
from transferscope.sources import Activation, Inputs, Outputs, Source, WaveformInput, load_source
from transferscope.targets import Target, load_target, make_target


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

    def lengths(self, samples: Sequence[str]) -> list[int] | None:
        return None


class Backwards(Letters):
    """Says that the longest texts are the shortest."""

    def lengths(self, samples: Sequence[str]) -> list[int]:
        return [-len(text) for text in samples]


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
    monkeypatch.setitem(extract_module.BLOCKS, "text", 20)

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


@pytest.mark.parametrize(("adapter", "first"), [(Letters(), min), (Backwards(), max)])
def test_batches_are_of_like_length_as_the_adapter_measures_it(adapter: Letters, first: Any) -> None:
    seen: list[int] = []

    class Watched(Counting):
        def __call__(self, inputs: Inputs, layers: Sequence[str]) -> Outputs:
            seen.append(inputs["values"].shape[1])
            return super().__call__(inputs, layers)

    found = Extractor(None, batch_size=5).extract(target(TEXTS), source(Watched()), adapter, ROWS)
    assert seen == sorted(seen, reverse=first is max)
    np.testing.assert_allclose(found.layers["one"][:, 0], mean_letters(TEXTS), rtol=1e-6)


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


def perceptron() -> Source:
    """Two layers of random weights on padded sequences, and a head."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(1, 64), torch.nn.GELU(), torch.nn.Linear(64, 32))

    def run(inputs: Inputs, layers: Sequence[str]) -> Outputs:
        one = model[1](model[0](inputs["values"].unsqueeze(-1) / 100))
        two = model[2](one)
        every = {"one": Activation(one, "NTC", inputs["mask"]), "two": Activation(two, "NTC", inputs["mask"])}
        return Outputs({name: every[name] for name in layers}, two.mean(dim=1))

    return replace(source(Counting()), model=model, run=run)


def test_bfloat16_gives_nearly_the_same_under_another_key(cache: FeatureCache) -> None:
    exact = Extractor(cache).extract(target(TEXTS), perceptron(), Letters(), ROWS)
    rough = Extractor(cache, precision="bfloat16").extract(target(TEXTS), perceptron(), Letters(), ROWS)
    for name in exact.layers:
        assert rough.layers[name].dtype == np.float32
        np.testing.assert_allclose(rough.layers[name], exact.layers[name], atol=0.02)
        assert np.abs(rough.layers[name] - exact.layers[name]).max() > 1e-6
    assert rough.source_logits is not None
    assert rough.source_logits.dtype == np.float32
    assert {json.loads(path.read_text())["key"]["dtype"] for path in cache.folder.rglob("*.json")} == {
        "float32",
        "bfloat16",
    }


@pytest.mark.slow
def test_scores_of_bfloat16_features_are_within_the_standard_error() -> None:
    data, minilm = load_target("package:names-swahili"), load_source("package:minilm-l6")
    rows, layers = np.arange(0, len(data), max(1, len(data) // 300)), ("hidden.1", "hidden.3", "hidden.6")
    adapter = find_adapter(data, minilm)
    exact, rough = (
        Extractor(None, precision=precision).extract(data, minilm, adapter, rows, layers)
        for precision in ("float32", "bfloat16")
    )
    for layer in layers:
        assert np.abs(rough.layers[layer] - exact.layers[layer]).max() > 1e-6
        one, other = (score(found.layers[layer], data.labels[rows], ["ridge_loo"]) for found in (exact, rough))
        assert abs(one["ridge_loo"].value - other["ridge_loo"].value) <= one["ridge_loo"].standard_error


def test_auto_is_float32_on_the_cpu_and_an_unknown_precision_is_refused() -> None:
    assert pick_precision("auto", "cpu") == "float32"
    with pytest.raises(UnknownNameError, match="precision"):
        Extractor(None, precision="float61").extract(target(TEXTS), perceptron(), Letters(), ROWS)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("auto", 0.02)])
def test_a_gpu_gives_what_the_cpu_gives(precision: str, tolerance: float, cache: FeatureCache) -> None:
    here = Extractor(None, batch_size=7).extract(target(TEXTS), perceptron(), Letters(), ROWS)
    there = Extractor(cache, "cuda", 7, ("mean", "last"), precision=precision).extract(
        target(TEXTS), perceptron(), Letters(), ROWS
    )
    for name in here.layers:
        np.testing.assert_allclose(there.layers[name], here.layers[name], atol=tolerance)
    np.testing.assert_allclose(there.source_logits, here.source_logits, atol=tolerance)
    (entry, *_) = cache.folder.rglob("*.json")
    assert json.loads(entry.read_text())["key"]["dtype"] == pick_precision(precision, "cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_for_a_gpu_wait_in_pinned_memory() -> None:
    batches = [("first", {"values": torch.ones(2)}), ("last", None)]
    (_, inputs), (_, none) = ahead(iter(batches), "cuda")
    assert inputs["values"].is_pinned()
    assert none is None


def test_batches_are_prepared_ahead_in_order_and_an_error_arrives_where_it_belongs() -> None:
    def batches() -> Iterator[tuple[int, Inputs | None]]:
        yield from ((i, None) for i in range(5))
        raise CorruptSampleError("row 5", "torn")

    seen: list[int] = []
    with pytest.raises(CorruptSampleError, match="row 5"):
        seen.extend(number for number, _ in ahead(batches(), "cpu"))
    assert seen == [0, 1, 2, 3, 4]


def test_layers_are_read_when_asked_for_and_a_file_that_is_gone_is_named(cache: FeatureCache) -> None:
    found = Extractor(cache).extract(target(TEXTS), source(Counting()), Letters(), ROWS)
    assert list(found.layers) == ["one", "two"]
    assert len(found.layers) == 2
    assert "three" not in found.layers
    (data,) = cache.folder.rglob("*.safetensors")
    data.unlink()
    with pytest.raises(CacheError, match=data.name):
        found.layers["one"]


def test_weights_that_are_computed_on_access_are_counted_and_run() -> None:
    model = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(1, 3, 1))

    def run(inputs: Inputs, layers: Sequence[str]) -> Outputs:
        return Outputs({"one": Activation(model(inputs["values"].unsqueeze(1)), "NCT", inputs["mask"])})

    normed = replace(source(Counting()), model=model, run=run)
    found = Extractor(None).extract(target(TEXTS), normed, Letters(), ROWS, ["one"])
    assert found.layers["one"].shape == (50, 3)
    assert found.flops


def test_flops_are_counted_once_over_an_interruption(cache: FeatureCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extract_module.BLOCKS, "text", 20)
    linear = torch.nn.Linear(1, 3)

    def run(inputs: Inputs, layers: Sequence[str]) -> Outputs:
        return Outputs({"one": Activation(linear(inputs["values"].unsqueeze(-1)), "NTC", inputs["mask"])})

    same = replace(source(Counting()), run=run)
    part = Extractor(cache).extract(target(TEXTS), same, Letters(), ROWS[:20], ["one"])
    whole = Extractor(cache).extract(target(TEXTS), same, Letters(), ROWS, ["one"])
    assert whole.flops == part.flops
    entries = [json.loads(path.read_text())["notes"]["flops"] for path in cache.folder.rglob("*.json")]
    assert sum(flops is not None for flops in entries) == 1


def test_flops_are_those_of_one_sample() -> None:
    linear = torch.nn.Linear(1, 3)

    def run(inputs: Inputs, layers: Sequence[str]) -> Outputs:
        return Outputs({"one": Activation(linear(inputs["values"].unsqueeze(-1)), "NTC", inputs["mask"])})

    same = replace(source(Counting()), run=run)
    data = make_target("words", "text", Words(["abcd"] * 8), [0, 1] * 4)
    found = Extractor(cache=None).extract(data, same, Letters(), np.arange(8), ["one"])
    assert found.flops == 2 * 4 * 1 * 3  # multiply-adds counted as two, four letters
