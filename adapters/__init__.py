"""Adapters: from a target's modality to what a source takes in. One converter a file."""

from .graph import (
    CONVERTERS,
    Adapter,
    Converter,
    Edge,
    find_adapter,
    find_path,
    parse_choice,
    register_converter,
    variants,
)

__all__ = [
    "CONVERTERS",
    "Adapter",
    "Converter",
    "Edge",
    "find_adapter",
    "find_path",
    "parse_choice",
    "register_converter",
    "variants",
]
