"""What models of transformers take in: told from the model and from its own tokenizer or processor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import SourceError
from .source import ImageInput, InputSpec, TokensInput, WaveformInput

if TYPE_CHECKING:
    from torch import nn

LONGEST_TEXT = 512  # tokens, where a model sets no limit of its own
LONGEST_SOUND = 30.0  # seconds
TOWERS = {"vision_model": "vision_config", "audio_model": "audio_config"}  # beside a text tower, as in CLIP and CLAP
HEADS = {  # what a checkpoint's architecture ends with, and the class that loads it with its head
    "ForImageClassification": ("AutoModelForImageClassification",),
    # sound models of the wav2vec2 family end so too
    "ForSequenceClassification": ("AutoModelForSequenceClassification", "AutoModelForAudioClassification"),
    "ForAudioClassification": ("AutoModelForAudioClassification",),
}


@dataclass(frozen=True)
class Asked:
    """What a user's options ask of the input; None leaves it to the model."""

    max_length: int | None = None  # tokens
    size: tuple[int, int] | None = None  # height, width in pixels
    channels: int | None = None  # 1 or 3


def tower(model: Any) -> Any:
    """The part of a loaded model that is a source of its own: of a text and image or sound pair, the latter."""
    if type(model).__name__.endswith(tuple(HEADS)) or not hasattr(model.config, "text_config"):
        return model
    found = (getattr(model, part, None) for part, config in TOWERS.items() if hasattr(model.config, config))
    return next((part for part in found if part is not None), model)


def encoder(model: Any) -> Any:
    """The encoder of an encoder-decoder; any other model is itself what is run."""
    return model.get_encoder() if model.config.is_encoder_decoder else model


def input_spec(model: Any, load: Callable[[str], Any], asked: Asked, prefix: str) -> InputSpec:
    """What the model takes in, by its own main input name and its own processor's settings.

    Raises
    ------
    SourceError
        If it takes neither pixels, waveforms nor tokens, or an option is of another kind of model.
    """
    main = encoder(model).main_input_name
    if main == "input_ids":
        _refuse("tokens", type(model).__name__, size=asked.size, channels=asked.channels)
        return text_input(model, load("AutoTokenizer"), asked.max_length, prefix)
    if main == "pixel_values":
        _refuse("pictures", type(model).__name__, max_length=asked.max_length)
        spec = image_input(load("AutoImageProcessor"), model.config)
        return spec if asked.size is None else replace(spec, size=asked.size)
    if main in ("input_values", "input_features"):
        _refuse("sounds", type(model).__name__, **vars(asked))
        extractor = load("AutoFeatureExtractor")
        extractor.return_attention_mask = True  # what is padding must be known, whether or not the model asks
        seconds = longest_sound(extractor)
        return WaveformInput(int(extractor.sampling_rate), seconds, min_seconds=0.1, extractor=extractor)
    raise SourceError(f"{type(model).__name__} takes in {main!r}; expected input_ids, pixel_values or a waveform.")


def _refuse(kind: str, architecture: str, **options: object) -> None:
    for name, value in options.items():
        if value is not None:
            raise SourceError(
                f"{architecture} takes in {kind}, for which there is no option {name}; leave it out (max_length is of "
                "texts, size and channels are of pictures)."
            )


def text_input(model: Any, tokenizer: Any, max_length: int | None, prefix: str) -> TokensInput:
    """A tokenizer, the longest text and the table of embeddings."""
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # what transformers makes up where files are missing
        raise SourceError(
            f"{type(tokenizer).__name__} knows no words but its special tokens; the files of the tokenizer, such "
            "as tokenizer.json, are missing beside the model."
        )
    if getattr(model.config, "pad_token_id", None) is None:  # classifiers need it to find a text's end
        padding = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        model.config.pad_token_id = padding
    try:
        embedding: nn.Module = model.get_input_embeddings()
    except NotImplementedError:  # CANINE hashes characters into several tables
        embedding = model
    return TokensInput(tokenizer, longest_text(encoder(model), tokenizer, max_length), embedding, prefix)


def longest_text(body: Any, tokenizer: Any, asked: int | None) -> int:
    """Tokens that `body` takes in, special ones included.

    A table of positions is a limit that cannot be passed. Rotary and relative positions set none, so that a length
    that was asked for holds; if none was, the config's and the tokenizer's own and `LONGEST_TEXT` do.
    """
    stated = getattr(body.config, "max_position_embeddings", None)
    if (table := _positions(body)) is not None:
        table = min(table, stated or table)
    if asked is not None:
        return min(asked, table or asked)
    return int(min(LONGEST_TEXT, tokenizer.model_max_length, stated or LONGEST_TEXT, table or LONGEST_TEXT))


def _positions(body: Any) -> int | None:
    """Places in the smallest table of absolute positions; None without one.

    RoBERTa and its kin count from behind the padding index, and BART keeps two rows that no text reaches.
    """
    from torch.nn import Embedding

    found = []
    for path, module in body.named_modules():
        name = path.rpartition(".")[2]
        if isinstance(module, Embedding) and ("position" in name or name == "wpe") and "relative" not in name:
            padding = 0 if module.padding_idx is None else module.padding_idx + 1
            found.append(module.num_embeddings - int(getattr(module, "offset", padding)))
    return min(found, default=None)


def longest_sound(extractor: Any) -> float:
    """Seconds that an extractor keeps (CLAP would cut at random, Whisper and AST silently), 30 if it keeps all."""
    rate = extractor.sampling_rate
    for samples in ("nb_max_samples", "n_samples"):  # CLAP's, Whisper's
        if hasattr(extractor, samples):
            return float(getattr(extractor, samples) / rate)
    if hasattr(extractor, "max_length") and hasattr(extractor, "num_mel_bins"):
        return float((extractor.max_length - 1) * 0.01 + 0.025)  # AST's frames of 25 ms, 10 ms apart
    return LONGEST_SOUND


def image_input(processor: Any, config: Any) -> ImageInput:
    """An image processor's settings."""
    from PIL.Image import Resampling

    resized, cropped = dict(processor.size or {}), dict(getattr(processor, "crop_size", None) or {})
    short = resized.get("shortest_edge")
    wanted = cropped if cropped and getattr(processor, "do_center_crop", False) else resized
    side = wanted.get("shortest_edge") or getattr(config, "image_size", None)
    height, width = wanted.get("height") or side, wanted.get("width") or side
    if height is None or width is None:
        raise SourceError(f"{type(processor).__name__} names no size ({wanted}); expected height and width.")
    size = (int(height), int(width))
    crop = min(size) / short if short and wanted is cropped else 1.0
    resample = getattr(processor, "resample", None)
    filter_name = Resampling(int(Resampling.BILINEAR if resample is None else resample)).name.lower()
    normalised = getattr(processor, "do_normalize", True)
    mean = (processor.image_mean if normalised else None) or (0.0,) * 3
    std = (processor.image_std if normalised else None) or (1.0,) * 3
    return ImageInput(size, tuple(map(float, mean)), tuple(map(float, std)), filter_name, crop)
