"""Sounds at a source's rate: frequencies stay, and what is mixed, cut or padded is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from transferscope.adapters.waveform_to_waveform import FitWaveform
from transferscope.sources import Inputs, WaveformInput
from transferscope.targets import Waveform


def tone(hertz: float, rate: int, seconds: float = 0.5, channels: int = 1) -> Waveform:
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)
    return Waveform(np.tile(wave.astype(np.float32), (channels, 1)), rate)


def fit(sounds: Sequence[Waveform], edits: Counter[str] | None = None, rate: int = 16_000, **spec: Any) -> Inputs:
    spec = {"max_seconds": 10.0, **spec}
    return FitWaveform(WaveformInput(rate, **spec), sounds)(sounds, Counter() if edits is None else edits)


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("to", [8000, 16_000, 44_100])
def test_resampling_keeps_frequency_level_and_duration(rate: int, to: int) -> None:
    edits: Counter[str] = Counter()
    values = fit([tone(1000, rate)], edits, to)["input_values"][0]
    assert len(values) == pytest.approx(to / 2, abs=2)
    spectrum = torch.fft.rfft(values * torch.hann_window(len(values)))
    assert spectrum.abs().argmax() * to / len(values) == pytest.approx(1000, abs=2)
    middle = values[len(values) // 4 : -len(values) // 4]
    assert middle.abs().max() == pytest.approx(0.5, rel=0.03)
    assert edits["resampled"] == (rate != to)
    assert edits["band_lost"] == (rate > to)


def test_what_the_new_rate_cannot_hold_is_lost_and_not_folded_back() -> None:
    values = fit([tone(6000, 16_000)], rate=8000)["input_values"][0]
    assert values[500:-500].abs().max() < 0.02


def test_channels_are_averaged() -> None:
    left, right = tone(500, 16_000), tone(900, 16_000)
    edits: Counter[str] = Counter()
    stereo = Waveform(np.concatenate([left.samples, right.samples]), 16_000)
    values = fit([stereo, left], edits)["input_values"]
    np.testing.assert_allclose(values[0], (left.samples[0] + right.samples[0]) / 2, atol=1e-7)
    np.testing.assert_array_equal(values[1], left.samples[0])
    assert edits["mixed_to_mono"] == 1
    cancelled = Waveform(np.concatenate([left.samples, -left.samples]), 16_000)
    assert not fit([cancelled])["input_values"].any()


def test_long_sounds_are_cut_and_short_ones_padded_and_both_counted() -> None:
    edits: Counter[str] = Counter()
    sounds = [tone(500, 16_000, seconds) for seconds in (0.05, 0.2, 1.0)]
    made = fit(sounds, edits, max_seconds=0.5, min_seconds=0.1)
    values, mask = made["input_values"], made["attention_mask"]
    assert values.shape == mask.shape == (3, 8000)
    assert mask.sum(dim=1).tolist() == [1600, 3200, 8000]  # what is padded to the minimum is part of the input
    np.testing.assert_array_equal(values[2], sounds[2].samples[0, :8000])
    assert not values[0, 800:].any()
    assert edits["padded"] == 1
    assert edits["seconds"] == pytest.approx(1.25)
    assert edits["seconds_dropped"] == pytest.approx(0.5)


def test_a_batch_of_short_sounds_has_the_shortest_allowed_length() -> None:
    assert fit([tone(500, 16_000, 0.01)], min_seconds=0.1)["input_values"].shape == (1, 1600)


def test_sounds_are_not_modified() -> None:
    sound = tone(500, 48_000, channels=2)
    before = sound.samples.copy()
    fit([sound], max_seconds=0.1)
    np.testing.assert_array_equal(sound.samples, before)


@pytest.mark.parametrize(
    ("extractor", "options", "expected"),
    [
        ("Wav2Vec2FeatureExtractor", {"return_attention_mask": False}, {"input_values": (2, 8000)}),
        ("WhisperFeatureExtractor", {"feature_size": 8}, {"input_features": (2, 8, 3000)}),
        ("ASTFeatureExtractor", {"num_mel_bins": 8, "max_length": 64}, {"input_values": (2, 64, 8)}),
    ],
)
def test_the_sources_own_extractor_makes_the_inputs(extractor: str, options: dict, expected: dict) -> None:
    import transformers

    made = getattr(transformers, extractor)(**options)
    edits: Counter[str] = Counter()
    sounds = [tone(500, 16_000, 0.02), tone(500, 32_000, 0.5)]
    inputs = fit(sounds, edits, min_seconds=0.1, extractor=made)
    assert {name: tuple(value.shape) for name, value in inputs.items()} == expected
    assert edits["padded"] == 1
    settings = FitWaveform(WaveformInput(16_000, 10.0, extractor=made), []).settings()
    assert extractor in str(settings["extractor"])
