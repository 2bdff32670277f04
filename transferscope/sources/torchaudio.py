"""``torchaudio:NAME``: the wav2vec 2.0, HuBERT and WavLM pipelines of torchaudio."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import SourceError, UnknownNameError, first_line
from ..registry import Spec
from .hf_states import by_length
from .hooks import make_card, seeded, weights_option
from .source import SOURCES, Activation, Inputs, Outputs, Source, WaveformInput

LONGEST_SOUND = 30.0  # seconds
SHORTEST_SOUND = 0.1  # seconds
WINDOW = 400  # samples that the convolutions need for one frame
PATIENCE = 10.0  # seconds that a server may take to answer


def load_torchaudio(spec: Spec, *, seed: int = 0, trust_remote_code: bool = False) -> Source:
    """Load a bundle of `torchaudio.pipelines` by name, such as ``WAV2VEC2_BASE``.

    Layers are "conv", the output of the convolutions, and "layer.1" and on, what the bundle's
    ``extract_features`` gives. Emissions of the ASR bundles are characters at each time, not classes of a sound,
    so there are no logits. Option: ``weights=random``, which needs no download.

    Raises
    ------
    UnknownNameError
        If torchaudio has no such bundle.
    SourceError
        If the weights are not in torch's cache and cannot be downloaded.
    """
    from torchaudio import pipelines

    options = spec.only(weights=weights_option)
    is_random = options.get("weights") == "random"
    bundle = getattr(pipelines, spec.location, None)
    if not isinstance(bundle, pipelines.Wav2Vec2Bundle):
        names = [name for name, value in vars(pipelines).items() if isinstance(value, pipelines.Wav2Vec2Bundle)]
        raise UnknownNameError("torchaudio pipeline", spec.location, names)
    model = _untrained(bundle, seed) if is_random else _pretrained(bundle, spec.text)
    found = WaveformInput(int(bundle.sample_rate), LONGEST_SOUND, SHORTEST_SOUND)
    layers = ("conv", *(f"layer.{i + 1}" for i in range(len(model.encoder.transformer.layers))))
    said = " ".join((bundle.__doc__ or "").split())
    card = make_card(
        spec.text, f"{bundle._model_type} ({spec.location})", model, layers, found, is_random=is_random,
        license=_license(said), pretraining=None if is_random else _pretraining(said),
    )  # fmt: skip
    return Source(card, model, found, _runner(bundle, model))


def _untrained(bundle: Any, seed: int) -> Any:
    """The bundle's architecture, built from its own parameters."""
    from torchaudio import models

    build = {"Wav2Vec2": models.wav2vec2_model, "WavLM": models.wavlm_model}[bundle._model_type]
    with seeded(seed):
        return build(**bundle._params).eval()


def _pretrained(bundle: Any, text: str) -> Any:
    """The model without the wrapper that normalises a batch as one; `_runner` normalises each sound alone."""
    try:
        with _impatient():
            model = bundle.get_model(dl_kwargs={"progress": False, "map_location": "cpu", "weights_only": True})
    except (OSError, RuntimeError) as error:
        reason = first_line(error)
        raise SourceError(
            f"{text}: its weights cannot be had ({reason}). Without a network, copy {bundle._path} into "
            "hub/checkpoints of torch's cache (TORCH_HOME), or add ?weights=random for the untrained model."
        ) from None
    return getattr(model, "model", model)


@contextmanager
def _impatient() -> Iterator[None]:
    """A server that does not answer is an error soon; torch's download itself waits for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _runner(bundle: Any, model: Any) -> Any:
    """``run`` of a source: sounds of one length at a time and without padding.

    The group norm of the base models runs over time, and WavLM's attention takes no mask, so padding would
    change what is heard. The others could be masked; they are run the same way, as one law for all.
    """

    def run(inputs: Inputs, asked: Sequence[str]) -> Outputs:
        from torch.nn.functional import layer_norm

        waves = inputs["input_values"]
        if bundle._normalize_waveform:
            waves = layer_norm(waves, waves.shape[1:])
        frames, _ = model.feature_extractor(waves, None)
        states = [frames, *model.encoder.extract_features(frames, None)]
        numbers = {layer: 0 if layer == "conv" else int(layer.removeprefix("layer.")) for layer in asked}
        return Outputs({layer: Activation(states[number], "NTC") for layer, number in numbers.items()})

    return by_length(run, WINDOW)


def _license(said: str) -> str | None:
    """What the bundle's own documentation says after "under"."""
    found = re.search(r"\bunder \W*(\w[\w\s.-]*?)\s+(?:License|and redistributed)", said)
    return found[1] if found else None


def _pretraining(said: str) -> str | None:
    """Its words on the training data, without markup."""
    found = re.search(r"(?:pre-trained|[Tt]rained) on .*?(?=\.\s|\.$|Originally|Published)", said)
    if found is None:
        return None
    return re.sub(r"\s+(?=[,.)])", "", re.sub(r":\w+:`[^`]*`|\*", "", found[0])).strip()


SOURCES.add("torchaudio", load_torchaudio)
