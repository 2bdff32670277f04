"""``hf:NAME_OR_DIR``: image, audio and text models of transformers, from the hub or a local directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SourceError
from ..registry import Spec
from .hooks import make_card, positive, seeded, weights_option
from .source import SOURCES, Activation, ImageInput, Inputs, InputSpec, Outputs, Source, TokensInput, WaveformInput

if TYPE_CHECKING:
    from torch import Tensor

LONGEST_TEXT = 512  # tokens, where a model sets no limit of its own
LONGEST_SOUND = 30.0  # seconds
_HEADS = {  # what a checkpoint's architecture ends with, and the class that loads it with its head
    "ForImageClassification": ("AutoModelForImageClassification",),
    # sound models of the wav2vec2 family end so too
    "ForSequenceClassification": ("AutoModelForSequenceClassification", "AutoModelForAudioClassification"),
    "ForAudioClassification": ("AutoModelForAudioClassification",),
}


def load_hf(spec: Spec, *, seed: int = 0, trust_remote_code: bool = False) -> Source:
    """Load by hub name or local directory.

    Options: ``weights=random``; ``revision=``; ``max_length=N`` tokens. Of an encoder-decoder the encoder is
    used. A classification head, where the checkpoint has one, gives source-class probabilities.

    Raises
    ------
    SourceError
        If there is no network for a hub name, files are missing, weights do not fit, or the model takes
        neither pixels, waveforms nor tokens.
    """
    options = spec.only(weights=weights_option, revision=str, max_length=positive)
    folder = Path(spec.location).expanduser()
    name = str(folder) if folder.is_dir() else spec.location
    if not folder.is_dir() and name.startswith((".", "/", "~")):
        raise SourceError(f"{spec.text}: there is no directory {name}; expected one holding config.json and weights.")
    is_random = options.get("weights") == "random"
    hub = {"revision": options.get("revision"), "trust_remote_code": trust_remote_code}
    with quiet(), explained(spec.text, name):
        config = _from("AutoConfig", name, hub)
        model = build_model(config, None if is_random else name, hub, seed=seed, where=spec.text)
        limit = int(str(options["max_length"])) if "max_length" in options else None
        known: dict[str, Any] = {"license": None, "is_random": is_random}
        return wrap_hf(model, spec.text, lambda auto: _from(auto, name, hub), max_length=limit, **known)


def build_model(config: Any, name: str | None, hub: dict[str, Any], *, seed: int, where: str) -> Any:
    """The model of `config` with the weights of `name`, or random ones; with its head if it is a classifier.

    Raises
    ------
    SourceError
        If weights that features depend on are missing or have another shape.
    """
    import transformers

    architecture = next(iter(getattr(config, "architectures", None) or ()), "")
    autos = next((autos for ending, autos in _HEADS.items() if architecture.endswith(ending)), ())
    known = (auto for auto in autos if type(config) in getattr(transformers, auto)._model_mapping)
    loader = getattr(transformers, next(known, "AutoModel") if name else "AutoModel")
    if name is None:
        with seeded(seed):
            model = loader.from_config(config, trust_remote_code=hub["trust_remote_code"])
    else:
        model, info = loader.from_pretrained(name, config=config, output_loading_info=True, **hub)
        lost = [key for key in info["missing_keys"] if "pooler" not in key]  # poolers are not tapped
        odd = [str(key[0]) if isinstance(key, tuple) else str(key) for key in info["mismatched_keys"]]
        if lost or odd:
            raise SourceError(
                f"{where}: the weights do not fit the architecture: {len(lost)} missing ({', '.join(lost[:3])}), "
                f"{len(odd)} of another shape ({', '.join(odd[:3])}); check config.json against the weights."
            )
    return model.eval().float()


def wrap_hf(
    model: Any, name: str, load: Callable[[str], Any], *, max_length: int | None = None, prefix: str = "", **known: Any
) -> Source:
    """A source from a loaded model; `load` fetches "AutoTokenizer" and the like."""
    config = model.config
    body = model.get_encoder() if config.is_encoder_decoder else model
    spec = _input_spec(model, load, max_length, prefix)
    # an encoder alone gives no logits
    has_head = body is model and (hasattr(model, "classifier") or type(model).__name__.endswith(tuple(_HEADS)))
    layers = tuple(f"hidden.{i}" for i in range(_count_hidden_states(body, spec)))

    def run(inputs: Inputs, asked: Sequence[str]) -> Outputs:
        output = body(**inputs, output_hidden_states=True, return_dict=True)
        states = output.hidden_states
        mask = _time_mask(body, inputs, states[-1]) if spec.kind != "image" else None
        found = {layer: _activation(states[layers.index(layer)], mask, spec) for layer in asked}
        return Outputs(found, output.logits if has_head else None)

    card = make_card(
        name, type(model).__name__, model, layers, spec,
        n_source_classes=int(config.num_labels) if has_head else None, **known,
    )  # fmt: skip
    alone = getattr(config, "feat_extract_norm", None) == "group"
    return Source(card, model, spec, _unpadded(run) if alone else run)


def _unpadded(run: Callable[[Inputs, Sequence[str]], Outputs]) -> Callable[[Inputs, Sequence[str]], Outputs]:
    """Sounds of one length at a time and without their padding, for models that normalise over time."""

    def run_each(inputs: Inputs, asked: Sequence[str]) -> Outputs:
        import torch
        from torch.nn.functional import pad

        lengths = inputs["attention_mask"].sum(dim=1).long()
        groups = [(lengths == length).nonzero().flatten() for length in lengths.unique()]
        parts = [run({"input_values": inputs["input_values"][rows, : lengths[rows[0]]]}, asked) for rows in groups]
        order = torch.cat(groups).argsort()
        found = {}
        for layer in asked:
            states = [part.layers[layer].values for part in parts]
            longest = max(state.shape[1] for state in states)
            values = torch.cat([pad(state, (0, 0, 0, longest - state.shape[1])) for state in states])
            real = torch.cat([lengths.new_full((len(state),), state.shape[1]) for state in states])
            mask = torch.arange(longest, device=real.device) < real.unsqueeze(1)
            found[layer] = Activation(values[order], "NTC", mask[order].long())
        logits = [part.logits for part in parts if part.logits is not None]
        return Outputs(found, torch.cat(logits)[order] if logits else None)

    return run_each


def _input_spec(model: Any, load: Callable[[str], Any], max_length: int | None, prefix: str) -> InputSpec:
    """What the model takes in, by its own main input name and its own processor's settings."""
    main = model.get_encoder().main_input_name if model.config.is_encoder_decoder else model.main_input_name
    if main == "input_ids":
        tokenizer = load("AutoTokenizer")
        if len(tokenizer) <= len(tokenizer.all_special_tokens):  # what transformers makes up where files are missing
            raise SourceError(
                f"{type(tokenizer).__name__} knows no words but its special tokens; the files of the tokenizer, such "
                "as tokenizer.json, are missing beside the model."
            )
        positions = getattr(model.config, "max_position_embeddings", None) or LONGEST_TEXT
        limits = [tokenizer.model_max_length, positions, max_length or LONGEST_TEXT]
        if getattr(model.config, "pad_token_id", None) is None:  # classifiers need it to find a text's end
            model.config.pad_token_id = (
                tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
            )
        return TokensInput(tokenizer, int(min(limits)), model.get_input_embeddings(), prefix)
    if main == "pixel_values":
        return image_input(load("AutoImageProcessor"), model.config)
    if main in ("input_values", "input_features"):
        extractor = load("AutoFeatureExtractor")
        extractor.return_attention_mask = True  # what is padding must be known, whether or not the model asks
        return WaveformInput(int(extractor.sampling_rate), LONGEST_SOUND, min_seconds=0.1, extractor=extractor)
    raise SourceError(f"{type(model).__name__} takes in {main!r}; expected input_ids, pixel_values or a waveform.")


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


def _count_hidden_states(body: Any, spec: InputSpec) -> int:
    """Entries of ``hidden_states``: one per layer or stage, and mostly the embeddings before them.

    Image models differ in what they list, so a black picture is tried; the others say it in their config.
    """
    import torch

    if isinstance(spec, ImageInput):
        with torch.no_grad():
            picture = torch.zeros(1, spec.channels, *spec.size)
            output = body(pixel_values=picture, output_hidden_states=True, return_dict=True)
        if states := getattr(output, "hidden_states", None):
            return len(states)
        raise SourceError(f"{type(body).__name__} gives no hidden states, so that there is no layer to tap.")
    for field in ("num_hidden_layers", "encoder_layers", "num_layers", "n_layer"):
        if isinstance(count := getattr(body.config, field, None), int):
            return count + 1
    raise SourceError(f"{type(body.config).__name__} does not say how many layers the model has.")


def _activation(state: Tensor, mask: Tensor | None, spec: InputSpec) -> Activation:
    """Maps are NCHW; a picture's sequence may lead with class and register tokens, which are not averaged."""
    if state.ndim == 4:
        return Activation(state, "NCHW")
    skip = 0
    if spec.kind == "image":
        length = state.shape[1]
        skip = length - int(length**0.5) ** 2 if spec.size[0] == spec.size[1] else 0
    return Activation(state, "NTC", mask, skip)


def _time_mask(body: Any, inputs: Inputs, state: Tensor) -> Tensor | None:
    """The attention mask on the time axis that layers see; sound models shorten it."""
    mask = inputs.get("attention_mask")
    if mask is None or mask.shape[1] == state.shape[1]:
        return mask
    if shorten := getattr(body, "_get_feature_vector_attention_mask", None):
        return shorten(state.shape[1], mask)
    step, rest = divmod(mask.shape[1], state.shape[1])
    return mask[:, ::step] if rest == 0 else None


def _from(auto: str, name: str, hub: dict[str, Any]) -> Any:
    import transformers

    return getattr(transformers, auto).from_pretrained(name, **hub)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and load reports of transformers' own inside; its settings are put back after."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def explained(text: str, name: str) -> Iterator[None]:
    """Turn transformers' errors into one that says what to do."""
    from pickle import UnpicklingError

    from safetensors import SafetensorError

    try:
        yield
    except SourceError:
        raise
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, SafetensorError, UnpicklingError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        if Path(name).is_dir():
            raise SourceError(
                f"{text}: the directory cannot be loaded ({reason}); expected what save_pretrained writes: "
                "config.json, weights, and the tokenizer's or processor's files."
            ) from error
        raise SourceError(
            f"{text}: cannot be had from the hub ({reason}). Without a network, download it elsewhere with "
            "save_pretrained and name the local directory: hf:./DIR."
        ) from error


SOURCES.add("hf", load_hf)
