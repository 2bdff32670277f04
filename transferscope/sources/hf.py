"""``hf:NAME_OR_DIR``: image, audio and text models of transformers, from the hub or a local directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import SourceError, first_line
from ..registry import Spec
from .channels import channel_count, to_gray
from .hf_inputs import HEADS, Asked, encoder, image_input, input_spec, tower
from .hf_states import activation, by_length, read, takes
from .hooks import image_size, make_card, positive, seeded, weights_option
from .model_card import read_model_card
from .source import SOURCES, ImageInput, Inputs, Outputs, Source

__all__ = ["build_model", "explained", "image_input", "load_hf", "quiet", "wrap_hf"]

UNUSED = ("pooler", "mask_token", "masked_spec_embed")  # weights of these names change no feature
PATIENCE = 5.0  # seconds for the hub to take a connection, twice


def load_hf(spec: Spec, *, seed: int = 0, trust_remote_code: bool = False) -> Source:
    """Load by hub name or local directory.

    Options: ``weights=random``; ``revision=``; of text models ``max_length=N`` tokens; of image models ``size=N`` or
    ``size=HEIGHTxWIDTH`` in pixels, for which position embeddings are interpolated (Dosovitskiy et al., ICLR 2021),
    and ``channels=1``, which sums the first convolution over RGB (`to_gray`). Of an encoder-decoder the encoder is
    used; of a pair of towers, such as CLIP's or CLAP's, the one of images or sound. A classification head, where the
    checkpoint has one, gives source-class probabilities.

    Raises
    ------
    SourceError
        If there is no network for a hub name, files are missing, weights do not fit, the model takes
        neither pixels, waveforms nor tokens, or it cannot take an option.
    """
    options: dict[str, Any] = spec.only(
        weights=weights_option, revision=str, max_length=positive, size=image_size, channels=channel_count
    )
    folder = Path(spec.location).expanduser()
    name = str(folder) if folder.is_dir() else spec.location
    if not folder.is_dir() and name.startswith((".", "/", "~")):
        raise SourceError(f"{spec.text}: there is no directory {name}; expected one holding config.json and weights.")
    is_random = options.get("weights") == "random"
    lost = None if folder.is_dir() else unreachable()
    hub = {"revision": options.get("revision"), "trust_remote_code": trust_remote_code, "local_files_only": bool(lost)}
    with quiet(), explained(spec.text, name, lost):
        config = _from("AutoConfig", name, hub)
        model = build_model(config, None if is_random else name, hub, seed=seed, where=spec.text)
        asked = Asked(*(options.get(option) for option in ("max_length", "size", "channels")))
        known = read_model_card(folder if folder.is_dir() else None, name, hub)
        if is_random:
            known |= {"pretraining": None, "source_accuracy": None}
        known["is_random"] = is_random
        return wrap_hf(model, spec.text, lambda auto: _from(auto, name, hub), asked=asked, **known)


def build_model(config: Any, name: str | None, hub: dict[str, Any], *, seed: int, where: str) -> Any:
    """The model of `config` with the weights of `name`, or random ones; with its head if it is a classifier.

    Raises
    ------
    SourceError
        If weights that features depend on are missing or have another shape.
    """
    loader = _loader(config, with_head=name is not None)
    if name is None:
        with seeded(seed):
            trust = {"trust_remote_code": hub["trust_remote_code"]}
            model = loader.from_config(config, **trust) if hasattr(loader, "from_config") else loader(config)
    else:
        model, info = loader.from_pretrained(name, config=config, output_loading_info=True, **hub)
        used = {id(tensor) for tensor in encoder(tower(model)).state_dict(keep_vars=True).values()}
        idle = {key for key, tensor in model.state_dict(keep_vars=True).items() if id(tensor) not in used}
        lost = [key for key in info["missing_keys"] if key not in idle and not any(part in key for part in UNUSED)]
        odd = [str(key[0]) if isinstance(key, tuple) else str(key) for key in info["mismatched_keys"]]
        if lost or odd:
            raise SourceError(
                f"{where}: the weights do not fit the architecture: {len(lost)} missing ({', '.join(lost[:3])}), "
                f"{len(odd)} of another shape ({', '.join(odd[:3])}); check config.json against the weights."
            )
    return model.eval().float()


def _loader(config: Any, *, with_head: bool) -> Any:
    """The class that loads a checkpoint: with its head if it is a classifier, by its own name if it must."""
    import transformers

    architecture = next(iter(getattr(config, "architectures", None) or ()), "")
    if with_head:
        autos = next((autos for ending, autos in HEADS.items() if architecture.endswith(ending)), ())
        for auto in autos:
            if type(config) in getattr(transformers, auto)._model_mapping:
                return getattr(transformers, auto)
    # CLAP's audio tower is of no automatic class, and a saved T5EncoderModel lacks what AutoModel would build
    own = type(config) not in transformers.AutoModel._model_mapping or architecture.endswith("EncoderModel")
    if own and hasattr(transformers, architecture):
        return getattr(transformers, architecture)
    return transformers.AutoModel


def wrap_hf(
    model: Any, name: str, load: Callable[[str], Any], *, asked: Asked | None = None, prefix: str = "", **known: Any
) -> Source:
    """A source from a loaded model; `load` fetches "AutoTokenizer" and the like."""
    asked = asked or Asked()
    model = tower(model)
    body = encoder(model)
    spec = input_spec(model, load, asked, prefix)
    extra: dict[str, Any] = {}
    if isinstance(spec, ImageInput):
        if asked.channels == 1:
            spec = to_gray(model, spec)
        if asked.size is not None and takes(body, "interpolate_pos_encoding"):
            extra["interpolate_pos_encoding"] = True
    reading = read(body, spec, extra)
    # an encoder alone gives no logits
    has_head = body is model and (hasattr(model, "classifier") or type(model).__name__.endswith(tuple(HEADS)))
    layers = tuple(f"hidden.{i}" for i in range(len(reading.skips)))

    def run(inputs: Inputs, asked: Sequence[str]) -> Outputs:
        if "is_longer" in inputs:  # CLAP's extractor draws one at random; sounds are cut before, so that none is
            inputs = {**inputs, "is_longer": inputs["is_longer"] & False}
        output = body(**inputs, **extra, output_hidden_states=True, return_dict=True)
        states = dict(zip(layers, output.hidden_states, strict=True))
        skips = dict(zip(layers, reading.skips, strict=True))
        found = {layer: activation(states[layer], inputs, body, skips[layer]) for layer in asked}
        return Outputs(found, output.logits if has_head else None)

    card = make_card(
        name, type(model).__name__, model, layers, spec,
        n_source_classes=int(model.config.num_labels) if has_head else None, **known,
    )  # fmt: skip
    return Source(card, model, spec, by_length(run, reading.shortest) if reading.by_length else run)


def _from(auto: str, name: str, hub: dict[str, Any]) -> Any:
    import transformers

    return getattr(transformers, auto).from_pretrained(name, **hub)


def unreachable() -> str | None:
    """Why the hub takes no connection; None if it does, answers slowly, or is not to be asked (HF_HUB_OFFLINE).

    The hub's own client tries six times with growing pauses for every file, which is half a minute until the message.
    """
    import importlib
    import time

    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return None
    session = get_session()  # the client that loads files, with its proxies and certificates
    http = importlib.import_module(type(session).__module__.partition(".")[0])  # httpx, or its successor
    for attempt in range(2):
        try:
            session.head(constants.ENDPOINT, timeout=http.Timeout(2 * PATIENCE, connect=PATIENCE))
        except (http.ConnectError, http.ConnectTimeout) as error:
            reason = str(error) or type(error).__name__
            time.sleep(1 - attempt)
        except http.HTTPError:  # slow, or an odd answer, but there
            return None
        else:
            return None
    return f"no connection to {constants.ENDPOINT}: {reason}, and it is not in the local cache"


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
def explained(text: str, name: str, lost: str | None = None) -> Iterator[None]:
    """Turn transformers' errors into one that says what to do; `lost` is why the hub cannot be reached."""
    from pickle import UnpicklingError

    from safetensors import SafetensorError

    try:
        yield
    except SourceError:
        raise
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, SafetensorError, UnpicklingError) as error:
        reason = first_line(error, 300)
        if Path(name).is_dir():
            raise SourceError(
                f"{text}: the directory cannot be loaded ({reason}); expected what save_pretrained writes: "
                "config.json, weights, and the tokenizer's or processor's files."
            ) from error
        raise SourceError(
            f"{text}: cannot be had from the hub ({lost or reason}). Without a network, download it elsewhere with "
            "save_pretrained and name the local directory: hf:./DIR."
        ) from error


SOURCES.add("hf", load_hf)
