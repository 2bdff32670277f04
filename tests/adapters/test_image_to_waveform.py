"""Pictures as sounds: rows become frequencies, columns time, brightness level; the same each time, never too loud."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from transferscope.adapters.image_to_waveform import LOUDNESS, RANGE_DB, PlayPicture
from transferscope.sources import TokensInput, WaveformInput


def play(pictures: Sequence[Image.Image], rate: int = 16_000, edits: Any = None, **spec: float) -> list[np.ndarray]:
    made = PlayPicture(WaveformInput(rate, **{"max_seconds": 30.0, **spec}), pictures)  # type: ignore[arg-type]
    sounds = made(pictures, Counter() if edits is None else edits)
    assert {sound.rate for sound in sounds} == {rate}
    return [sound.samples[0] for sound in sounds]


def bar(rows: slice, columns: slice, level: int = 255) -> Image.Image:
    plane = np.zeros((100, 100), np.uint8)
    plane[rows, columns] = level
    return Image.fromarray(plane)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
@pytest.mark.parametrize("row", [10, 50, 90])
def test_a_bright_row_is_a_tone_of_its_height(rate: int, row: int) -> None:
    (wave,) = play([bar(slice(row, row + 1), slice(None))], rate)
    spectrum = np.abs(np.fft.rfft(wave)) ** 2
    hertz = np.fft.rfftfreq(len(wave), 1 / rate)
    expected = (100 - row - 0.5) / 100 * rate / 2  # low at the bottom
    assert (spectrum * hertz).sum() / spectrum.sum() == pytest.approx(expected, abs=0.015 * rate / 2)


@pytest.mark.parametrize("column", [20, 50, 80])
def test_a_bright_column_sounds_at_its_time(column: int) -> None:
    (wave,) = play([bar(slice(None), slice(column, column + 5))])
    power = wave.astype(np.float64) ** 2
    moment = (power * np.arange(len(wave))).sum() / power.sum() / len(wave)
    assert moment == pytest.approx((column + 2.5) / 100, abs=0.01)


def test_the_sounds_spectrogram_is_the_picture() -> None:
    from scipy.ndimage import gaussian_filter

    plane = gaussian_filter(np.random.default_rng(0).normal(size=(257, 251)), 12)
    gray = ((plane - plane.min()) / np.ptp(plane) * 200 + 55).astype(np.uint8)
    made = PlayPicture(WaveformInput(16_000, 30.0), [])
    (sound,) = made([Image.fromarray(gray)], Counter())
    window, hop = int(made.settings()["window"]), int(made.settings()["hop"])  # type: ignore[arg-type]
    spectrum = torch.stft(
        torch.from_numpy(sound.samples[0]), window, hop, window=torch.hann_window(window), return_complex=True
    )
    decibels = 20 * spectrum.abs().clamp(min=1e-9).log10().numpy()[::-1]
    assert decibels.shape == gray.shape
    assert np.corrcoef(decibels.ravel(), gray.ravel())[0, 1] > 0.9
    slope = np.polyfit(gray.ravel() / 255, decibels.ravel(), 1)[0]
    assert slope == pytest.approx(RANGE_DB, rel=0.15)


def test_black_is_silent_and_brighter_is_louder_and_nothing_is_beyond_one() -> None:
    waves = play([Image.new("L", (50, 60), level) for level in (0, 100, 200, 255)])
    assert not waves[0].any()
    levels = [np.sqrt((wave.astype(np.float64) ** 2).mean()) for wave in waves]
    assert levels == sorted(levels)
    assert levels[3] == pytest.approx(LOUDNESS, rel=0.1)
    assert 20 * np.log10(levels[3] / levels[2]) == pytest.approx(55 / 255 * RANGE_DB, abs=0.5)
    stripes = [bar(slice(None), slice(i, i + 1)) for i in range(0, 100, 25)]
    assert max(np.abs(wave).max() for wave in [*waves, *play(stripes)]) <= 1


def test_a_picture_always_gives_the_same_sound_whatever_its_neighbours_and_torchs_generator() -> None:
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (30, 40), dtype=np.uint8)) for _ in range(3)]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    together = play(pictures)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    for picture, wave in zip(pictures, together, strict=True):
        np.testing.assert_array_equal(play([picture])[0], wave)


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [({}, 2.0), ({"min_seconds": 3.0}, 3.0), ({"max_seconds": 0.5}, 0.5), ({"max_seconds": 0.01}, 0.064)],
)
def test_duration_is_within_what_the_source_takes(spec: dict[str, float], seconds: float) -> None:
    (wave,) = play([Image.new("RGB", (3, 2), "white")], **spec)
    assert len(wave) / 16_000 == pytest.approx(seconds, abs=0.01)
    assert wave.dtype == np.float32


def test_a_source_that_takes_no_sounds_gets_a_common_rate() -> None:
    made = PlayPicture(TokensInput(None, 64, None), [])  # type: ignore[arg-type]
    assert made.settings()["sample_rate"] == 16_000


def test_changes_are_counted() -> None:
    edits: Counter[str] = Counter()
    play([Image.new("RGB", (502, 257)), Image.new("L", (251, 257)), Image.new("1", (5, 4))], edits=edits)
    assert edits == {
        "resized": 2, "channels_dropped": 1, "pixels": 753 * 257 + 20, "pixels_dropped": 251 * 257,
    }  # fmt: skip
