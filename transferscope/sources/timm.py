"""``timm:NAME``: every image model of timm, fed as its own pretrained config says."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from ..errors import SourceError, UnknownNameError
from ..registry import Spec
from .hooks import Tap, hooked_run, image_size, make_card, seeded, weights_option
from .source import SOURCES, ImageInput, Inputs, Source

if TYPE_CHECKING:
    from torch import Tensor, nn

PENULTIMATE = "penultimate"  # the pooled feature that the classifier reads


def load_timm(spec: Spec, *, seed: int = 0, trust_remote_code: bool = False) -> Source:
    """Build a timm model with pretrained weights from the hub or its local cache, or with random ones.

    Options: ``weights=random``; ``size=N`` or ``size=HEIGHTxWIDTH`` in pixels.
    """
    options = spec.only(weights=weights_option, size=image_size)
    is_random = options.get("weights") == "random"
    model = create_timm(spec.location, pretrained=not is_random, size=options.get("size"), seed=seed)
    return wrap_timm(model, spec.text, size=options.get("size"), is_random=is_random)


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
    try:
        with seeded(seed):
            return timm.create_model(name, pretrained=pretrained, **options).eval()
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        if not pretrained:
            raise SourceError(f"timm:{name}: cannot be built ({_first_line(error)}).") from None
        raise SourceError(
            f"timm:{name}: its pretrained weights cannot be had ({_first_line(error)}). Without a network, name a "
            f"local copy: file:CHECKPOINT?arch=timm:{name}."
        ) from None


def wrap_timm(model: nn.Module, name: str, *, size: Any = None, is_random: bool = False, **known: Any) -> Source:
    """A source from a built timm model: its stages, the pooled feature, and its classifier where it has one."""
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
    taps = _taps(model)
    n_classes = int(getattr(model, "num_classes", 0))
    has_head = n_classes > 0 and not is_random

    def forward(inputs: Inputs) -> tuple[Tensor | None, Tensor | None]:
        logits = model(inputs["pixel_values"])
        return (logits if has_head else None), None

    pretrained = getattr(model, "pretrained_cfg", {})
    known = {"license": pretrained.get("license"), "pretraining": _pretraining(pretrained), **known}
    card = make_card(
        name, str(pretrained.get("architecture") or type(model).__name__), model, tuple(taps), spec,
        is_random=is_random, n_source_classes=n_classes if has_head else None, **known,
    )  # fmt: skip
    return Source(card, model, spec, hooked_run(taps, forward))


def _taps(model: Any) -> dict[str, Tap]:
    """The stages or blocks that timm's own feature info names, and the classifier's input.

    Some names there are of no submodule and are left out.
    """
    info = getattr(model, "feature_info", [])
    width_of = {stage["module"]: stage["num_chs"] for stage in (info if isinstance(info, list) else info.info)}
    layout: Any = "NHWC" if getattr(model, "output_fmt", None) == "NHWC" else None
    skip = int(getattr(model, "num_prefix_tokens", 0))
    known = dict(model.named_modules())
    taps = {
        name: Tap(_called(known[name]), layout, skip=skip, width=width)
        for name, width in width_of.items()
        if name in known
    }
    classifier = model.get_classifier()
    taps[PENULTIMATE] = Tap(_called(classifier[0] if isinstance(classifier, tuple) else classifier), where="input")
    return taps


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


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


SOURCES.add("timm", load_timm)
