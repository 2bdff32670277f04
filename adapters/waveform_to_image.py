"""Sounds drawn as log-mel spectrograms, for models that look."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..results import Setting
from ..sources.source import ImageInput, InputSpec
from ..targets.target import Waveform
from .graph import register_converter
from .mel import HOP, LOWEST, N_FFT, RATE, TOP_DB, WINDOW, mel_levels, mel_power
from .waveform_to_waveform import cut, mono_at

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

MAX_MELS = 128
MAX_SECONDS = 10.24  # of AST
SQUARE = (224, 224)  # where the source does not take pictures itself
WINDOWS = (400, 800, 1600)  # 25, 50 and 100 ms: sharp in time, sharp in frequency
DELTA_REACH = 3.0  # standard deviations of the changes that the range from black to white holds on each side


@register_converter(
    "waveform",
    "image",
    cost=2.0,
    reference=(
        "Gong, Chung and Glass, AST, Interspeech 2021 (128 log-mels, 25/10 ms); "
        "Palanisamy, Singhania and Yao, arXiv 2007.11154, 2020 (ImageNet CNNs on spectrograms; several windows); "
        "Furui, IEEE Trans. ASSP 34, 1986 (deltas)"
    ),
    options={"channels": ("repeat", "deltas", "windows")},
)
class DrawSpectrogram:
    """Sounds to pictures of the source's exact size: time to the right, low frequencies at the bottom.

    All sounds of a target share one duration, the 95th percentile of those looked at, so that a second is equally
    wide everywhere. Shorter ones are followed by silence, longer ones are cut and counted. Each is scaled to its
    own loudest point.

    Parameters
    ----------
    spec : InputSpec
    probe : sequence of Waveform
    channels : {"repeat", "deltas", "windows"}
        What a source's three channels show. "repeat": one gray picture, three times. "deltas": the levels, their
        change over time and the change of that, no change being mid-gray. "windows": the levels by windows of
        25, 50 and 100 ms. A source of one channel gets the gray picture whatever is asked.
    """

    def __init__(self, spec: InputSpec, probe: Sequence[Waveform], channels: str = "repeat") -> None:
        self.height, self.width = spec.size if isinstance(spec, ImageInput) else SQUARE
        coloured = isinstance(spec, ImageInput) and spec.channels == 3
        self.channels = channels if coloured else "gray"
        self.n_mels = min(MAX_MELS, max(32, self.height))
        durations = [sound.samples.shape[1] / sound.rate for sound in probe]
        self.seconds = min(MAX_SECONDS, math.ceil(float(np.percentile(durations, 95)) * 10) / 10)
        self.reaches = self._reaches(probe) if self.channels == "deltas" else ()

    def settings(self) -> Mapping[str, Setting]:
        """Everything that decides the picture; a source of one channel has "gray" for its plan of channels."""
        windows = {"windows": str(WINDOWS)} if self.channels == "windows" else {}
        deltas = {f"delta_{i}_reach": reach for i, reach in enumerate(self.reaches, start=1)}
        return {
            "sample_rate": RATE, "window": WINDOW, "hop": HOP, "n_fft": N_FFT, "lowest_hz": LOWEST,
            "n_mels": self.n_mels, "top_db": TOP_DB, "seconds": self.seconds,
            "height": self.height, "width": self.width, "channels": self.channels, **windows, **deltas,
        }  # fmt: skip

    def __call__(self, samples: Sequence[Waveform], edits: Counter[str]) -> list[Image]:
        return [self._picture(planes) for planes in self._planes(self._waves(samples, edits)).numpy()]

    def _waves(self, samples: Sequence[Waveform], edits: Counter[str]) -> Tensor:
        """Sounds of one duration, (n, frames)."""
        import torch

        waves = torch.zeros(len(samples), max(int(self.seconds * RATE), WINDOW))
        for i, sound in enumerate(samples):
            wave = cut(mono_at(sound, RATE, edits), RATE, self.seconds, edits)
            waves[i, : len(wave)] = wave
        return waves

    def _planes(self, waves: Tensor) -> Tensor:
        """What the channels show, in 0..1, (n, 1 or 3, n_mels, frames)."""
        import torch

        windows = WINDOWS if self.channels == "windows" else (WINDOW,)
        planes = [mel_levels(mel_power(waves, self.n_mels, window=window)) for window in windows]
        if self.channels == "deltas":
            changes = zip(_changes(planes[0]), self.reaches, strict=True)
            planes += [(0.5 + change / (2 * reach)).clamp(0, 1) for change, reach in changes]
        return torch.stack(planes, dim=1)

    def _reaches(self, probe: Sequence[Waveform]) -> tuple[float, ...]:
        """The change that is white, of each delta: the same for all sounds, so that a shade means one speed."""
        levels = mel_levels(mel_power(self._waves(probe, Counter()), self.n_mels))
        spread = [DELTA_REACH * float(change.double().square().mean().sqrt()) for change in _changes(levels)]
        return tuple(float(f"{reach:.3g}") or 1.0 for reach in spread)

    def _picture(self, planes: np.ndarray) -> Image:
        from PIL import Image as Images

        pixels = (planes[:, ::-1] * 255).round().astype(np.uint8)
        drawn = pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
        return Images.fromarray(drawn).resize((self.width, self.height), Images.Resampling.BILINEAR)


def _changes(levels: Tensor) -> tuple[Tensor, Tensor]:
    """Change a frame, by regression over five frames, and the change of that."""
    from torchaudio.functional import compute_deltas

    first = compute_deltas(levels)
    return first, compute_deltas(first)
