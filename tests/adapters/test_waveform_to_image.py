"""Spectrograms: where a tone lights up, what silence and loudness look like, one time axis for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image
from torchaudio.functional import melscale_fbanks

from transferscope.adapters.mel import LOWEST, N_FFT, RATE
from transferscope.adapters.waveform_to_image import DrawSpectrogram
from transferscope.sources import ImageInput, TokensInput
from transferscope.targets import Waveform

SPEC = ImageInput((128, 96), (0.5,), (0.5,))


def tone(hertz: float, rate: int = RATE, seconds: float = 0.5, level: float = 0.5) -> Waveform:
    wave = level * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)
    return Waveform(wave.astype(np.float32)[None], rate)


def draw(sounds: Sequence[Waveform], edits: Counter[str] | None = None, **spec) -> list[np.ndarray]:
    made = DrawSpectrogram(spec.get("spec", SPEC), spec.get("probe", sounds))
    return [np.asarray(image) for image in made(sounds, Counter() if edits is None else edits)]


def row_of(hertz: float, n_mels: int = 128) -> int:
    """The band that holds most of a frequency, counted from the top."""
    bank = melscale_fbanks(N_FFT // 2 + 1, LOWEST, RATE / 2, n_mels, RATE)
    return n_mels - 1 - int(bank[round(hertz * N_FFT / RATE)].argmax())


@pytest.mark.parametrize("hertz", [100, 250, 440, 1000, 2500, 5000, 7500])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_tone_lights_the_row_of_its_frequency(hertz: float, rate: int) -> None:
    (picture,) = draw([tone(hertz, rate)])
    assert picture.shape == (128, 96)
    middle = picture[:, 24:72].mean(axis=1)
    assert abs(int(middle.argmax()) - row_of(hertz)) <= 1
    assert middle.max() > 240


def test_higher_tones_are_higher_up() -> None:
    rows = [picture.mean(axis=1).argmax() for picture in draw([tone(h) for h in (200, 600, 1800, 5400)])]
    assert rows == sorted(rows, reverse=True)
    assert len(set(rows)) == 4


def test_silence_is_black_and_follows_short_sounds() -> None:
    silent, short, long = draw([Waveform(np.zeros((1, 8000), np.float32), RATE), tone(1000, seconds=0.25), tone(1000)])
    assert not silent.any()
    assert short[:, :40].max() == 255
    assert not short[:, 56:].any()
    assert long[:, 56:90].max() > 240


@pytest.mark.parametrize("gain", [0.01, 0.1, 1.9])
def test_loudness_does_not_change_the_picture(gain: float) -> None:
    plain, scaled = draw([tone(700), tone(700, level=0.5 * gain)])
    assert np.abs(plain.astype(int) - scaled).max() <= 1


def test_duration_is_that_of_all_but_the_longest_sounds_looked_at() -> None:
    probe = [tone(500, seconds=s) for s in [0.23] * 19 + [3.0]]
    made = DrawSpectrogram(SPEC, probe)
    assert made.settings()["seconds"] == pytest.approx(0.4)  # 95th percentile, rounded up to a tenth
    assert DrawSpectrogram(SPEC, [tone(500, seconds=30)]).settings()["seconds"] == 10.24
    edits: Counter[str] = Counter()
    made([probe[0], probe[-1]], edits)
    assert edits["seconds"] == pytest.approx(3.23)
    assert edits["seconds_dropped"] == pytest.approx(2.6)


def test_changes_are_counted() -> None:
    edits: Counter[str] = Counter()
    stereo = Waveform(np.repeat(tone(500, 44_100).samples, 2, axis=0), 44_100)
    draw([stereo, tone(500, 8000), tone(500)], edits)
    assert (edits["mixed_to_mono"], edits["resampled"], edits["band_lost"]) == (1, 2, 1)


@pytest.mark.parametrize(
    ("size", "n_mels"), [((224, 224), 128), ((64, 256), 64), ((16, 16), 32), ((384, 384), 128), ((1, 1), 32)]
)
def test_pictures_have_the_sources_size(size: tuple[int, int], n_mels: int) -> None:
    spec = ImageInput(size, (0.5,), (0.5,))
    (picture,) = draw([tone(500)], spec=spec)
    assert picture.shape == size
    assert DrawSpectrogram(spec, [tone(500)]).settings()["n_mels"] == n_mels


def test_on_the_way_to_tokens_pictures_are_square() -> None:
    made = DrawSpectrogram(TokensInput(None, 64, None), [tone(500)])  # type: ignore[arg-type]
    (image,) = made([tone(500)], Counter())
    assert isinstance(image, Image.Image)
    assert (image.mode, image.size) == ("L", (224, 224))


def test_a_very_short_sound_is_drawn() -> None:
    (picture,) = draw([Waveform(np.full((1, 3), 0.5, np.float32), RATE)])
    assert picture.max() == 255


RGB = ImageInput((128, 96), (0.5,) * 3, (0.5,) * 3)


def planes(sounds: Sequence[Waveform], channels: str) -> list[np.ndarray]:
    return [np.asarray(image).astype(int) for image in DrawSpectrogram(RGB, sounds, channels)(sounds, Counter())]


def steps() -> Waveform:
    """Half a second of noise that swells, half a second of the same that fades."""
    ramp = np.concatenate([np.linspace(-60, 0, RATE // 2), np.linspace(0, -60, RATE // 2)])
    noise = np.random.default_rng(0).normal(size=RATE) * 0.1 * 10 ** (ramp / 20)
    return Waveform(noise.astype(np.float32)[None], RATE)


def test_deltas_are_the_levels_their_change_and_the_change_of_that() -> None:
    (picture,) = planes([steps()], "deltas")
    assert picture.shape == (128, 96, 3)
    np.testing.assert_array_equal(picture[..., 0], draw([steps()])[0])
    swelling, fading = picture[:, 8:40, 1].mean(), picture[:, 56:88, 1].mean()
    assert swelling > 127.5 + 10
    assert fading < 127.5 - 10
    assert swelling + fading == pytest.approx(255, abs=4)
    assert picture[:, 8:40, 2].mean() == pytest.approx(127.5, abs=3)  # an even swell does not quicken
    assert min(np.ptp(picture[..., 1]), np.ptp(picture[..., 2])) > 150  # the range is used


def test_what_does_not_change_is_mid_gray() -> None:
    silent, _ = planes([Waveform(np.zeros((1, RATE), np.float32), RATE), steps()], "deltas")
    assert not silent[..., 0].any()
    assert set(np.unique(silent[..., 1:])) <= {127, 128}


def test_a_shade_of_change_means_the_same_in_every_sound() -> None:
    loud, quiet = planes([steps(), Waveform(steps().samples * 0.1, RATE)], "deltas")
    assert np.abs(loud - quiet).max() <= 2
    alone = DrawSpectrogram(RGB, [steps()], "deltas")
    together = DrawSpectrogram(RGB, [steps(), tone(500, seconds=1.0)], "deltas")
    assert alone.settings()["delta_1_reach"] != together.settings()["delta_1_reach"]


def width(spectrum: np.ndarray) -> int:
    return int((spectrum > 0.5 * spectrum.max()).sum())


def test_longer_windows_are_sharper_in_frequency_and_blurred_in_time() -> None:
    click = np.zeros((1, RATE // 2), np.float32)
    click[0, RATE // 4] = 1
    sounding, clicking = planes([tone(200), Waveform(click, RATE)], "windows")
    rows = [width(sounding[:, 24:72, i].mean(axis=1)) for i in range(3)]
    columns = [width(clicking[..., i].mean(axis=0)) for i in range(3)]
    assert rows[0] > rows[1] > rows[2]
    assert columns[0] < columns[1] < columns[2]
    np.testing.assert_array_equal(sounding[..., 0], draw([tone(200)])[0])


@pytest.mark.parametrize("channels", ["repeat", "deltas", "windows"])
def test_a_source_of_one_channel_gets_the_gray_picture_and_the_record_says_so(channels: str) -> None:
    made = DrawSpectrogram(SPEC, [tone(500)], channels)
    (image,) = made([tone(500)], Counter())
    assert image.mode == "L"
    assert made.settings() == DrawSpectrogram(SPEC, [tone(500)]).settings()
    assert made.settings()["channels"] == "gray"
    assert DrawSpectrogram(RGB, [tone(500)], channels).settings()["channels"] == channels
