"""`Source`: a loaded pretrained model that says what it takes in and what can be tapped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from ..registry import Registry, Spec
from ..results import SourceCard

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class ImageInput:
    """Pixels as the source was trained on them; inputs are ``{"pixel_values": (n, channels, height, width)}``."""

    kind: ClassVar[Literal["image"]] = "image"
    size: tuple[int, int]  # height, width in pixels
    mean: tuple[float, ...]  # per channel, of pixels in 0..1
    std: tuple[float, ...]
    interpolation: str = "bicubic"  # PIL's name
    crop: float = 1.0  # share of the resized short side that a centre crop keeps

    @property
    def channels(self) -> int:
        """1 (gray) or 3 (RGB)."""
        return len(self.mean)


@dataclass(frozen=True)
class WaveformInput:
    """Mono sound; inputs are ``{"input_values": (n, frames), "attention_mask": (n, frames)}``.

    With an `extractor` (a transformers feature extractor) the inputs are whatever it returns.
    """

    kind: ClassVar[Literal["waveform"]] = "waveform"
    sample_rate: int  # frames per second
    max_seconds: float  # longer sounds are cut, and counted
    min_seconds: float = 0.0  # shorter ones are padded with silence
    extractor: Any = None


@dataclass(frozen=True)
class TokensInput:
    """Token ids, or embeddings in their place.

    Inputs are ``{"input_ids" or "inputs_embeds": ..., "attention_mask": (n, length)}``.
    """

    kind: ClassVar[Literal["tokens"]] = "tokens"
    tokenizer: Any  # a transformers tokenizer
    max_length: int  # tokens, special ones included
    embedding: nn.Module  # the input embedding; ``.weight`` has shape (vocabulary, width)
    prefix: str = ""  # what the source's own recipe puts before every text, such as "query: "


InputSpec = ImageInput | WaveformInput | TokensInput
Inputs = Mapping[str, "Tensor"]
Layout = Literal["NC", "NCHW", "NHWC", "NTC", "NCT"]


@dataclass(frozen=True)
class Activation:
    """What one layer gave for one batch."""

    values: Tensor
    layout: Layout
    mask: Tensor | None = None  # (n, time), 1 for real positions; None: all are real
    skip: int = 0  # leading positions along T that are no content (class and register tokens)


@dataclass(frozen=True)
class Outputs:
    """One forward pass: activations of the asked layers, and the source head's logits where there is one."""

    layers: Mapping[str, Activation]
    logits: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Source:
    """A loaded model.

    Attributes
    ----------
    card : SourceCard
        Name, layers, parameter count, licence, content hash: what results carry.
    model : torch.nn.Module
        In evaluation mode, on the CPU; whoever trains or moves it works on this object.
    input : ImageInput, WaveformInput or TokensInput
    run : callable
        ``run(inputs, layers) -> Outputs``: one forward pass of `model`, gradients as the caller set them.
    """

    card: SourceCard
    model: nn.Module
    input: InputSpec
    run: Callable[[Inputs, Sequence[str]], Outputs]


class SourceLoader(Protocol):
    """Builds a `Source` from a parsed spec; ``weights=random`` in its options asks for the untrained twin."""

    def __call__(self, spec: Spec, *, seed: int, trust_remote_code: bool) -> Source: ...


SOURCES: Registry[SourceLoader] = Registry("source loader", "transferscope.sources")


def load_source(spec: str, *, seed: int = 0, trust_remote_code: bool = False) -> Source:
    """Load a source by its spec, for example ``timm:resnet18.a1_in1k`` or ``hf:./my-model``.

    Parameters
    ----------
    spec : str
        ``SCHEME:NAME[?key=value&...]``; ``weights=random`` gives the untrained twin.
    seed : int, default=0
        Of the twin's random weights.
    trust_remote_code : bool, default=False
        Allow a hub repository to run its own Python code here.

    Raises
    ------
    SourceError
        If weights are missing or do not fit, or a hub cannot be reached.
    UnknownNameError
        If the scheme, the name or an option is unknown.
    """
    parsed = Spec.parse(spec, kind="source", example="timm:resnet18.a1_in1k")
    return SOURCES[parsed.scheme](parsed, seed=seed, trust_remote_code=trust_remote_code)
