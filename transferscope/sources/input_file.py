"""What a module takes in, written in a TOML file beside its code."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import SourceError, UnknownNameError, first_line
from .source import ImageInput, InputSpec, TokensInput, WaveformInput

if TYPE_CHECKING:
    from torch import nn

FORBID = {"extra": "forbid"}


@dataclass(frozen=True)
class _Image:
    __pydantic_config__: ClassVar[Any] = FORBID
    size: int | tuple[int, int]
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    interpolation: str = "bicubic"
    crop: float = 1.0

    def __post_init__(self) -> None:
        from PIL.Image import Resampling

        names = [member.name.lower() for member in Resampling]
        _check(min(self._size) > 0, f"size = {self.size}; expected pixels, such as 224 or [64, 256]")
        _check(
            len(self.mean) == len(self.std) and len(self.mean) in (1, 3) and min(self.std) > 0,
            f"mean = {list(self.mean)}, std = {list(self.std)}; expected 1 or 3 numbers each, std above 0",
        )
        _check(self.interpolation in names, f"interpolation = {self.interpolation!r}; expected {', '.join(names)}")
        _check(0 < self.crop <= 1, f"crop = {self.crop}; expected the share that is kept, above 0 and at most 1")

    @property
    def _size(self) -> tuple[int, int]:
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def spec(self, model: nn.Module, folder: Path) -> InputSpec:
        return ImageInput(self._size, self.mean, self.std, self.interpolation, self.crop)


@dataclass(frozen=True)
class _Waveform:
    __pydantic_config__: ClassVar[Any] = FORBID
    sample_rate: int
    max_seconds: float = 30.0
    min_seconds: float = 0.0

    def __post_init__(self) -> None:
        _check(self.sample_rate > 0, f"sample_rate = {self.sample_rate}; expected frames per second")
        _check(
            0 <= self.min_seconds <= self.max_seconds and self.max_seconds > 0,
            f"min_seconds = {self.min_seconds}, max_seconds = {self.max_seconds}; expected 0 or more, and no less",
        )

    def spec(self, model: nn.Module, folder: Path) -> InputSpec:
        return WaveformInput(self.sample_rate, self.max_seconds, self.min_seconds)


@dataclass(frozen=True)
class _Tokens:
    __pydantic_config__: ClassVar[Any] = FORBID
    tokenizer: str  # a directory that AutoTokenizer can load, from the file's folder
    max_length: int = 512
    prefix: str = ""
    embedding: str | None = None  # path of the input embedding inside the module

    def __post_init__(self) -> None:
        _check(self.max_length > 0, f"max_length = {self.max_length}; expected a number of tokens")

    def spec(self, model: nn.Module, folder: Path) -> InputSpec:
        import transformers

        directory = folder / Path(self.tokenizer).expanduser()
        _check(directory.is_dir(), f"tokenizer = {self.tokenizer!r}; there is no directory {directory}")
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(directory, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            reason = first_line(error)
            raise ValueError(f"tokenizer = {self.tokenizer!r}; {directory} holds none that loads ({reason})") from None
        return TokensInput(tokenizer, self.max_length, self._embedding(model), self.prefix)

    def _embedding(self, model: nn.Module) -> nn.Module:
        from torch import nn

        found = {name: module for name, module in model.named_modules() if isinstance(module, nn.Embedding)}
        if self.embedding is None and callable(get := getattr(model, "get_input_embeddings", None)):
            return get()
        _check(bool(found), f"the module {type(model).__name__} has no torch.nn.Embedding to feed")
        name = next(iter(found)) if self.embedding is None and len(found) == 1 else self.embedding
        _check(name in found, f"embedding = {name!r}; expected one of {', '.join(map(repr, found))}")
        return found[str(name)]


KINDS = {"image": _Image, "waveform": _Waveform, "tokens": _Tokens}


def read_input(path: Path, model: nn.Module) -> InputSpec:
    """The input spec in a TOML file.

    ``kind = "image"`` takes size (one number, or height and width), mean, std, interpolation and crop;
    ``kind = "waveform"`` takes sample_rate, max_seconds and min_seconds; ``kind = "tokens"`` takes tokenizer
    (a directory, from the file's own), max_length, prefix, and embedding (the input embedding's path in the
    module, where the module has several and does not say). What they mean is said at `ImageInput`,
    `WaveformInput` and `TokensInput`.

    Raises
    ------
    UnknownNameError
        If the kind or a key is unknown.
    SourceError
        If the file is missing or no TOML, a key is missing, or a value is of another type or out of range.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SourceError(f"{path}: cannot be read as TOML ({error}).") from None
    kind = content.pop("kind", None)
    if kind not in KINDS:
        raise UnknownNameError(f"kind of input in {path}", str(kind), KINDS)
    form: Any = KINDS[kind]
    try:
        # from JSON, because there strict types allow a list for a tuple
        read = TypeAdapter(form).validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "unexpected_keyword_argument":
            raise UnknownNameError(f"key of {kind} input in {path}", where, [f.name for f in fields(form)]) from None
        said = first["msg"].removeprefix("Value error, ")
        raise SourceError(f"{path}: {f'{where}: ' if where else ''}{said}.") from None
    try:
        return read.spec(model, path.parent)
    except ValueError as error:
        raise SourceError(f"{path}: {error}.") from None


def _check(right: bool, message: str) -> None:
    if not right:
        raise ValueError(message)
