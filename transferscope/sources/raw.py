"""``raw:image``, ``raw:audio``, ``raw:text``: the input itself as features, the control every source must beat.

Nothing here is trained and nothing is random: pixels, the mean and spread of mel bands, and counts of
character n-grams. Being a source, the control takes the same road as the others, cache and probe included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..errors import UnknownNameError
from ..registry import Spec
from ..results import SourceCard
from .source import SOURCES, Activation, ImageInput, Inputs, InputSpec, Outputs, Source, TokensInput, WaveformInput

if TYPE_CHECKING:
    from torch import Tensor

PIXELS = 16  # side of the thumbnail
MELS, RATE = 64, 16_000
NGRAMS, BUCKETS = (1, 2, 3), 2048  # lengths of byte n-grams, and columns they are hashed into
LAYER = "input"


def thumbnail(inputs: Inputs) -> Tensor:
    """Pixels in 0..1 of a small RGB thumbnail, (n, 3 * PIXELS**2)."""
    return inputs["pixel_values"].flatten(1)


def mel_statistics(inputs: Inputs) -> Tensor:
    """Mean and standard deviation over time of each log-mel band, (n, 2 * MELS); padding left out."""
    import torch
    from torchaudio.functional import melscale_fbanks

    window, hop = 400, 160  # 25 ms and 10 ms
    waves, mask = inputs["input_values"], inputs["attention_mask"].to(inputs["input_values"].dtype)
    spectrum = torch.stft(
        waves, window, hop, window=torch.hann_window(window, device=waves.device), pad_mode="constant",
        return_complex=True,
    ).abs().square()  # fmt: skip
    bank = melscale_fbanks(window // 2 + 1, 0.0, RATE / 2, MELS, RATE).to(waves.device)
    bands = (spectrum.transpose(1, 2) @ bank).clamp(min=1e-10).log()  # (n, frames, MELS)
    real = mask[:, ::hop][:, : bands.shape[1]]
    real = torch.nn.functional.pad(real, (0, bands.shape[1] - real.shape[1])).unsqueeze(-1)
    count = real.sum(dim=1).clamp(min=1)
    mean = (bands * real).sum(dim=1) / count
    spread = (((bands - mean.unsqueeze(1)).square() * real).sum(dim=1) / count).sqrt()
    return torch.cat([mean, spread], dim=1)


def ngram_counts(inputs: Inputs) -> Tensor:
    """Square-rooted shares of hashed byte n-grams, (n, BUCKETS); the root evens out frequent ones."""
    import torch

    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    counts = torch.zeros(len(ids), BUCKETS, device=ids.device)
    for n in NGRAMS:
        if ids.shape[1] < n:
            break
        grams, real = ids[:, : ids.shape[1] - n + 1] * 0 + n, mask[:, : ids.shape[1] - n + 1]
        for offset in range(n):
            piece = slice(offset, ids.shape[1] - n + 1 + offset)
            grams = grams * 257 + ids[:, piece]
            real = real * mask[:, piece]
        counts.scatter_add_(1, grams % BUCKETS, real.to(counts.dtype))
    return (counts / counts.sum(dim=1, keepdim=True).clamp(min=1)).sqrt()


def _text_input() -> TokensInput:
    from torch import nn
    from transformers import ByT5Tokenizer

    return TokensInput(ByT5Tokenizer(), max_length=1024, embedding=nn.Identity())


_KINDS: dict[str, tuple[Callable[[Inputs], Tensor], Callable[[], InputSpec]]] = {
    "image": (thumbnail, lambda: ImageInput((PIXELS, PIXELS), (0.0,) * 3, (1.0,) * 3, "bilinear")),
    "audio": (mel_statistics, lambda: WaveformInput(RATE, max_seconds=30.0, min_seconds=0.05)),
    "text": (ngram_counts, _text_input),
}


def load_raw(spec: Spec, *, seed: int = 0, trust_remote_code: bool = False) -> Source:
    """Build the raw-input control of one modality; `seed` and `trust_remote_code` change nothing."""
    from torch import nn

    if spec.location not in _KINDS:
        raise UnknownNameError("raw input", spec.location, _KINDS)
    spec.only()
    compute, build_input = _KINDS[spec.location]
    spec_of_input = build_input()

    def run(inputs: Inputs, layers: Sequence[str]) -> Outputs:
        return Outputs({LAYER: Activation(compute(inputs), "NC")})

    settings = f"{spec.location} {PIXELS} {MELS} {RATE} {NGRAMS} {BUCKETS}"
    card = SourceCard(
        name=spec.text,
        architecture=f"raw {spec.location}",
        input={"kind": spec_of_input.kind},
        layers=(LAYER,),
        n_parameters=0,
        weights_sha256=hashlib.sha256(settings.encode()).hexdigest(),
        license="none needed",
        pretraining="none",
    )
    return Source(card, nn.Identity(), spec_of_input, run)


SOURCES.add("raw", load_raw)
