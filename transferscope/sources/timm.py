"""``timm:NAME``: every image model of timm, fed as its own pretrained config says."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

from ..errors import SourceError, UnknownNameError, first_line
from ..registry import Spec
from .channels import channel_count, to_gray
from .hf import unreachable
from .hooks import Tap, hooked_run, image_size, listen, make_card, seeded, weights_option
from .source import SOURCES, ImageInput, Inputs, Source

if TYPE_CHECKING:
    from torch import Tensor, nn

PENULTIMATE = "penultimate"  # the pooled feature that the classifier reads


def load_timm(spec: Spec, *, seed: int = 0, trust_remote_code: bool = False) -> Source:
    """Build a timm model with pretrained weights from the hub or its local cache, or with random ones.

    Options: ``weights=random``; ``size=N`` or ``size=HEIGHTxWIDTH`` in pixels, to which position embeddings are
    interpolated; ``channels=1`` for gray pictures, with the RGB weights summed (`to_gray`).
    """
    options = spec.only(weights=weights_option, size=image_size, channels=channel_count)
    is_random = options.get("weights") == "random"
    model = create_timm(spec.location, pretrained=not is_random, size=options.get("size"), seed=seed)
    channels = int(str(options.get("channels", 3)))
    return wrap_timm(model, spec.text, size=options.get("size"), channels=channels, is_random=is_random)


def create_timm(name: str, *, pretrained: bool, size: Any = None, seed: int = 0, **options: Any) -> nn.Module:
    """`timm.create_model` with errors that say what to do.

    Raises
    ------
    UnknownNameError
        If timm has no such architecture or weights of that tag.
    SourceError
        If the pretrained weights cannot be had.
    """
    import timm

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise UnknownNameError("timm model", architecture, timm.list_models())
    if tag and name not in (tagged := timm.list_pretrained(f"{architecture}.*")):
        raise UnknownNameError(f"pretrained weights of timm:{architecture}", name, tagged)
    if size is not None and _takes_img_size(architecture, pretrained=False):
        options["img_size"] = size
    on_hub = pretrained and getattr(timm.get_pretrained_cfg(name), "hf_hub_id", None)
    lost = unreachable() if on_hub else None
    try:
        with seeded(seed), _cache_only() if lost else nullcontext():
            return timm.create_model(name, pretrained=pretrained, **options).eval()
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        if not pretrained:
            raise SourceError(f"timm:{name}: cannot be built ({first_line(error)}).") from None
        raise SourceError(
            f"timm:{name}: its pretrained weights cannot be had ({lost or first_line(error)}). Without a "
            f"network, name a local copy: file:CHECKPOINT?arch=timm:{name}."
        ) from None


@contextmanager
def _cache_only() -> Iterator[None]:
    """The hub's client looks only into its cache inside; timm passes it no such option."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def wrap_timm(
    model: nn.Module, name: str, *, size: Any = None, channels: int = 3, is_random: bool = False, **known: Any
) -> Source:
    """A source from a built timm model: its stages, the pooled feature, and its classifier where it has one.

    Raises
    ------
    SourceError
        If the model cannot take pictures of that size, or has no weights to sum for ``channels=1``.
    """
    import timm

    config = timm.data.resolve_data_config({}, model=model)
    _, height, width = config["input_size"]
    spec = ImageInput(
        size=size or (height, width),
        mean=tuple(map(float, config["mean"])),
        std=tuple(map(float, config["std"])),
        interpolation=config["interpolation"],
        crop=float(config["crop_pct"]),
    )
    if channels == 1:
        spec = to_gray(model, spec)
    taps, forward_pass = _taps(model, spec, name)
    n_classes = int(getattr(model, "num_classes", 0))
    has_head = n_classes > 0 and not is_random

    def forward(inputs: Inputs) -> tuple[Tensor | None, Tensor | None]:
        logits = forward_pass(inputs["pixel_values"])
        return (logits if has_head else None), None

    pretrained = getattr(model, "pretrained_cfg", {})
    known = {"license": pretrained.get("license"), "pretraining": _pretraining(pretrained), **known}
    card = make_card(
        name, str(pretrained.get("architecture") or type(model).__name__), model, tuple(taps), spec,
        is_random=is_random, n_source_classes=n_classes if has_head else None, **known,
    )  # fmt: skip
    return Source(card, model, spec, hooked_run(taps, forward))


def _taps(model: Any, spec: ImageInput, name: str) -> tuple[dict[str, Tap], Callable[[Tensor], Tensor]]:
    """Taps of every stage and of the classifier's input, and the forward pass that fills them.

    One pass over two pictures of noise tells where they are. A stage is read at the module that timm's feature
    info names if that gives what timm's ``forward_intermediates`` gives. Where one does not (HRNet's stages are no
    modules, CrossViT's branches are of one name), all come from ``forward_intermediates`` itself. So with the
    pooled feature: it is what the classifier reads if that is timm's ``forward_head(..., pre_logits=True)``.
    """
    from torch import nn

    classifier = model.get_classifier()
    places = {stage["module"]: Tap(_called(module)) for stage in _stages(model) if (module := _module(model, stage))}
    places[PENULTIMATE] = Tap(_called(classifier[0] if isinstance(classifier, tuple) else classifier), where="input")
    caught, maps, pooled = _try(model, spec, name, places)
    # where a stage has no module, TResNet's info names the whole model
    names = [stage["module"] or "stem" for stage in _stages(model)]
    if len(set(names)) < len(names) or len(names) != len(maps):
        names = [f"stage.{i}" for i in range(len(maps))]
    taps = {
        layer: tap
        for layer, expected in zip(names, maps, strict=True)
        if layer in caught and (tap := _same(places[layer], caught[layer], expected))
    }
    ports: dict[str, Any] = {}  # modules that do nothing but show a tensor to the hooks
    if len(taps) < len(maps):
        ports = {layer: nn.Identity() for layer in names}
        taps = {layer: Tap(ports[layer], "NCHW" if maps[0].ndim == 4 else "NTC") for layer in names}
    read = caught.get(PENULTIMATE)
    if read is not None and _close(read.flatten(1), pooled.flatten(1)):
        taps[PENULTIMATE] = places[PENULTIMATE]
    else:
        ports[PENULTIMATE] = nn.Identity()
        taps[PENULTIMATE] = Tap(ports[PENULTIMATE], width=int(model.num_features))

    def forward_pass(pixels: Tensor) -> Tensor:
        if not ports:
            return model(pixels)
        if len(ports) == 1:
            features = model.forward_features(pixels)
        else:
            features, found = model.forward_intermediates(pixels)
            for layer, values in zip(names, found, strict=True):
                ports[layer](values)
        if PENULTIMATE in ports:
            ports[PENULTIMATE](_pooled(model, features))
        return model.forward_head(features)

    return taps, forward_pass


def _stages(model: Any) -> list[dict[str, Any]]:
    info = getattr(model, "feature_info", [])
    return info if isinstance(info, list) else info.info


def _module(model: nn.Module, stage: dict[str, Any]) -> nn.Module | None:
    return dict(model.named_modules()).get(stage["module"]) if stage["module"] else None


def _try(
    model: Any, spec: ImageInput, name: str, places: dict[str, Tap]
) -> tuple[dict[str, Tensor], list[Tensor], Tensor]:
    """What the places and timm's own functions give for two pictures of noise; says so if they are too small."""
    import torch

    if not hasattr(model, "forward_intermediates"):
        raise SourceError(f"{name}: this version of timm gives no intermediate features of it; upgrade timm.")
    caught: dict[str, Tensor] = {}
    noise = torch.randn(2, spec.channels, *spec.size, generator=torch.Generator().manual_seed(0))
    handles = [listen(tap, layer, caught) for layer, tap in places.items()]
    try:
        with torch.no_grad():
            features, maps = model.forward_intermediates(noise)
            pooled = _pooled(model, features)
            model.forward_head(features)
    except (RuntimeError, ValueError, AssertionError, IndexError, ZeroDivisionError) as error:
        height, width = spec.size
        raise SourceError(
            f"{name}: does not take pictures of {height}x{width} pixels ({first_line(error)}); expected a size= that "
            "is larger, or a multiple of the model's patches or windows."
        ) from None
    finally:
        for handle in handles:
            handle.remove()
    return caught, maps, pooled


def _pooled(model: Any, features: Any) -> Tensor:
    """The feature before the classifier; those of several branches side by side."""
    import torch

    found = model.forward_head(features, pre_logits=True)
    return torch.cat(list(found), dim=1) if isinstance(found, tuple | list) else found


def _same(tap: Tap, values: Tensor, expected: Tensor) -> Tap | None:
    """The tap with the layout in which `values` are timm's map (n, channels, height, width), if they are."""
    n, width, *space = expected.shape
    mean = expected.flatten(2).mean(dim=2)
    if values.ndim == 4 and values.shape[:2] == (n, width) and _close(values.mean(dim=(2, 3)), mean):
        return replace(tap, layout="NCHW")
    if values.ndim == 4 and values.shape[3] == width and _close(values.mean(dim=(1, 2)), mean):
        return replace(tap, layout="NHWC")
    if values.ndim == 3 and values.shape[0] == n and values.shape[2] == width:
        skip = values.shape[1] - prod(space)  # class, distillation and register tokens lead
        if skip >= 0 and _close(values[:, skip:].mean(dim=1), mean):
            return replace(tap, layout="NTC", skip=skip)
    return None


def _close(a: Tensor, b: Tensor) -> bool:
    import torch

    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max()), equal_nan=True)


def _called(module: nn.Module) -> nn.Module:
    """The module itself, or the last of a list, which is never called as a whole."""
    from torch.nn import ModuleList

    return module[-1] if isinstance(module, ModuleList) else module


def _takes_img_size(architecture: str, *, pretrained: bool) -> bool:
    """Whether the architecture is built for one input size (transformers and the like)."""
    import timm
    import torch

    with torch.device("meta"):
        model = timm.create_model(architecture, pretrained=pretrained)
    made_by = [vars(cls)["__init__"] for cls in type(model).__mro__ if "__init__" in vars(cls)]
    return any("img_size" in inspect.signature(init).parameters for init in made_by)


def _pretraining(config: Any) -> str | None:
    """What timm's tag says of the training data."""
    return str(config["tag"]) if config.get("tag") else None


SOURCES.add("timm", load_timm)
