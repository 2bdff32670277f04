"""Sounds as sequences of log-mel frames in a language model's own embedding space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..examples import Look
from ..results import Setting
from ..sources.source import Inputs, TokensInput
from ..targets.target import Waveform
from .bridge import ALIGN, Bridge
from .graph import register_converter
from .looking import gray, small
from .mel import HOP, LOWEST, N_FFT, RATE, TOP_DB, WINDOW, mel_levels, mel_power
from .waveform_to_waveform import cut, mono_at

if TYPE_CHECKING:
    from torch import Tensor

N_MELS = 32
AVERAGED, STACKED = 4, 4  # frames of 10 ms whose power is averaged, and how many of those make a token: 160 ms
STRIDE = HOP * AVERAGED * STACKED
MAX_SECONDS = 30.0  # as the sources of sound take


@register_converter(
    "waveform",
    "tokens",
    cost=3.0,
    reference=(
        "Lu, Grover, Abbeel and Mordatch, Frozen pretrained transformers, AAAI 2022 (projected frames as tokens); "
        "Sak et al., Interspeech 2015 (stacked frames); "
        "Shen et al., ORCA, ICML 2023 (match the source's embedding distribution)"
    ),
    options={"align": ALIGN},
)
class EmbedFrames:
    """Sounds to ``{"inputs_embeds": (n, tokens, width), "attention_mask": (n, tokens)}``.

    A token is 160 ms: log-mel levels, each sound scaled to its own loudest point, in four steps of 40 ms. They reach
    the source's token embeddings through a `Bridge` fitted to the probe. What follows a short sound is zeros under
    a mask of 0.

    Parameters
    ----------
    spec : TokensInput
    probe : sequence of Waveform
    align : {"moments", "none", "mmd", "otdd"}
        How the bridge is aligned with the source's embeddings; see `Bridge`.
    """

    def __init__(self, spec: TokensInput, probe: Sequence[Waveform], align: str = "moments") -> None:
        self.seconds = min(MAX_SECONDS, spec.max_length * STRIDE / RATE)
        levels, counts = self._tokens(probe, Counter())
        frames = np.concatenate([row[:count] for row, count in zip(levels, counts, strict=True)])
        self.bridge = Bridge(frames, spec.embedding, align, converter="waveform->tokens", control="raw:audio")

    def settings(self) -> Mapping[str, Setting]:
        """Everything that decides the embeddings."""
        return {
            "sample_rate": RATE, "window": WINDOW, "hop": HOP, "n_fft": N_FFT, "lowest_hz": LOWEST, "n_mels": N_MELS,
            "top_db": TOP_DB, "averaged": AVERAGED, "stacked": STACKED, "max_seconds": self.seconds,
            **self.bridge.settings(),
        }  # fmt: skip

    def __call__(self, samples: Sequence[Waveform], edits: Counter[str]) -> Inputs:
        import torch

        levels, counts = self._tokens(samples, edits)
        mask = torch.arange(levels.shape[1]) < torch.tensor(counts)[:, None]
        values = torch.from_numpy(self.bridge(levels)) * mask[..., None]
        return {"inputs_embeds": values, "attention_mask": mask.long()}

    def show(self, sample: Waveform, made: Inputs) -> Look:
        """The levels before the bridge, low bands at the bottom, a gap between tokens."""
        levels = self._tokens([sample], Counter())[0][0].reshape(-1, STACKED, N_MELS)
        apart = np.pad(levels, ((0, 0), (0, 1), (0, 0)), constant_values=0.5)
        plane = apart.reshape(-1, N_MELS)[:-1].T[::-1]
        milliseconds = 1000 * STRIDE // RATE
        return Look(f"{len(levels)} tokens of {milliseconds} ms, {N_MELS} mel bands", picture=small(gray(plane)))

    def _tokens(self, samples: Sequence[Waveform], edits: Counter[str]) -> tuple[np.ndarray, list[int]]:
        """Levels of each token, (n, tokens, steps * bands), and how many tokens each sound has."""
        import torch

        waves = [cut(mono_at(sound, RATE, edits), RATE, self.seconds, edits) for sound in samples]
        counts = [max(1, -(-len(wave) // STRIDE)) for wave in waves]
        # frames begin at their place, so that none reaches from the silence that follows back into the sound
        padded = torch.zeros(len(waves), max(counts) * STRIDE + WINDOW - HOP)
        for row, wave in zip(padded, waves, strict=True):
            row[: len(wave)] = wave
        return self._levels(padded).numpy(), counts

    def _levels(self, waves: Tensor) -> Tensor:
        power = mel_power(waves, N_MELS, centred=False)
        steps = power.unflatten(2, (-1, AVERAGED)).mean(-1)
        return mel_levels(steps).transpose(1, 2).unflatten(1, (-1, STACKED)).flatten(2)
