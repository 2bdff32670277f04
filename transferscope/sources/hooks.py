"""What every loader shares: layer taps by forward hooks, the card's facts, and random weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..results import SourceCard
from .source import Activation, Inputs, InputSpec, Layout, Outputs

if TYPE_CHECKING:
    from torch import Tensor, nn

Forward = Callable[[Inputs], "tuple[Tensor | None, Tensor | None]"]


@dataclass(frozen=True)
class Tap:
    """Where a layer's activation is read.

    Attributes
    ----------
    module : torch.nn.Module
    layout : Layout or None
        None is told from the number of dimensions: NC, NTC or NCHW.
    where : {"output", "input"}
        A classifier's input is the pooled feature before it.
    skip : int
        Leading positions of a sequence that are no content.
    width : int or None
        Channels, where known: a map with this many on its last axis only is NHWC.
    """

    module: nn.Module
    layout: Layout | None = None
    where: Literal["output", "input"] = "output"
    skip: int = 0
    three: Layout = "NTC"  # what three dimensions are told to be
    width: int | None = None


def hooked_run(taps: Mapping[str, Tap], forward: Forward) -> Callable[[Inputs, Sequence[str]], Outputs]:
    """Make a source's ``run``: one forward pass, hooks on the asked layers only, removed whatever happens.

    Parameters
    ----------
    taps : mapping of layer name to Tap
    forward : callable
        ``forward(inputs) -> (logits or None, mask or None)``; the mask is of the time axis that layers see.
    """

    def run(inputs: Inputs, layers: Sequence[str]) -> Outputs:
        caught: dict[str, Tensor] = {}
        handles = []
        try:
            for layer in layers:
                handles.append(listen(taps[layer], layer, caught))
            logits, mask = forward(inputs)
        finally:
            for handle in handles:
                handle.remove()
        return Outputs({layer: _activation(caught[layer], taps[layer], mask) for layer in layers}, logits)

    return run


def listen(tap: Tap, layer: str, caught: dict[str, Tensor]) -> Any:
    """Hook one module; of several outputs the first is the activation."""

    def first(value: Any) -> Tensor:
        return value[0] if isinstance(value, tuple | list) else value

    if tap.where == "input":
        return tap.module.register_forward_pre_hook(lambda _, given: caught.__setitem__(layer, first(given)))
    return tap.module.register_forward_hook(lambda _, given, output: caught.__setitem__(layer, first(output)))


def _activation(values: Tensor, tap: Tap, mask: Tensor | None) -> Activation:
    told: dict[int, Layout] = {2: "NC", 3: tap.three, 4: "NCHW"}
    layout = tap.layout or told[values.ndim]
    if layout == "NCHW" and tap.width not in (None, values.shape[1]) and tap.width == values.shape[3]:
        layout = "NHWC"
    return Activation(values, layout, mask if "T" in layout else None, tap.skip if "T" in layout else 0)


def make_card(
    name: str, architecture: str, model: nn.Module, layers: Sequence[str], spec: InputSpec, **known: Any
) -> SourceCard:
    """The card of a loaded model; a random one's `twin_of` is told from its name."""
    is_random = bool(known.get("is_random"))
    return SourceCard(
        name=name,
        architecture=architecture,
        input=describe_input(spec),
        layers=tuple(layers),
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        weights_sha256=weights_sha256(model),
        twin_of=without_weights(name) if is_random else None,
        **known,
    )


def describe_input(spec: InputSpec) -> dict[str, Any]:
    """An input spec as plain values; a tokenizer or extractor by its class, size and settings."""
    plain: dict[str, Any] = {"kind": spec.kind}
    if spec.kind == "tokens":
        tokenizer = f"{type(spec.tokenizer).__name__} ({len(spec.tokenizer)} tokens)"
        return {**plain, "tokenizer": tokenizer, "max_length": spec.max_length, "prefix": spec.prefix}
    if spec.kind == "waveform":
        extractor = type(spec.extractor).__name__ if spec.extractor is not None else None
        seconds = {"max_seconds": spec.max_seconds, "min_seconds": spec.min_seconds}
        return {**plain, "sample_rate": spec.sample_rate, **seconds, "extractor": extractor}
    return {**plain, **{key: str(value) if isinstance(value, tuple) else value for key, value in asdict(spec).items()}}


def without_weights(name: str) -> str:
    """A spec without its ``weights=...`` option: the pretrained source of a twin."""
    base, _, query = name.partition("?")
    kept = [option for option in query.split("&") if option and not option.startswith("weights=")]
    return f"{base}?{'&'.join(kept)}" if kept else base


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 over name, type, shape and bytes of every tensor of the state, in the order of names."""
    import torch

    state = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return state.hexdigest()


def weights_option(value: str) -> str:
    """The ``weights`` option: "pretrained" or "random"."""
    if value not in ("pretrained", "random"):
        raise ValueError("expected pretrained or random")
    return value


def positive(value: str) -> int:
    """A positive whole number."""
    if int(value) < 1:
        raise ValueError("expected a positive whole number")
    return int(value)


def image_size(value: str) -> tuple[int, int]:
    """Height and width in pixels: ``64`` is 64 by 64, ``64x256`` is height by width."""
    height, _, width = value.partition("x")
    return positive(height), positive(width or height)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's generator at `seed` inside, as it was outside: for models built with random weights."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def randomize(model: nn.Module, seed: int) -> nn.Module:
    """Give every module its own initial weights anew, and any parameter left over a normal one of its size.

    Modules without ``reset_parameters`` (position tables and the like) get a normal distribution with a
    standard deviation of 0.02, as transformers are initialised.
    """
    import torch

    with seeded(seed), torch.no_grad():
        fresh: set[int] = set()
        for module in model.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
                fresh.update(id(parameter) for parameter in module.parameters(recurse=False))
                if callable(clear := getattr(module, "reset_running_stats", None)):
                    clear()
        for parameter in model.parameters():
            if id(parameter) not in fresh:
                parameter.normal_(std=0.02)
    return model
