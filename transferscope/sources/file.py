"""``file:CHECKPOINT?arch=timm:NAME``: a checkpoint of one's own in a known architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SourceError, first_line
from ..registry import Spec
from .hooks import seeded, weights_option, weights_sha256, without_weights
from .source import SOURCES, Source, load_source
from .timm import create_timm, wrap_timm

if TYPE_CHECKING:
    from torch import Tensor

_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model")  # what training scripts put weights under


def load_file(spec: Spec, *, seed: int = 0, trust_remote_code: bool = False) -> Source:
    """Load weights (safetensors, or a torch file read with ``weights_only=True``) into an architecture.

    Options: ``arch=timm:NAME``, ``arch=hf:DIR`` or ``arch=python:module:function``, required;
    ``weights=random`` gives the twin. A timm classifier takes the number of classes that the checkpoint has.

    Raises
    ------
    SourceError
        If the file is missing or damaged, or its tensors do not fit; the first keys of each kind are named.
    """
    options = spec.only(arch=str, weights=weights_option)
    arch = str(options.get("arch", ""))
    if not arch:
        raise SourceError(f"{spec.text}: say which architecture it is: file:{spec.location}?arch=timm:NAME.")
    state = read_checkpoint(Path(spec.location).expanduser())
    source = _architecture(arch, state, spec, seed, trust_remote_code)
    is_random = options.get("weights") == "random"
    if not is_random:
        _fit(source, state, spec.text)
    card = replace(
        source.card, name=spec.text, is_random=is_random, weights_sha256=weights_sha256(source.model),
        twin_of=without_weights(spec.text) if is_random else None, license=None, pretraining=None,
    )  # fmt: skip
    return replace(source, card=card)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Tensors by name, out of the usual wrappers; no code in the file is run."""
    import torch
    from safetensors.torch import load_file as load_safetensors

    if not path.is_file():
        raise SourceError(f"{path}: there is no such file; expected a .safetensors, .pt or .pth checkpoint.")
    try:
        if path.suffix == ".safetensors":
            content: Any = load_safetensors(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader raises whatever a damaged file leads it to
        reason = first_line(error)
        raise SourceError(
            f"{path}: cannot be read as a checkpoint ({reason}); expected tensors only, saved with safetensors or "
            "torch.save(model.state_dict(), ...)."
        ) from None
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    state = {
        str(name).removeprefix("module."): value for name, value in _items(content) if isinstance(value, torch.Tensor)
    }
    if not state:
        raise SourceError(f"{path}: holds no tensors; expected a state dict.")
    return state


def _items(content: Any) -> Any:
    return content.items() if isinstance(content, Mapping) else ()


def _architecture(arch: str, state: Mapping[str, Tensor], spec: Spec, seed: int, trust_remote_code: bool) -> Source:
    """The source to fill, with random weights."""
    parsed = Spec.parse(arch, kind="architecture", example="timm:resnet18")
    if parsed.scheme != "timm":
        return load_source(
            f"{arch}{'&' if '?' in arch else '?'}weights=random", seed=seed, trust_remote_code=trust_remote_code
        )
    model: Any = create_timm(parsed.location, pretrained=False, seed=seed)
    classifier = model.pretrained_cfg.get("classifier")
    weight = state.get(f"{classifier}.weight") if isinstance(classifier, str) else None
    n_classes = 0 if weight is None else weight.shape[0]  # 0: the checkpoint was saved without its classifier
    if n_classes != model.num_classes:
        with seeded(seed):
            model.reset_classifier(n_classes)
    return wrap_timm(model, spec.text, is_random=spec.options.get("weights") == "random")


def _fit(source: Source, state: Mapping[str, Tensor], text: str) -> None:
    """Load strictly, or say which keys do not fit."""
    ours = source.model.state_dict()
    missing = [name for name in ours if name not in state]
    extra = [name for name in state if name not in ours]
    shapes = [
        f"{name} {tuple(state[name].shape)} for {tuple(ours[name].shape)}"
        for name in ours
        if name in state and state[name].shape != ours[name].shape
    ]
    found = {"missing": missing, "unexpected": extra, "of another shape": shapes}
    if any(found.values()):
        said = "; ".join(f"{len(names)} {kind} ({', '.join(names[:3])})" for kind, names in found.items() if names)
        raise SourceError(
            f"{text}: the checkpoint does not fit {source.card.architecture}: {said}. Name its own arch=."
        )
    source.model.load_state_dict(dict(state))


SOURCES.add("file", load_file)
