"""Hidden states of transformers' models as activations: how many, which positions are content, and padding."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import SourceError, first_line
from .source import Activation, ImageInput, Inputs, InputSpec, Outputs, TokensInput

if TYPE_CHECKING:
    from torch import Tensor

Run = Callable[[Inputs, Sequence[str]], Outputs]

# parameters that lead a sequence of patches; each has one row a token
PREFIX = ("cls_token", "class_token", "class_embedding", "distillation_token", "register_tokens")


@dataclass(frozen=True)
class Reading:
    """How a model's hidden states are read.

    Attributes
    ----------
    skips : tuple of int
        One a layer: leading positions that are no content.
    by_length : bool
        Whether padding changes what real positions get, so that samples of one length are run at a time.
    shortest : int
        Positions below which the model fails.
    """

    skips: tuple[int, ...]
    by_length: bool = False
    shortest: int = 1


def read(body: Any, spec: InputSpec, extra: dict[str, Any]) -> Reading:
    """Try the model on a black picture or a few tokens; of sound, which is long, its config says enough.

    Raises
    ------
    SourceError
        If it cannot be run, or gives no hidden states.
    """
    import torch

    shortest = int(getattr(body.config, "downsampling_rate", 1))  # CANINE's characters to one position
    if isinstance(spec, ImageInput):
        states = _try(body, {"pixel_values": torch.zeros(1, spec.channels, *spec.size), **extra}, f"size {spec.size}")
        return Reading(_skips(body, states, square=spec.size[0] == spec.size[1]))
    if isinstance(spec, TokensInput):
        n = max(shortest, min(8, spec.max_length // 2))
        padding = getattr(body.config, "pad_token_id", None) or 0
        ids = torch.tensor([[i for i in range(n + 1) if i != padding][:n]])
        mask = torch.ones_like(ids)
        alone = _try(body, {"input_ids": ids, "attention_mask": mask}, "tokens")
        if 2 * n > spec.max_length:  # too short to see what padding does
            return Reading((0,) * len(alone), by_length=True, shortest=shortest)
        longer = torch.nn.functional.pad(ids, (0, n), value=padding)
        padded = _try(body, {"input_ids": longer, "attention_mask": torch.cat([mask, 0 * mask], dim=1)}, "tokens")
        differs = [a.shape[1] != n or not _close(a, b[:, :n]) for a, b in zip(alone, padded, strict=True)]
        return Reading((0,) * len(alone), any(differs), shortest)
    normalises_time = getattr(body.config, "feat_extract_norm", None) == "group"
    return Reading((_leading(body),) * _count(body.config), normalises_time)


def _try(body: Any, inputs: dict[str, Any], what: str) -> list[Tensor]:
    import torch

    try:
        with torch.no_grad():
            output = body(**inputs, output_hidden_states=True, return_dict=True)
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        reason = first_line(error)
        raise SourceError(
            f"{type(body).__name__} cannot be run on {what} ({reason}); expected a model that needs nothing but "
            "tokens or pixels, and of a size the size it was made for, if it cannot interpolate its positions."
        ) from error
    if states := getattr(output, "hidden_states", None):
        return list(states)
    raise SourceError(f"{type(body).__name__} gives no hidden states, so that there is no layer to tap.")


def _close(a: Tensor, b: Tensor) -> bool:
    import torch

    return torch.allclose(a, b, rtol=1e-4, atol=1e-5 * max(1.0, float(a.abs().max())))


def _count(config: Any) -> int:
    """Entries of ``hidden_states`` of a sound model: one a layer or stage, and the embeddings before them."""
    if depths := getattr(config, "depths", None):
        return len(depths) + 1
    for field in ("encoder_layers", "num_hidden_layers", "num_layers"):
        if isinstance(count := getattr(config, field, None), int):
            return count + 1
    raise SourceError(f"{type(config).__name__} does not say how many layers the model has.")


def _leading(body: Any) -> int:
    """Class, distillation and register tokens, counted from the parameters that hold them."""
    tokens = {name: parameter for name, parameter in body.named_parameters() if name.rpartition(".")[2] in PREFIX}
    return sum(parameter.numel() // parameter.shape[-1] for parameter in tokens.values())


def _skips(body: Any, states: list[Tensor], *, square: bool) -> tuple[int, ...]:
    """Leading tokens of every layer; a pyramid has them only in the stages where patches fill a square without."""
    leading = _leading(body)
    lengths = [state.shape[1] if state.ndim == 3 else 0 for state in states]
    if len(set(lengths)) == 1:
        return (leading if lengths[0] else 0,) * len(states)
    return tuple(leading if square and n - int(n**0.5) ** 2 == leading else 0 for n in lengths)


def takes(body: Any, option: str) -> bool:
    """Whether the model's forward names `option`, or hands any to an inner model that does."""
    inner = [module.forward for name, module in body.named_modules() if name.count(".") == 0]
    return any(option in inspect.signature(forward).parameters for forward in inner)


def activation(state: Tensor, inputs: Inputs, body: Any, skip: int) -> Activation:
    """Maps are NCHW; sequences carry the mask of what is real."""
    if state.ndim == 4:
        return Activation(state, "NCHW")
    return Activation(state, "NTC", _time_mask(body, inputs, state), skip)


def _time_mask(body: Any, inputs: Inputs, state: Tensor) -> Tensor | None:
    """The attention mask on the time axis that layers see; sound models and CANINE shorten it."""
    mask = inputs.get("attention_mask")
    if mask is None or mask.shape[1] == state.shape[1]:
        return mask
    if shorten := getattr(body, "_get_feature_vector_attention_mask", None):
        # an adapter after the layers shortens time once more, but not theirs
        whole = {"add_adapter": False} if "add_adapter" in inspect.signature(shorten).parameters else {}
        return shorten(state.shape[1], mask, **whole)
    step, rest = divmod(mask.shape[1], state.shape[1])
    return mask[:, ::step] if rest == 0 else None


def by_length(run: Run, shortest: int) -> Run:
    """Samples of one length at a time and without their padding, for models whose features it would change."""

    def run_each(inputs: Inputs, asked: Sequence[str]) -> Outputs:
        import torch
        from torch.nn.functional import pad

        lengths = inputs["attention_mask"].sum(dim=1).long().clamp(min=shortest)
        groups = [(lengths == length).nonzero().flatten() for length in lengths.unique()]
        parts = [
            run({key: _fit(v[rows], int(lengths[rows[0]])) for key, v in inputs.items()}, asked) for rows in groups
        ]
        order = torch.cat(groups).argsort()
        found = {}
        for layer in asked:
            made = [part.layers[layer] for part in parts]
            longest = max(one.values.shape[1] for one in made)
            values = torch.cat([pad(one.values, (0, 0, 0, longest - one.values.shape[1])) for one in made])
            masks = [lengths.new_ones(one.values.shape[:2]) if one.mask is None else one.mask.long() for one in made]
            mask = torch.cat([pad(one, (0, longest - one.shape[1])) for one in masks])
            found[layer] = Activation(values[order], "NTC", mask[order], made[0].skip)
        logits = [part.logits for part in parts if part.logits is not None]
        return Outputs(found, torch.cat(logits)[order] if logits else None)

    return run_each


def _fit(values: Tensor, length: int) -> Tensor:
    """Cut, or fill with zeros, along the second axis."""
    from torch.nn.functional import pad

    missing = max(0, length - values.shape[1])
    return pad(values, (0, 0) * (values.ndim - 2) + (0, missing))[:, :length]
