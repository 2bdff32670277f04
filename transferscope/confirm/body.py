"""The parts of any model, told from its modules: blocks from input to output, norms, biases, attention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class _Unit:
    """A module, or a container's own parameters, that is not taken apart any further."""

    parameters: tuple[str, ...]
    is_block: bool


def blocks_of(model: nn.Module) -> list[list[str]]:
    """Names of all parameters, divided into the stem (first, may be empty) and the blocks from input to output.

    A block is a member of a list of like modules (residual blocks, transformer layers), lists of lists taken apart.
    What stands between two blocks goes with the later one, what follows the last goes with it. A model without such
    lists has a block for every module with a matrix or kernel, norms with the one before.
    """
    units = list(_units(model, "", in_list=False))
    if not any(unit.is_block for unit in units):
        return [[], *_by_kernel(model)]
    groups: list[list[str]] = [[]]
    waiting: list[str] = []
    for unit in units:
        if unit.is_block:
            groups.append([*waiting, *unit.parameters])
            waiting = []
        elif len(groups) == 1:
            groups[0] += unit.parameters
        else:
            waiting += unit.parameters
    groups[-1] += waiting
    return groups


def _units(module: nn.Module, name: str, *, in_list: bool) -> Iterator[_Unit]:
    dotted = f"{name}." if name else ""
    if not any(_is_list(inner) for inner in module.modules()):
        if names := tuple(dotted + key for key, _ in module.named_parameters()):
            yield _Unit(names, in_list)
        return
    if own := tuple(dotted + key for key, _ in module.named_parameters(recurse=False)):
        yield _Unit(own, False)
    for key, child in module.named_children():
        yield from _units(child, dotted + key, in_list=_is_list(module))


def _is_list(module: nn.Module) -> bool:
    """A container with two or more members of one class that are modules of modules."""
    from torch import nn

    if not isinstance(module, nn.Sequential | nn.ModuleList):
        return False
    compound = [type(child) for child in module if any(True for _ in child.children())]
    return max(Counter(compound).values(), default=0) > 1


def _by_kernel(model: nn.Module) -> list[list[str]]:
    groups: list[list[str]] = []
    for name, module in model.named_modules():
        own = [f"{name}.{key}" if name else key for key, _ in module.named_parameters(recurse=False)]
        if not own:
            continue
        if any(p.ndim > 1 for p in module.parameters(recurse=False)) or not groups:
            groups.append(own)
        else:
            groups[-1] += own
    return groups


def biases_and_norms(model: nn.Module) -> set[str]:
    """Names of all biases, and of the weights of normalisation layers."""
    found = set()
    for name, module in model.named_modules():
        is_norm = "norm" in type(module).__name__.lower()
        for key, parameter in module.named_parameters(recurse=False):
            if key.startswith("bias") or key.endswith("bias") or (is_norm and parameter.ndim <= 1):
                found.add(f"{name}.{key}" if name else key)
    return found


def is_transformer(model: nn.Module, blocks: Sequence[Sequence[str]]) -> bool:
    """Whether most blocks attend."""
    attending = {name for name, module in model.named_modules() if "attention" in type(module).__name__.lower()}
    with_attention = [
        any(parameter.startswith(f"{name}.") for parameter in block for name in attending) for block in blocks
    ]
    return sum(with_attention) * 2 > len(with_attention)


def set_mode(body: nn.Module) -> None:
    """Training mode, except where all weights are frozen: there nothing drops out and no statistics move."""
    from torch import nn

    body.train()
    for module in body.modules():
        weights = list(module.parameters())
        # cuDNN gives no gradients through a recurrent layer outside of training mode
        if weights and not any(w.requires_grad for w in weights) and not isinstance(module, nn.RNNBase):
            module.eval()


@contextmanager
def averaged_statistics(body: nn.Module) -> Iterator[None]:
    """Batch norms in training mode evaluate with the plain mean of this epoch's batch statistics.

    Their own running average moves by 1 to 10 % a step: after the few steps that a small target allows it still
    describes other data, and accuracy falls to chance whatever the weights have learned (Wu and Johnson,
    "Rethinking 'Batch' in BatchNorm", 2021). Training itself does not read it.
    """
    norms = trained_norms(body)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's name for a cumulative average
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


@contextmanager
def untracked(body: nn.Module) -> Iterator[None]:
    """Batch norms learn no statistics of what passes inside, such as data that are not the target's."""
    norms = trained_norms(body)
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def trained_norms(body: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Batch norms that are in training mode and keep statistics."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return [m for m in body.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]
