"""Sounds drawn as log-mel spectrograms, for models that look."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..results import Setting
from ..sources.source import ImageInput, InputSpec
from ..targets.target import Waveform
from .graph import register_converter
from .waveform_to_waveform import cut, mono_at

if TYPE_CHECKING:
    from PIL.Image import Image

RATE = 16_000  # frames per second
WINDOW, HOP = 400, 160  # 25 ms and 10 ms at that rate, as the AST and most speech models use
N_FFT, LOWEST = 2048, 50.0  # so that the narrow low mel bands have bins of their own; Hz
MAX_MELS = 128
TOP_DB = 80.0  # what is further below the loudest point is black
MAX_SECONDS = 10.24  # of AST
SQUARE = (224, 224)  # where the source does not take pictures itself


@register_converter(
    "waveform",
    "image",
    cost=2.0,
    reference=(
        "Gong, Chung and Glass, AST, Interspeech 2021 (128 log-mels, 25/10 ms); "
        "Palanisamy, Singhania and Yao, arXiv 2007.11154, 2020 (ImageNet CNNs on spectrograms)"
    ),
)
class DrawSpectrogram:
    """Sounds to gray pictures of the source's exact size: time to the right, low frequencies at the bottom.

    All sounds of a target share one duration, the 95th percentile of those looked at, so that a second is equally
    wide everywhere. Shorter ones are followed by silence, longer ones are cut and counted. Each is scaled to its
    own loudest point.
    """

    def __init__(self, spec: InputSpec, probe: Sequence[Waveform]) -> None:
        self.height, self.width = spec.size if isinstance(spec, ImageInput) else SQUARE
        self.n_mels = min(MAX_MELS, max(32, self.height))
        durations = [sound.samples.shape[1] / sound.rate for sound in probe]
        self.seconds = min(MAX_SECONDS, math.ceil(float(np.percentile(durations, 95)) * 10) / 10)
        self._bank: Any = None

    def settings(self) -> Mapping[str, Setting]:
        """Everything that decides the picture."""
        return {
            "sample_rate": RATE, "window": WINDOW, "hop": HOP, "n_fft": N_FFT, "lowest_hz": LOWEST,
            "n_mels": self.n_mels, "top_db": TOP_DB, "seconds": self.seconds,
            "height": self.height, "width": self.width,
        }  # fmt: skip

    def __call__(self, samples: Sequence[Waveform], edits: Counter[str]) -> list[Image]:
        import torch

        length = max(int(self.seconds * RATE), WINDOW)
        waves = torch.zeros(len(samples), length)
        for i, sound in enumerate(samples):
            wave = cut(mono_at(sound, RATE, edits), RATE, self.seconds, edits)
            waves[i, : len(wave)] = wave
        return [self._picture(levels) for levels in self._levels(waves)]

    def _levels(self, waves: Any) -> np.ndarray:
        """Log-mel levels in 0..1 of each wave's own range of TOP_DB, (n, n_mels, frames); silence is 0."""
        import torch
        from torchaudio.functional import melscale_fbanks

        if self._bank is None:
            self._bank = melscale_fbanks(N_FFT // 2 + 1, LOWEST, RATE / 2, self.n_mels, RATE)
        window = torch.hann_window(WINDOW)
        spectrum = torch.stft(waves, N_FFT, HOP, WINDOW, window, pad_mode="constant", return_complex=True)
        power = (spectrum.abs().square().transpose(1, 2) @ self._bank).transpose(1, 2)
        decibels = 10 * power.clamp(min=1e-10).log10()
        top = decibels.amax(dim=(1, 2), keepdim=True)
        levels = ((decibels - top + TOP_DB) / TOP_DB).clamp(0, 1)
        silent = power.amax(dim=(1, 2), keepdim=True) <= 1e-10
        return torch.where(silent, torch.zeros_like(levels), levels).numpy()

    def _picture(self, levels: np.ndarray) -> Image:
        from PIL import Image as Images

        image = Images.fromarray((levels[::-1] * 255).round().astype(np.uint8))
        return image.resize((self.width, self.height), Images.Resampling.BILINEAR)
