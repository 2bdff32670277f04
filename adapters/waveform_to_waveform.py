"""Sounds fitted to a source: one channel, its sample rate, its longest and shortest duration."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..examples import Look
from ..results import Setting
from ..sources.source import Inputs, WaveformInput
from ..targets.target import Waveform
from .graph import register_converter
from .looking import LONG_SIDE, gray, look_of_sound, small

if TYPE_CHECKING:
    from torch import Tensor


@register_converter(
    "waveform", "waveform", cost=0.0, reference="Smith, Digital Audio Resampling, CCRMA (windowed sinc interpolation)"
)
class FitWaveform:
    """Sounds to ``{"input_values", "attention_mask": (n, frames)}``, or what the source's extractor makes of them."""

    def __init__(self, spec: WaveformInput, probe: Sequence[Any]) -> None:
        self.spec = spec

    def settings(self) -> Mapping[str, Setting]:
        """Everything that decides the samples."""
        extractor = self.spec.extractor
        return {
            "sample_rate": self.spec.sample_rate, "max_seconds": self.spec.max_seconds,
            "min_seconds": self.spec.min_seconds,
            "extractor": None if extractor is None else str(extractor.to_dict()),
        }  # fmt: skip

    def __call__(self, samples: Sequence[Waveform], edits: Counter[str]) -> Inputs:
        import torch

        rate = self.spec.sample_rate
        waves = [cut(mono_at(sound, rate, edits), rate, self.spec.max_seconds, edits) for sound in samples]
        shortest = int(self.spec.min_seconds * rate)
        if self.spec.extractor is not None:
            padded = [np.pad(wave.numpy(), (0, max(0, shortest - len(wave)))) for wave in waves]
            edits["padded"] += sum(len(wave) < shortest for wave in waves)
            made = self.spec.extractor(padded, sampling_rate=rate, return_tensors="pt", padding=self._padding())
            return dict(made)
        longest = max(shortest, *(len(wave) for wave in waves))
        values, mask = torch.zeros(len(waves), longest), torch.zeros(len(waves), longest)
        for i, wave in enumerate(waves):
            values[i, : len(wave)] = wave
            mask[i, : max(len(wave), shortest)] = 1
            edits["padded"] += len(wave) < shortest
        return {"input_values": values, "attention_mask": mask}

    def show(self, sample: Waveform, made: Inputs) -> Look:
        """The outline of the sound, or the spectrogram that the extractor made, time along its longer side."""
        values = next(tensor for tensor in made.values() if tensor.is_floating_point())[0].numpy()
        while values.ndim > 2:  # several views of one sound: the first
            values = values[0]
        if values.ndim == 1:
            return look_of_sound(values, self.spec.sample_rate)
        plane = values if values.shape[0] <= values.shape[1] else values.T
        n_bands, n_frames = plane.shape
        levels = gray((plane[::-1] - plane.min()) / max(float(np.ptp(plane)), 1e-12))
        fitted = levels.resize((min(n_frames, LONG_SIDE), min(n_bands, LONG_SIDE)))  # half a minute is a thread else
        return Look(f"spectrogram of {n_frames} frames, {n_bands} bands", picture=small(fitted))

    def _padding(self) -> str | bool:
        """The extractor's own padding (Whisper's is to its full length), or else to the longest of the batch."""
        own = inspect.signature(self.spec.extractor.__call__).parameters.get("padding")
        return (own.default if own else None) or True


def mono_at(sound: Waveform, rate: int, edits: Counter[str]) -> Tensor:
    """The channels' mean at `rate` frames per second; what changes is counted."""
    import torch

    if sound.samples.shape[0] > 1:
        edits["mixed_to_mono"] += 1
    edits["band_hz"] += sound.rate / 2  # type: ignore[assignment]  # a Counter adds any number
    edits["band_hz_lost"] += max(0, sound.rate - rate) / 2  # type: ignore[assignment]
    wave = torch.from_numpy(np.ascontiguousarray(sound.samples.mean(axis=0, dtype=np.float32)))
    if sound.rate == rate:
        return wave
    edits["resampled"] += 1
    edits["band_lost"] += sound.rate > rate  # everything above half the new rate
    return _resampler(sound.rate, rate)(wave)


def cut(wave: Tensor, rate: int, max_seconds: float, edits: Counter[str]) -> Tensor:
    """The first `max_seconds`; seconds had and seconds dropped are counted."""
    kept = wave[: int(max_seconds * rate)]
    edits["seconds"] += len(wave) / rate  # type: ignore[assignment]  # a Counter adds any number
    edits["seconds_dropped"] += (len(wave) - len(kept)) / rate  # type: ignore[assignment]
    return kept


@lru_cache(maxsize=32)
def _resampler(rate: int, to: int) -> Any:
    """torchaudio's windowed-sinc resampler; building its kernel costs more than using it."""
    from torchaudio.transforms import Resample

    return Resample(rate, to)
