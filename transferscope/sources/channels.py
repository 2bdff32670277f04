"""Gray pictures into models trained on colour: the first convolution's weights summed over RGB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import SourceError
from .source import ImageInput

if TYPE_CHECKING:
    from torch import Tensor, nn

RGB = 3


def channel_count(value: str) -> int:
    """The ``channels`` option: 1 (gray) or 3 (RGB)."""
    if value not in ("1", "3"):
        raise ValueError("expected 1 or 3")
    return int(value)


def to_gray(model: nn.Module, spec: ImageInput) -> ImageInput:
    """Make `model` take pictures of one channel, in place, and return what it then takes in.

    The weights of every convolution that reads the three colours are summed over them, as AST does with its patch
    embedding (Gong, Chung and Glass, "AST: Audio Spectrogram Transformer", Interspeech 2021). Each colour's own
    normalisation is folded in: with gray values ``g = (p - mean) / std``, where ``mean`` and ``std`` are the
    averages over the colours, colour ``c`` would have been ``(p - mean_c) / std_c``, which is ``g`` scaled and
    shifted. The scale goes into the weights. The shift goes into the bias where the convolution does not pad. Where
    it does, zeros beyond the border are not shifted: the convolution then gets a second input channel, which its
    own hook fills with ones, so that the shift ends where the picture does.

    So a gray picture gives, up to rounding, what it gave when it was repeated over RGB, whatever the means and
    standard deviations are. Not exact is only padding that the model does before the convolution (such as Swin's,
    for sizes that its patches do not divide), and that only where the means of the colours differ.

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place; ``num_channels`` of its modules and of its config, which transformers check, too.
    spec : ImageInput
        What it takes in now; one of one channel is returned as it is.

    Raises
    ------
    SourceError
        If no convolution reads the three channels, or one changes its weights before it uses them.
    """
    import torch

    if spec.channels == 1:
        return spec
    stems = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d) and (m.in_channels, m.groups) == (RGB, 1)]
    if not stems:
        raise SourceError(
            f"{type(model).__name__} has no convolution that reads {RGB} channels, so that channels=1 has no weights "
            "to sum; leave the option out (gray pictures are then repeated over RGB)."
        )
    mean, std = torch.tensor(spec.mean), torch.tensor(spec.std)
    scale, shift = std.mean() / std, (mean.mean() - mean) / std
    for stem in stems:
        _sum(stem, scale, shift)
    for holder in {id(part): part for module in model.modules() for part in (module, _config(module))}.values():
        if getattr(holder, "num_channels", None) == RGB:
            holder.num_channels = 1
    return ImageInput(spec.size, (float(mean.mean()),), (float(std.mean()),), spec.interpolation, spec.crop)


def _config(module: nn.Module) -> Any:
    return getattr(module, "config", None)


def _sum(conv: Any, scale: Tensor, shift: Tensor) -> None:
    """One convolution in place; `scale` and `shift` make its colours of gray values."""
    import torch

    with torch.no_grad():
        sides = [4 * kernel * step for kernel, step in zip(conv.kernel_size, conv.dilation, strict=True)]
        # to compare before and after
        gray = torch.rand(1, 1, *sides, generator=torch.Generator().manual_seed(0)) - 0.5
        colours = gray * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)
        expected = conv(colours)
        weight = conv.weight * scale.view(1, -1, 1, 1)
        summed, offset = weight.sum(1, keepdim=True), (conv.weight * shift.view(1, -1, 1, 1)).sum(1, keepdim=True)
        if bool(shift.any()):
            if type(conv) is torch.nn.Conv2d and not _pads(conv):
                bias = offset.sum(dim=(1, 2, 3)) + (0 if conv.bias is None else conv.bias)
                conv.bias = torch.nn.Parameter(bias)
            else:
                summed = torch.cat([summed, offset], dim=1)
                conv.register_forward_pre_hook(with_ones)
        conv.weight = torch.nn.Parameter(summed)
        conv.in_channels = summed.shape[1]
        if not torch.allclose(conv(gray), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max())):
            raise SourceError(
                f"{type(conv).__name__} does not use its weights as they are, so that their sum over RGB is not the "
                "same network; leave channels=1 out (gray pictures are then repeated over RGB)."
            )


def _pads(conv: Any) -> bool:
    """Whether zeros are put around the picture; "same" and "valid" are told by name."""
    return conv.padding != "valid" and any(conv.padding)


def with_ones(conv: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """A forward pre-hook: a second channel of ones beside the picture."""
    import torch

    return (torch.cat([inputs[0], torch.ones_like(inputs[0])], dim=1), *inputs[1:])
