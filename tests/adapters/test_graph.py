"""Every pair of modality and model input: the path that leads there, its inputs, and what it records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from transferscope.adapters import CONVERTERS, Adapter, find_adapter, find_path, register_converter
from transferscope.errors import AdapterError, CorruptSampleError, TransferScopeError
from transferscope.features.pooling import pool
from transferscope.sources import Source
from transferscope.targets import Target
from transferscope.targets.arrays import from_arrays

PATHS = {
    ("image", "image"): ["image->image"],
    ("image", "waveform"): ["image->waveform", "waveform->waveform"],
    ("image", "tokens"): ["image->tokens"],
    ("audio", "image"): ["waveform->image", "image->image"],
    ("audio", "waveform"): ["waveform->waveform"],
    ("audio", "tokens"): ["waveform->tokens"],
    ("text", "image"): ["text->image", "image->image"],
    ("text", "waveform"): ["text->image", "image->waveform", "waveform->waveform"],
    ("text", "tokens"): ["text->tokens"],
}
SOURCES = ["image", "image-vit", "waveform", "waveform-wav2vec2", "tokens", "tokens-gpt2", "tokens-cnn"]
PAIRS = [
    pytest.param(modality, source, id=f"{modality}->{source}")
    for modality in ("image", "audio", "text")
    for source in SOURCES
]
Build = Callable[[str], Any]


def samples_of(target: Target) -> list[Any]:
    return [target.samples[row] for row in range(len(target))]


def pooled(source: Source, adapter: Adapter, samples: Sequence[Any]) -> Mapping[str, torch.Tensor]:
    with torch.inference_mode():
        outputs = source.run(adapter.prepare(samples, Counter()), source.card.layers)
    return {layer: pool(outputs.layers[layer]) for layer in source.card.layers}


def test_the_table_of_paths_names_every_converter() -> None:
    assert {name for path in PATHS.values() for name in path} == set(CONVERTERS)
    assert all(edge.reference for edge in CONVERTERS.values())


@pytest.mark.parametrize(("modality", "kind"), PAIRS)
def test_samples_of_every_modality_reach_every_source(
    modality: str, kind: str, source_of: Build, target_of: Build
) -> None:
    target, source = target_of(modality), source_of(kind)
    adapter, names = find_adapter(target, source), PATHS[modality, source.input.kind]
    assert [step.converter for step in adapter.path] == names
    assert [step.reference for step in adapter.path] == [CONVERTERS[name].reference for name in names]
    edits: Counter[str] = Counter()
    samples = samples_of(target)
    inputs = adapter.prepare(samples, edits)
    assert edits["samples"] == 4
    assert {len(value) for value in inputs.values()} == {4}
    assert all(torch.isfinite(value).all() for value in inputs.values())
    again = pooled(source, find_adapter(target, source), samples)
    for layer, values in pooled(source, adapter, samples).items():
        assert values.shape[0] == 4
        assert torch.isfinite(values).all()
        assert len(torch.unique(values, dim=0)) == 4  # no two samples became one
        assert torch.equal(values, again[layer])


@pytest.mark.parametrize(
    ("modality", "kind"),
    # that module averages over what follows a short sound too: how it shortens time, nobody is told
    [pair for pair in PAIRS if pair.values != ("audio", "waveform")],
)
def test_padding_changes_no_feature(modality: str, kind: str, source_of: Build, target_of: Build) -> None:
    target, source = target_of(modality), source_of(kind)
    adapter, samples = find_adapter(target, source), samples_of(target)
    whole = pooled(source, adapter, samples)
    for row, sample in enumerate(samples):
        for layer, values in pooled(source, adapter, [sample]).items():
            torch.testing.assert_close(values[0], whole[layer][row], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("modality", "kind"), PAIRS)
def test_a_sample_is_converted_alike_whatever_its_neighbours(
    modality: str, kind: str, source_of: Build, target_of: Build
) -> None:
    target = target_of(modality)
    adapter = find_adapter(target, source_of(kind))
    samples = samples_of(target)
    edits, one_by_one = Counter(), Counter()  # type: ignore[var-annotated]
    whole = adapter.prepare(samples, edits)
    for row, sample in enumerate(samples):
        for name, alone in adapter.prepare([sample], one_by_one).items():
            wide = whole[name][row : row + 1]
            torch.testing.assert_close(wide[:, : alone.shape[1]], alone)
            assert not (wide[:, alone.shape[1] :] * (name == "attention_mask")).any()  # what follows is padding
    assert +edits == pytest.approx(+one_by_one)


@pytest.mark.parametrize("modality", ["image", "text"])
def test_a_pair_without_a_path_is_refused_with_the_converters_at_hand(
    modality: str, source_of: Build, target_of: Build, deaf: None
) -> None:
    message = rf"no path leads from {modality} to waveform; converters at hand: image->image, .*Add one to adapters/"
    with pytest.raises(AdapterError, match=message) as raised:
        find_adapter(target_of(modality), source_of("waveform"))
    assert all(name in str(raised.value) for name in CONVERTERS)


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pictures into models that hear."""
    assert "image->waveform" in CONVERTERS  # the registry is walked now, and not again inside
    monkeypatch.delitem(CONVERTERS._entries, "image->waveform")


class Hum:
    """Pictures as noise, for a model that hears."""

    def __init__(self, spec: Any, probe: Sequence[Any]) -> None:
        self.n_probe = len(probe)

    def settings(self) -> Mapping[str, Any]:
        return {"n_probe": self.n_probe}

    def __call__(self, samples: Sequence[Any], edits: Counter[str]) -> list[Any]:
        from transferscope.targets import Waveform

        edits["hummed"] += len(samples)
        lines = [np.asarray(image.convert("L"), np.float32).reshape(1, -1) / 255 for image in samples]
        return [Waveform(line, 8000) for line in lines]


@pytest.fixture
def hum(deaf: None) -> Any:
    register_converter("image", "waveform", cost=1.0, reference="the tests")(Hum)
    return CONVERTERS["image->waveform"]


def test_a_new_converter_opens_its_paths(hum: Any, source_of: Build, target_of: Build) -> None:
    target, source = target_of("image"), source_of("waveform")
    adapter = find_adapter(target, source, n_probe=2)
    assert [step.converter for step in adapter.path] == ["image->waveform", "waveform->waveform"]
    assert dict(adapter.path[0].settings) == {"n_probe": 2}
    edits: Counter[str] = Counter()
    assert adapter.prepare(samples_of(target), edits)["input_values"].shape[0] == 4
    assert edits["hummed"] == edits["samples"] == 4
    assert all(torch.isfinite(v).all() for v in pooled(source, adapter, samples_of(target)).values())
    text = [edge.name for edge in find_path("text", "waveform")]
    assert text == ["text->image", "image->waveform", "waveform->waveform"]
    # one step of cost 2 beats a detour
    assert [edge.name for edge in find_path("text", "image")] == ["text->image", "image->image"]


def test_a_second_converter_between_the_same_kinds_is_refused(hum: Any) -> None:
    with pytest.raises(TransferScopeError, match="converter 'image->waveform' is already registered"):
        register_converter("image", "waveform", cost=2.0, reference="the tests")(Hum)
    assert CONVERTERS["image->waveform"] is hum


@pytest.mark.parametrize(
    ("modality", "kind", "change"),
    [
        ("image", "image", {"crop": 1.0}),
        ("image", "image", {"size": (32, 48)}),
        ("image", "image", {"mean": (0.4,) * 3}),
        ("image", "image", {"std": (0.4,) * 3}),
        ("image", "image", {"interpolation": "bicubic"}),
        ("audio", "waveform", {"sample_rate": 4000}),
        ("audio", "waveform", {"max_seconds": 0.3}),
        ("audio", "waveform", {"min_seconds": 0.2}),
        ("audio", "image", {"size": (64, 64)}),
        ("text", "image", {"size": (64, 64)}),
        ("text", "tokens", {"max_length": 8}),
        ("text", "tokens", {"prefix": "the "}),
        ("image", "tokens", {"max_length": 9}),
        ("image", "waveform", {"sample_rate": 4000}),
        ("audio", "tokens", {"max_length": 9}),
    ],
)
def test_the_recorded_path_changes_with_every_setting(
    modality: str, kind: str, change: Mapping[str, Any], source_of: Build, target_of: Build
) -> None:
    target, source = target_of(modality), source_of(kind)
    other = replace(source, input=replace(source.input, **change))  # type: ignore[type-var]
    path = find_adapter(target, source).path
    assert find_adapter(target, source).path == path
    assert find_adapter(target, other).path != path


class Holed:
    """Rows that cannot be read, but for those in `readable`."""

    def __init__(self, readable: Mapping[int, Any], n: int) -> None:
        self.readable, self.n, self.seen = readable, n, []  # type: ignore[var-annotated]

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, row: int) -> Any:
        self.seen.append(row)
        if row not in self.readable:
            raise CorruptSampleError(f"row {row}", "torn")
        return self.readable[row]


def test_probe_is_spread_over_the_rows_and_passes_over_damaged_ones(source_of: Build, target_of: Build) -> None:
    names = [f"the {i}" for i in range(100)]
    target = from_arrays(names, [i % 2 for i in range(100)], modality="text")
    holed = Holed({40: "the cat", 80: "the dog"}, 100)
    find_adapter(replace(target, samples=holed), source_of("tokens"), n_probe=5)
    assert holed.seen == [0, 20, 40, 60, 80]
    with pytest.raises(AdapterError, match="arrays: none of the first samples looked at can be read"):
        find_adapter(replace(target, samples=Holed({}, 100)), source_of("tokens"))
