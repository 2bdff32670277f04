"""``python:module:function``: any torch module that code of one's own builds."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SourceError, UnknownNameError
from ..registry import Spec
from .hooks import Tap, hooked_run, make_card, randomize, weights_option, weights_sha256, without_weights
from .input_file import read_input
from .source import SOURCES, ImageInput, Inputs, InputSpec, Layout, Source, TokensInput, WaveformInput

if TYPE_CHECKING:
    from torch import Tensor, nn


def load_python(spec: Spec, *, seed: int = 0, trust_remote_code: bool = False) -> Source:
    """Call ``function()`` of ``module``, found on the path or in the current folder.

    It returns a `Source`, or a pair (torch module, input spec). With the option ``input=FILE.toml``, a file beside
    the module's own or from the current folder, it returns the torch module alone, and the file says what it takes
    in (`read_input`). ``weights=random`` gives the twin.

    Layers are the module's children, and the members of those that are ``Sequential`` or ``ModuleList``; a dict
    ``transferscope_layers`` on the module, submodule path to `Layout`, names others. An image module is called
    with pixels, a waveform module with waves and their mask, a token module with keyword arguments as
    transformers' models are.

    Raises
    ------
    SourceError
        If module, function or its result are not of this form.
    """
    options = spec.only(weights=weights_option, input=str)
    module_name, colon, function_name = spec.location.partition(":")
    if not colon or not function_name:
        raise SourceError(f"{spec.text}: expected python:MODULE:FUNCTION.")
    built = _function(module_name, function_name, spec.text)()
    is_random = options.get("weights") == "random"
    if "input" in options:
        source = _described(built, _beside(module_name, str(options["input"]), spec.text), spec.text)
    elif isinstance(built, Source):
        source = built
    elif isinstance(built, tuple) and len(built) == 2 and isinstance(built[1], InputSpec):
        source = wrap_module(*built, name=spec.text)
    else:
        raise SourceError(
            f"{spec.text}: returned {type(built).__name__}; expected a Source or (module, input spec), "
            "or a module with ?input=FILE.toml."
        )
    if is_random:
        randomize(source.model, seed)
    card = replace(
        source.card, name=spec.text, weights_sha256=weights_sha256(source.model), is_random=is_random,
        twin_of=without_weights(spec.text) if is_random else None,
    )  # fmt: skip
    source.model.eval()
    return replace(source, card=card)


def _described(built: Any, path: Path, text: str) -> Source:
    from torch import nn

    if not isinstance(built, nn.Module):
        raise SourceError(
            f"{text}: returned {type(built).__name__}; with input= it is a torch module alone, without its input spec."
        )
    return wrap_module(built, read_input(path, built), name=text)


def _beside(module_name: str, file: str, text: str) -> Path:
    """The file in the module's own folder, or in the current one."""
    code = getattr(sys.modules[module_name], "__file__", None)
    path = Path(file).expanduser()
    looked = [*([Path(code).parent / path] if code else []), path.absolute()]
    for place in looked:
        if place.is_file():
            return place
    raise SourceError(f"{text}: there is no {' nor '.join(dict.fromkeys(map(str, looked)))}.")


def wrap_module(model: nn.Module, spec: InputSpec, *, name: str) -> Source:
    """A source from any module and its input spec."""
    named: dict[str, Any] = getattr(model, "transferscope_layers", None) or dict.fromkeys(_members(model))
    time_first: Layout = "NCT" if isinstance(spec, WaveformInput) else "NTC"
    taps = {layer: Tap(model.get_submodule(layer), layout, three=time_first) for layer, layout in named.items()}

    def forward(inputs: Inputs) -> tuple[Tensor | None, Tensor | None]:
        if isinstance(spec, ImageInput):
            model(inputs["pixel_values"])
            return None, None
        if isinstance(spec, TokensInput):
            model(**inputs)
            return None, inputs["attention_mask"]
        model(inputs["input_values"], inputs["attention_mask"])
        return None, None  # how a module shortens time is its own affair

    card = make_card(name, f"{type(model).__module__}.{type(model).__qualname__}", model, tuple(taps), spec)
    return Source(card, model, spec, hooked_run(taps, forward))


def _members(model: nn.Module) -> list[str]:
    """Children, those of containers in the container's place."""
    from torch import nn

    names = []
    for name, child in model.named_children():
        inner = isinstance(child, nn.Sequential | nn.ModuleList)
        names += [f"{name}.{member}" for member, _ in child.named_children()] if inner else [name]
    return names or [""]


def _function(module_name: str, function_name: str, text: str) -> Any:
    """The function, imported; the current folder is looked in as `python -m` would."""
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise SourceError(
            f"{text}: there is no module {error.name!r}; expected it on Python's path or in the current folder."
        ) from None
    if not callable(found := getattr(module, function_name, None)):
        names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise UnknownNameError(f"function of {module_name}", function_name, names)
    return found


SOURCES.add("python", load_python)
