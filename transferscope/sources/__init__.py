"""Sources: pretrained models that say what they take in and what can be tapped. One loader a file."""

from .source import (
    SOURCES,
    Activation,
    ImageInput,
    Inputs,
    InputSpec,
    Outputs,
    Source,
    TokensInput,
    WaveformInput,
    load_source,
)

__all__ = [
    "SOURCES",
    "Activation",
    "ImageInput",
    "InputSpec",
    "Inputs",
    "Outputs",
    "Source",
    "TokensInput",
    "WaveformInput",
    "load_source",
]
