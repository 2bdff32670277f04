"""Log-mel spectrograms, as the converters of sound share them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

RATE = 16_000  # frames per second
WINDOW, HOP = 400, 160  # 25 ms and 10 ms at that rate, as the AST and most speech models use
N_FFT, LOWEST = 2048, 50.0  # so that the narrow low mel bands have bins of their own; Hz
TOP_DB = 80.0  # what is further below the loudest point is 0
FAINTEST = 1e-10  # power that counts as silence


def mel_power(waves: Tensor, n_mels: int, *, window: int = WINDOW, centred: bool = True) -> Tensor:
    """Power in mel bands every `HOP`, lowest band first.

    Parameters
    ----------
    waves : tensor of shape (n, samples)
        At `RATE`.
    n_mels : int
    window : int
        Length of the Hann window, at most `N_FFT`.
    centred : bool
        Whether frame t is centred at ``t * HOP``, the sound continued by silence; or begins there.

    Returns
    -------
    tensor of shape (n, n_mels, frames)
    """
    import torch
    from torch.nn.functional import pad

    if not centred:  # torch lays a short window in the middle of its transform
        before = (N_FFT - window) // 2
        waves = pad(waves, (before, N_FFT - window - before))
    spectrum = torch.stft(
        waves, N_FFT, HOP, window, torch.hann_window(window), center=centred, pad_mode="constant", return_complex=True
    )
    return (spectrum.abs().square().transpose(1, 2) @ _bank(n_mels)).transpose(1, 2)


def mel_levels(power: Tensor) -> Tensor:
    """Levels in 0..1 of each sound's own range of `TOP_DB` below its loudest point; silence is 0."""
    import torch

    decibels = 10 * power.clamp(min=FAINTEST).log10()
    top = decibels.amax(dim=(1, 2), keepdim=True)
    levels = ((decibels - top + TOP_DB) / TOP_DB).clamp(0, 1)
    silent = power.amax(dim=(1, 2), keepdim=True) <= FAINTEST
    return torch.where(silent, torch.zeros_like(levels), levels)


@lru_cache(maxsize=8)
def _bank(n_mels: int) -> Any:
    """Triangular mel filters, (bins, n_mels)."""
    from torchaudio.functional import melscale_fbanks

    return melscale_fbanks(N_FFT // 2 + 1, LOWEST, RATE / 2, n_mels, RATE)
