"""Packaged models: what their twins and files are, and, with the real weights, that they see, read and hear."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from transferscope.adapters import find_adapter
from transferscope.errors import UnknownNameError
from transferscope.features.pooling import pool
from transferscope.sources import ImageInput, Source, load_source
from transferscope.sources.packages.imagenet import _in_order
from transferscope.sources.packages.recipe import RECIPES
from transferscope.sources.packages.text import e5_state
from transferscope.targets.arrays import from_arrays
from transferscope.wheels import Wheel

IMAGENET = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2", "mobilenet-v2")
BUILT_ALONE = (*IMAGENET, "ocr-crnn", "craft", "resemblyzer", "crepe-tiny")  # twins that need no file of the package
HEAVY = ("efficientnet-lite1", "efficientnet-lite2", "craft")
PALACE = 698


def outputs_of(source: Source, modality: str, samples: Sequence[Any]) -> Any:
    """Pooled features of every layer, and the logits."""
    labels = np.repeat([0, 1], 2 * len(samples))
    target = from_arrays([*samples] * 4, labels, modality=modality)  # type: ignore[arg-type]
    inputs = find_adapter(target, source).prepare([target.samples[i] for i in range(len(samples))], Counter())
    with torch.no_grad():
        outputs = source.run(inputs, source.card.layers)
    return {layer: pool(found) for layer, found in outputs.layers.items()}, outputs.logits


def samples_for(source: Source) -> tuple[str, list[Any]]:
    rng = np.random.default_rng(0)
    if source.input.kind == "image":
        return "image", [Image.fromarray(rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)) for _ in range(2)]
    if source.input.kind == "tokens":
        return "text", ["A cat sat on the mat.", "Stock prices fell."]
    time = np.arange(16_000) / 16_000
    tones = [0.3 * np.sin(2 * np.pi * hertz * time[:n]) for hertz, n in ((220, 9000), (660, 16_000))]
    return "audio", [(tone.astype(np.float32), 16_000) for tone in tones]


def unpretrained(name: str, seed: int = 0) -> Source:
    size = "&size=64" if name in (*IMAGENET, "craft") else ""
    return load_source(f"package:{name}?weights=random{size}", seed=seed)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in HEAVY else []) for name in BUILT_ALONE]
)
def test_twins_need_no_download(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wheel, "path", lambda wheel: pytest.fail(f"asked for {wheel.requirement}"))
    source = unpretrained(name)
    modality, samples = samples_for(source)
    values, logits = outputs_of(source, modality, samples)
    assert list(values) == list(source.card.layers)
    for found in values.values():
        assert torch.isfinite(found).all()
        assert not torch.equal(found[0], found[1])
    assert (logits, source.card.n_source_classes, source.card.pretraining) == (None, None, None)
    assert source.card.is_random
    assert source.card.license == RECIPES[name].license
    assert "weights" not in str(source.card.twin_of)


@pytest.mark.parametrize("name", ["mobilenet-v2", "ocr-crnn", "resemblyzer", "crepe-tiny"])
def test_twins_are_by_their_seed(name: str) -> None:
    torch.manual_seed(1)
    first = unpretrained(name, 3).card
    torch.manual_seed(2)
    assert unpretrained(name, 3).card == first
    assert unpretrained(name, 4).card.weights_sha256 != first.weights_sha256


@pytest.mark.parametrize("name", ["resemblyzer", "crepe-tiny"])
def test_sounds_are_heard_alone_whatever_is_in_the_batch(name: str) -> None:
    source = unpretrained(name)
    rng = np.random.default_rng(0)
    sounds = [(rng.normal(0, 0.05, n).astype(np.float32), 16_000) for n in (1700, 16_000, 5555)]
    together, _ = outputs_of(source, "audio", sounds)
    for i, sound in enumerate(sounds):
        alone, _ = outputs_of(source, "audio", [sound])
        for layer in alone:
            torch.testing.assert_close(alone[layer][0], together[layer][i], rtol=1e-4, atol=1e-5)


def test_sizes_are_an_option_of_image_models() -> None:
    source = load_source("package:mobilenet-v2?weights=random&size=64x96")
    assert source.input == ImageInput((64, 96), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear", 224 / 256)
    crnn = load_source("package:ocr-crnn?weights=random").input
    assert isinstance(crnn, ImageInput)
    assert (crnn.size, crnn.channels) == ((64, 256), 1)


def test_unknown_packages_and_options_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="no packaged model named 'mobilnet-v2'. Did you mean 'mobilenet-v2'"):
        load_source("package:mobilnet-v2")
    with pytest.raises(UnknownNameError, match="no option of package: named 'seed'"):
        load_source("package:mobilenet-v2?seed=3")


def test_recipes_state_where_their_weights_are_from() -> None:
    assert len(RECIPES.values()) >= 10
    for recipe in RECIPES.values():
        assert recipe.license
        assert recipe.pretraining
        for wheel in recipe.wheels:
            assert "==" in wheel.requirement
            assert len(wheel.sha256) == 64
            assert 1 < wheel.megabytes < 100


def test_tensors_renamed_by_order_must_fit() -> None:
    ours = {"a.weight": torch.zeros(2, 3), "a.num_batches_tracked": torch.tensor(0), "a.bias": torch.zeros(2)}
    theirs = {"x.weight": torch.ones(2, 3), "x.bias": torch.ones(2), "x.num_batches_tracked": torch.tensor(9)}
    renamed = _in_order(theirs, ours)
    assert renamed.keys() == ours.keys()
    assert renamed["a.weight"] is theirs["x.weight"]
    for wrong in (
        {"x.weight": torch.ones(3, 2), "x.bias": torch.ones(2)},
        {"x.bias": torch.ones(2, 3), "x.weight": torch.ones(2)},
    ):
        with pytest.raises(ValueError, match=r"does not fit a.weight \(2, 3\)"):
            _in_order(wrong, ours)
    with pytest.raises(ValueError, match="zip"):
        _in_order({"x.weight": torch.ones(2, 3)}, ours)


class Held:
    """A wheel in memory."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self, member: str) -> bytes:
        return self.content


def test_four_bit_weights_are_read_as_their_format_says() -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 16, (1536, 12, 32))  # 1536 * 384 weights in blocks of 32
    scales = rng.uniform(0.01, 0.1, (1536, 12)).astype("<f2")
    nibbles = (levels[..., :16] | levels[..., 16:] << 4).astype("u1")
    packed = np.empty((1536, 12), np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)]))
    packed["scale"], packed["nibbles"] = scales, nibbles
    plain = rng.normal(size=384).astype("<f4")
    bodies = [("l3.fi.w", 1, 1536 * 384, packed.tobytes()), ("emb.ln.b", 0, 384, plain.tobytes())]
    table, vocabulary = b"normaliser", b"ab"
    head = b"E5S1" + bytes(4 + 7 * 4 + 4 + 4)
    head += struct.pack("<5iQ", 2, 0, 0, 0, 0, len(vocabulary)) + bytes(4 * 3 + 4 * 2) + vocabulary
    head += struct.pack("<iI", 0, len(table)) + table + struct.pack("<i", len(bodies))
    size = len(head) + sum(2 + len(name) + 21 for name, *_ in bodies)
    for name, kind, count, body in bodies:
        head += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", kind, count, size, len(body))
        size += len(body)
    state = e5_state(Held(head + b"".join(body for *_, body in bodies)))  # type: ignore[arg-type]
    expected = ((levels - 8) * scales.astype(np.float32)[..., None]).reshape(1536, 384)
    np.testing.assert_allclose(state["encoder.layer.3.intermediate.dense.weight"], expected, rtol=1e-6)
    np.testing.assert_array_equal(state["embeddings.LayerNorm.bias"], plain)
    with pytest.raises(ValueError, match="starts with b'JUNK', expected b'E5S1'"):
        e5_state(Held(b"JUNK" + bytes(99)))  # type: ignore[arg-type]


def cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))


@cache
def real(name: str) -> Source:
    """With the weights that its package ships."""
    return load_source(f"package:{name}")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RECIPES))
def test_real_weights_load_differ_from_their_twin_and_tell_samples_apart(name: str) -> None:
    size = "size=96" if name in (*IMAGENET, "craft") else ""
    source = load_source(f"package:{name}?{size}") if size else real(name)
    twin = load_source(f"package:{name}?weights=random&{size}")
    assert source.card.weights_sha256 != twin.card.weights_sha256
    assert source.card.layers == twin.card.layers
    assert source.card.n_parameters == twin.card.n_parameters > 1e5
    assert (source.card.pretraining, source.card.is_random) == (RECIPES[name].pretraining, False)
    modality, samples = samples_for(source)
    values, _ = outputs_of(source, modality, samples)
    other, _ = outputs_of(twin, modality, samples)
    for layer in source.card.layers:
        assert torch.isfinite(values[layer]).all()
        assert not torch.allclose(values[layer][0], values[layer][1])
        assert not torch.allclose(values[layer], other[layer])


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGENET)
def test_imagenet_networks_see_a_palace(name: str) -> None:
    from sklearn.datasets import load_sample_image

    photos = [Image.fromarray(load_sample_image(f"{photo}.jpg")) for photo in ("china", "flower")]
    source = real(name)
    _, logits = outputs_of(source, "image", photos)
    assert logits.shape == (2, 1000)
    assert source.card.n_source_classes == 1000
    assert int(logits[0].argmax()) == PALACE
    assert int(logits[1].argmax()) != PALACE


@pytest.mark.slow
def test_minilm_puts_paraphrases_together() -> None:
    texts = ["A man is playing a guitar.", "Someone plays the guitar.", "The stock market fell sharply today."]
    values, _ = outputs_of(real("minilm-l6"), "text", texts)
    last = list(values.values())[-1]
    assert cosine(last[0], last[1]) > 0.7
    assert cosine(last[0], last[2]) < 0.3


@pytest.mark.slow
def test_e5_puts_translations_together() -> None:
    texts = ["The soup needs more salt.", "La soupe a besoin de plus de sel."]
    texts += ["My dog likes to swim in the lake.", "Mon chien aime nager dans le lac."]
    source = real("e5-small")
    assert source.input.prefix == "query: "  # type: ignore[union-attr]
    values, _ = outputs_of(source, "text", texts)
    last = list(values.values())[-1]
    for english, french, other in ((0, 1, 3), (2, 3, 1)):
        assert cosine(last[english], last[french]) > 0.9 > cosine(last[english], last[other])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layer"), [("crepe-tiny", "conv.6"), ("resemblyzer", "embedding")])
def test_sound_networks_hear_pitch_and_not_how_quiet_it_is(name: str, layer: str) -> None:
    time = np.arange(16_000) / 16_000

    def voice(hertz: float, level: float) -> tuple[np.ndarray, int]:
        wave = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 8))
        return (level * wave).astype(np.float32), 16_000

    voices = [voice(120, 0.003), voice(120, 0.009), voice(330, 0.003)]
    values, _ = outputs_of(real(name), "audio", voices)
    heard = values[layer]
    assert cosine(heard[0], heard[1]) > 0.999
    assert cosine(heard[0], heard[2]) < 0.95
