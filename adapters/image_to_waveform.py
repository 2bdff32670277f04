"""Pictures read as magnitude spectrograms and turned to sound, for models that hear."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..results import Setting
from ..sources.source import InputSpec, WaveformInput
from ..targets.target import Waveform
from .graph import register_converter

if TYPE_CHECKING:
    from PIL.Image import Image

RATE = 16_000  # where the source does not take sounds itself
SECONDS = 2.0  # makes the plane about square at the window below
WINDOW_SECONDS = 0.032  # the nearest power of two is taken; a quarter of it is the hop
RANGE_DB = 60.0  # from the darkest gray to white
ITERATIONS = 16  # the magnitudes hardly change after
SEED = 0  # of the phases at the start; all zero, they would cancel in a plain picture
LOUDNESS = 0.1  # root mean square of a white picture's sound


@register_converter(
    "image",
    "waveform",
    cost=3.0,
    reference="Griffin and Lim, IEEE Trans. ASSP 32, 1984 (phases from magnitudes)",
)
class PlayPicture:
    """Pictures to sounds whose spectrogram is the gray picture: rows are frequencies, low ones at the bottom.

    Columns are time, from left to right. Gray levels are decibels, since what models of sound see is logarithmic:
    white is loudest, black is silent. All pictures last equally long. The phases start from the same noise each
    time, so that a picture always gives the same sound. No sample is beyond 1 in size; a sound that would be louder
    is turned down.
    """

    def __init__(self, spec: InputSpec, probe: Sequence[Image]) -> None:
        self.rate, self.seconds = RATE, SECONDS
        if isinstance(spec, WaveformInput):
            self.rate = spec.sample_rate
            self.seconds = min(max(SECONDS, spec.min_seconds), spec.max_seconds)
        self.window = 2 ** round(np.log2(WINDOW_SECONDS * self.rate))
        self.hop = self.window // 4
        self.frames = max(int(self.seconds * self.rate) // self.hop, 8) * self.hop  # the transform needs two windows

    def settings(self) -> Mapping[str, Setting]:
        """Everything that decides the sound."""
        return {
            "sample_rate": self.rate, "seconds": self.seconds, "window": self.window, "hop": self.hop,
            "range_db": RANGE_DB, "loudness": LOUDNESS, "iterations": ITERATIONS, "seed": SEED,
        }  # fmt: skip

    def __call__(self, samples: Sequence[Image], edits: Counter[str]) -> list[Waveform]:
        # one by one: a batch's rounding would grow in the phases and make a sound depend on its neighbours
        return [Waveform(self._play(self._magnitudes(image, edits)), self.rate) for image in samples]

    def _magnitudes(self, image: Image, edits: Counter[str]) -> np.ndarray:
        """The gray plane as magnitudes, (frequencies, columns), lowest first."""
        from PIL.Image import Resampling

        width, height = 1 + self.frames // self.hop, 1 + self.window // 2
        edits["resized"] += image.size != (width, height)
        edits["channels_dropped"] += image.mode not in ("1", "L")
        edits["pixels"] += image.width * image.height
        edits["pixels_dropped"] += image.width * image.height - min(image.width, width) * min(image.height, height)
        gray = np.asarray(image.convert("L").resize((width, height), Resampling.BILINEAR))[::-1] / 255.0
        magnitudes = np.where(gray > 0, 10 ** ((gray - 1) * RANGE_DB / 20), 0.0)
        power_of_white = 3 / 8 * self.window  # of a Hann window: what white noise of variance 1 has in a bin
        return (magnitudes * LOUDNESS * np.sqrt(power_of_white)).astype(np.float32)

    def _play(self, magnitudes: np.ndarray) -> np.ndarray:
        """A sound with about these magnitudes, (1, frames)."""
        import torch

        phases = np.random.default_rng(SEED).uniform(-np.pi, np.pi, magnitudes.shape)
        wanted, turned = torch.from_numpy(magnitudes), torch.from_numpy(np.exp(1j * phases).astype(np.complex64))
        form: dict[str, Any] = {
            "n_fft": self.window, "hop_length": self.hop, "window": torch.hann_window(self.window),
        }  # fmt: skip
        for _ in range(ITERATIONS):
            wave = torch.istft(wanted * turned, length=self.frames, **form)
            turned = torch.sgn(torch.stft(wave, return_complex=True, **form))
        wave = torch.istft(wanted * turned, length=self.frames, **form)
        return (wave / wave.abs().amax().clamp(min=1.0)).numpy()[None]
