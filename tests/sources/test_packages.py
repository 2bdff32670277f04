"""Packaged models: what their twins and files are, and, with the real weights, that they see, read and hear."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from functools import cache, reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchaudio.functional import resample

from transferscope.adapters import find_adapter
from transferscope.errors import SourceError, UnknownNameError
from transferscope.features.pooling import pool
from transferscope.sources import ImageInput, Source, load_source
from transferscope.sources.packages.imagenet import _in_order
from transferscope.sources.packages.recipe import RECIPES
from transferscope.sources.packages.text import e5_state
from transferscope.sources.packages.whisper import ctranslate2_tensors
from transferscope.targets import load_target
from transferscope.targets.arrays import from_arrays
from transferscope.wheels import Wheel

IMAGENET = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2", "mobilenet-v2")
BUILT_ALONE = (
    *IMAGENET,
    "ocr-crnn",
    "craft",
    "resemblyzer",
    "crepe-tiny",
    "silero-vad",
    "whisper-base",
)  # twins that need no file of the package
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


@pytest.mark.parametrize("name", ["resemblyzer", "crepe-tiny", "silero-vad", "whisper-base"])
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


@pytest.mark.parametrize("name", ["efficientnet-lite0", "mobilenet-v2"])
def test_image_models_take_gray_pictures_with_their_weights_summed(name: str) -> None:
    colour, gray = (load_source(f"package:{name}?weights=random&size=64{option}") for option in ("", "&channels=1"))
    assert isinstance(gray.input, ImageInput)
    assert gray.input.channels == 1
    assert gray.card.weights_sha256 != colour.card.weights_sha256
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    expected, _ = outputs_of(colour, "image", [picture])
    found, _ = outputs_of(gray, "image", [picture])
    for layer in expected:
        scale = float(expected[layer].abs().max())
        torch.testing.assert_close(found[layer], expected[layer], rtol=1e-4, atol=1e-5 * scale)


def test_options_of_pictures_are_refused_for_sound() -> None:
    with pytest.raises(SourceError, match="takes no pictures but waveform; leave out channels, size"):
        load_source("package:crepe-tiny?weights=random&size=64&channels=1")


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


def ctranslate2(tensors: dict[str, np.ndarray], version: int = 6) -> bytes:
    """A model file as CTranslate2 writes it."""

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    kinds = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}
    data = struct.pack("<I", version) + text("WhisperSpec") + struct.pack("<II", 3, len(tensors))
    for name, values in tensors.items():
        data += text(name) + struct.pack(
            f"<B{values.ndim}IBI", values.ndim, *values.shape, kinds[str(values.dtype)], values.nbytes
        )
        data += values.tobytes()
    return data + struct.pack("<I", 0)


def test_ctranslate2_files_are_read_by_prefix_and_type() -> None:
    rng = np.random.default_rng(0)
    tensors = {
        "encoder/a": rng.normal(size=(2, 3)).astype("f2"), "decoder/a": rng.normal(size=4).astype("f2"),
        "encoder/b/c": rng.normal(size=(2, 1, 2)).astype("f4"), "encoder/n": np.array(8, "i2"),
    }  # fmt: skip
    found = ctranslate2_tensors(ctranslate2(tensors), "encoder/")
    assert list(found) == ["a", "b/c", "n"]
    for name, values in found.items():
        assert values.shape == tensors[f"encoder/{name}"].shape
        np.testing.assert_array_equal(values, tensors[f"encoder/{name}"].astype("f4"))
    with pytest.raises(ValueError, match="of version 5, expected 6"):
        ctranslate2_tensors(ctranslate2(tensors, 5), "encoder/")


def whisper_on_padded(encoder: Any, wave: np.ndarray) -> tuple[torch.Tensor, ...]:
    """Hidden states of transformers' own extractor and encoder: the sound within 30 seconds."""
    from transformers import WhisperFeatureExtractor

    mels = WhisperFeatureExtractor()(wave, sampling_rate=16_000, return_tensors="pt").input_features
    with torch.no_grad():
        return encoder(mels, output_hidden_states=True).hidden_states


def masked_states(model: Any, wave: np.ndarray, real: int) -> list[torch.Tensor]:
    """transformers' layers on all 1500 positions, with attention to the real ones only."""
    values = whisper_on_padded(model.encoder, wave)[0]
    mask = (torch.arange(1500) < real).expand(1, 1, 1500, 1500)
    states = [values]
    with torch.no_grad():
        for layer in model.encoder.layers:
            values = layer(values, mask)
            states.append(values)
        return [*states[:-1], model.encoder.layer_norm(values)]


def check_whisper(source: Source, wave: np.ndarray) -> None:
    """Its input is Whisper's; so is every layer, except that silence around the sound is not attended to."""
    with torch.no_grad():
        states, mask = source.model(torch.from_numpy(wave).unsqueeze(0), torch.ones(1, len(wave)))
    real = int(mask.sum())
    assert real == -(-len(wave) // 320) == states[0].shape[1]
    for found, expected in zip(states, masked_states(source.model, wave, real), strict=True):
        error = (found - expected[:, :real]).norm() / expected[:, :real].norm()
        assert float(error) < 1e-4


@pytest.mark.parametrize("samples", [1600, 5555, 16_001])
def test_whisper_is_transformers_encoder_but_for_the_silence_around(samples: int) -> None:
    rng = np.random.default_rng(samples)
    check_whisper(unpretrained("whisper-base"), rng.normal(0, 0.1, samples).astype(np.float32))


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
def test_mpnet_puts_paraphrases_together() -> None:
    texts = ["A man is playing a guitar.", "Someone plays the guitar.", "The stock market fell sharply today."]
    values, _ = outputs_of(real("mpnet-base"), "text", texts)
    last = list(values.values())[-1]
    assert cosine(last[0], last[1]) > 0.6
    assert cosine(last[0], last[2]) < 0.2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.load.*:FutureWarning")
def test_silero_is_the_network_of_its_own_program(tmp_path: Path) -> None:
    """The program in the package has weights of another training run than the file that the source reads."""
    wheel = RECIPES["silero-vad"].wheels[0]
    (tmp_path / "vad.jit").write_bytes(wheel.read("silero_vad/data/silero_vad.jit"))
    theirs: Any = torch.jit.load(tmp_path / "vad.jit")
    source = unpretrained("silero-vad")
    parts = {"encoder.": "convs.", "reparam_conv.": "", "decoder.rnn.": "lstm.", "decoder.decoder.2.": "out."}
    state = {}
    for name, tensor in theirs.state_dict().items():
        if name.startswith("_model.") and "stft" not in name:
            name = reduce(lambda text, part: text.replace(*part), parts.items(), name.removeprefix("_model."))
            state[f"{name}_l0" if "lstm" in name else name] = tensor[..., 0] if "out.weight" in name else tensor
    source.model.load_state_dict(state)
    time = np.arange(512 * 40) / 16_000
    voice = sum(np.sin(2 * np.pi * 130 * k * time) / k for k in range(1, 12)) * (np.sin(2 * np.pi * 3 * time) > 0)
    wave = torch.from_numpy(0.1 * voice).float()
    with torch.no_grad():
        states = source.run({"input_values": wave[None], "attention_mask": torch.ones(1, len(wave))}, ["lstm"])
        found = source.model.speech(states.layers["lstm"].values)[0]  # type: ignore[operator]
        expected = torch.cat([theirs(chunk, 16_000).flatten() for chunk in wave.split(512)])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert expected.max() - expected.min() > 0.1


@pytest.mark.slow
def test_whisper_hears_real_notes_as_transformers_does() -> None:
    target = load_target("package:instrument-families")
    source = real("whisper-base")
    notes = [
        resample(torch.from_numpy(n.samples).mean(0), n.rate, 16_000)
        for n in map(target.samples.__getitem__, range(60))
    ]
    music = torch.cat(notes).numpy()
    assert len(music) > 30 * 16_000
    for seconds in (1, 3, 10):
        check_whisper(source, music[: seconds * 16_000])
    whole = music[: 30 * 16_000]  # no silence around it
    with torch.no_grad():
        states, _ = source.model(torch.from_numpy(whole).unsqueeze(0), torch.ones(1, len(whole)))
    for found, expected in zip(states, whisper_on_padded(source.model.encoder, whole), strict=True):
        assert cosine(found[0].mean(0), expected[0].mean(0)) > 0.9999


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
