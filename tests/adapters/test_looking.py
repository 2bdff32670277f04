"""What a person is shown of a sample: what the source is given, made small, and what was lost on the way."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transferscope.adapters import Adapter, Edge, find_adapter
from transferscope.adapters.looking import LARGEST, LETTERS, LONG_SIDE, look_of, small
from transferscope.errors import AdapterError
from transferscope.examples import Look, Picture, Piece
from transferscope.sources import ImageInput, Source, TokensInput, WaveformInput
from transferscope.targets import Target, Waveform
from transferscope.targets.arrays import from_arrays


class Fake:
    """A source of which only the input counts."""

    def __init__(self, spec: Any) -> None:
        self.input = spec


def looked(spec: Any, *samples: Any, modality: Any = "image", choices: tuple[str, ...] = ()) -> list[Look]:
    target = from_arrays([*samples, *samples] * 2, [0, 1] * 2 * len(samples), modality=modality)
    adapter = find_adapter(target, Fake(spec), choices)  # type: ignore[arg-type]
    return [adapter.look(sample) for sample in samples]


def decoded(picture: Picture | None) -> Image.Image:
    assert picture is not None
    image = Image.open(io.BytesIO(base64.b64decode(picture.data)))
    assert image.size == (picture.width, picture.height)
    assert image.format == picture.format.upper()
    return image


def smooth(width: int, height: int) -> Image.Image:
    """Red grows to the right, green downwards."""
    red, green = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([red, green, np.full_like(red, 90)], axis=2).astype(np.uint8))


def test_a_small_file_keeps_every_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    np.testing.assert_array_equal(decoded(small(Image.fromarray(pixels))), pixels)
    colour = smooth(30, 20)
    np.testing.assert_array_equal(decoded(small(colour)), colour)
    repeated = Image.merge("RGB", [Image.fromarray(pixels)] * 3)
    assert small(repeated) == small(Image.fromarray(pixels))


@pytest.mark.parametrize("size", [(500, 375), (224, 224), (3000, 40), (40, 3000)])
@pytest.mark.parametrize("kind", ["noise", "smooth"])
def test_any_picture_becomes_a_small_file_the_same_each_time(size: tuple[int, int], kind: str) -> None:
    rng = np.random.default_rng(0)
    image = smooth(*size) if kind == "smooth" else Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), np.uint8))
    first = small(image)
    assert first == small(image.copy())
    assert len(base64.b64decode(first.data)) <= LARGEST
    shown = decoded(first)
    assert max(shown.size) <= (2 * LONG_SIDE if first.format == "png" else LONG_SIDE)
    if kind == "smooth":
        expected = np.asarray(image.resize(shown.size), float)
        assert np.abs(np.asarray(shown.convert("RGB"), float) - expected).mean() < 6


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_pictures_of_any_mode_are_shown(mode: str) -> None:
    image = Image.new(mode, (9, 5))
    assert decoded(small(image)).size == (9, 5)


def test_a_cropped_picture_is_shown_as_the_source_gets_it_and_the_share_is_told() -> None:
    spec = ImageInput((64, 64), (0.48, 0.45, 0.4), (0.23, 0.22, 0.225), "bicubic")
    [look] = looked(spec, smooth(500, 375))
    assert look.size == "64 × 64 pixels"
    assert dict(look.lost)["pixels cropped"] == pytest.approx(0.25, abs=0.005)
    assert dict(look.lost)["resized"] is None
    shown = np.asarray(decoded(look.picture), float)
    assert shown[32, 0, 0] == pytest.approx(255 / 8, abs=4)  # an eighth of the width is gone on each side
    assert shown[32, -1, 0] == pytest.approx(255 * 7 / 8, abs=4)
    assert shown[0, 32, 1] == pytest.approx(0, abs=4)
    assert shown[:, :, 2].mean() == pytest.approx(90, abs=1)  # denormalised


def test_a_squeezed_picture_is_said_to_be_so() -> None:
    wide = ImageInput((16, 64), (0.5,), (0.5,))
    assert looked(wide, smooth(40, 40))[0].size == "64 × 16 pixels, stretched"
    assert looked(wide, smooth(80, 20))[0].size == "64 × 16 pixels"


def test_patches_stand_apart(source_of: Callable[[str], Source]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    [look] = looked(source_of("tokens").input, Image.fromarray(pixels))
    assert look.size == "49 patches of 4 × 4 pixels"
    shown = np.asarray(decoded(look.picture))
    assert shown.shape == (34, 34)
    np.testing.assert_array_equal(shown[5:9, 10:14], pixels[4:8, 8:12])
    assert set(shown[4].tolist()) == {128}


def test_tokens_tell_what_is_unknown_and_what_is_cut(tokenizer: Any) -> None:
    from torch import nn

    spec = TokensInput(tokenizer, 6, nn.Embedding(len(tokenizer), 4))
    long, short = looked(spec, "the zebra sat on a mat on the mat", "the cat", modality="text")
    assert short == Look("4 tokens, 1.0 a word", pieces=(
        Piece("[CLS]", "special"), Piece("the"), Piece("cat"), Piece("[SEP]", "special"),
    ))  # fmt: skip
    assert long.size == "6 of 11 tokens, 1.0 a word"
    assert [(piece.text, piece.state) for piece in long.pieces] == [
        ("[CLS]", "special"), ("the", "known"), ("[UNK]", "unknown"), ("sat", "known"), ("on", "known"), ("a", "cut"),
        ("mat", "cut"), ("on", "cut"), ("the", "cut"), ("mat", "cut"), ("[SEP]", "special"),
    ]  # fmt: skip
    assert long.lost == (("tokens unknown", pytest.approx(1 / 9)), ("tokens dropped", pytest.approx(5 / 9)), (
        "truncated", None))  # fmt: skip
    [huge] = looked(spec, "the cat " * 500, modality="text")
    assert len(huge.pieces) < 30
    assert Piece("984 more cut off", "more") in huge.pieces


def test_what_is_cut_at_the_start_is_told_there(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch import nn

    monkeypatch.setattr(tokenizer, "truncation_side", "left")
    [look] = looked(TokensInput(tokenizer, 4, nn.Embedding(len(tokenizer), 4)), "the big red dog", modality="text")
    assert [piece.text for piece in look.pieces if piece.state == "cut"] == ["the", "big"]


def test_a_sound_is_an_outline_of_what_the_source_hears() -> None:
    wave = np.zeros((2, 16_000), np.float32)
    wave[:, 8000:] = 0.25
    original = look_of(Waveform(wave, 16_000))
    assert original.size == "1.00 s at 16 kHz, 2 channels"
    assert original.outline == (0,) * 80 + (100,) * 80
    [look] = looked(WaveformInput(8000, max_seconds=0.75), Waveform(wave, 16_000), modality="audio")
    assert look.size == "0.75 s at 8 kHz"
    assert look.outline[:100] == (0,) * 100 or max(look.outline[:100]) < 15  # resampling rings a little
    assert min(look.outline[110:]) > 85
    assert dict(look.lost)["seconds dropped"] == pytest.approx(0.25)
    assert set(look_of(Waveform(np.zeros((1, 50), np.float32), 8000)).outline) == {0}


def test_a_spectrogram_of_the_sources_own_has_low_frequencies_at_the_bottom() -> None:
    from transformers import WhisperFeatureExtractor

    rate = 16_000
    tone = (0.5 * np.sin(2 * np.pi * 300 * np.arange(15 * rate) / rate)).astype(np.float32)[None]
    spec = WaveformInput(rate, 30.0, extractor=WhisperFeatureExtractor(feature_size=80))
    [look] = looked(spec, Waveform(tone, rate), modality="audio")
    assert look.size == "spectrogram of 3000 frames, 80 bands"
    shown = np.asarray(decoded(look.picture).convert("L"), float)
    rows = shown[:, : shown.shape[1] // 3].mean(axis=1)
    assert rows.argmax() > 0.75 * len(rows)
    assert shown[:, 2 * shown.shape[1] // 3 :].mean() < shown[:, : shown.shape[1] // 3].mean()  # silence follows


def test_long_and_broken_texts_can_be_saved() -> None:
    look = look_of("word " * 1000)
    assert look.size == "1000 words, 5000 letters"
    assert [piece.state for piece in look.pieces] == ["known", "more"]
    assert len(look.pieces[0].text) == LETTERS
    assert look_of("a\ud800b").pieces[0].text.encode() == rb"a\ud800b"


@pytest.mark.parametrize("modality", ["image", "audio", "text"])
@pytest.mark.parametrize(
    "kind", ["image", "image-vit", "waveform", "waveform-wav2vec2", "tokens", "tokens-gpt2", "tokens-cnn"]
)
def test_every_modality_can_be_shown_for_every_source(
    source_of: Callable[[str], Source], target_of: Callable[[str], Target], modality: str, kind: str
) -> None:
    target = target_of(modality)
    adapter = find_adapter(target, source_of(kind))
    for sample in (target.samples[row] for row in range(len(target))):
        look = adapter.look(sample)
        assert (look.picture is not None) + bool(look.outline) + bool(look.pieces) == 1
        assert look == adapter.look(sample)


def test_a_converter_that_cannot_show_says_so() -> None:
    class Silent:
        def __call__(self, samples: Any, edits: Any) -> dict[str, Any]:
            return {}

        def settings(self) -> dict[str, Any]:
            return {}

    edge = Edge("image->image", "image", "image", 0.0, "", Silent)
    with pytest.raises(AdapterError, match="image->image does not say how what it makes is shown"):
        Adapter((edge,), (Silent(),)).look(smooth(4, 4))
