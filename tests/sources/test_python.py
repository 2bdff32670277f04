"""Modules that code of one's own builds, of every kind of input."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from transferscope.errors import SourceError, UnknownNameError
from transferscope.features.pooling import pool
from transferscope.sources import Source, load_source

OWN = '''
import torch
from torch import nn
from transferscope.sources import ImageInput, TokensInput, WaveformInput, load_source

IMAGE = ImageInput((16, 16), (0.5,) * 3, (0.5,) * 3)


class Wave(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv1d(1, 4, 8, stride=4), nn.Conv1d(4, 6, 4)])
        self.out = nn.Linear(6, 2)

    def forward(self, waves, mask):
        values = waves.unsqueeze(1) * mask.unsqueeze(1)
        for conv in self.convs:
            values = conv(values)
        return self.out(values.mean(dim=2))


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.mix = nn.Embedding(9, 4), nn.Linear(4, 5)

    def forward(self, input_ids=None, attention_mask=None, inputs_embeds=None):
        return self.mix(self.table(input_ids) if inputs_embeds is None else inputs_embeds)


class Grid(nn.Module):
    """Channels last, and a layer to tap deep inside."""

    transferscope_layers = {"body.0.conv": None, "last": "NHWC"}

    def __init__(self):
        super().__init__()
        inner = nn.Module()
        inner.conv, inner.forward = nn.Conv2d(3, 5, 3), lambda x: inner.conv(x)
        self.body, self.last = nn.Sequential(inner), nn.Linear(5, 7)

    def forward(self, pixels):
        return self.last(self.body(pixels).permute(0, 2, 3, 1))


def wave():
    return Wave(), WaveformInput(8000, 1.0)


def tokens():
    made = Tokens()
    return made, TokensInput(list(range(9)), 8, made.table)


def grid():
    return Grid(), IMAGE


def alone():
    return nn.Conv2d(3, 4, 3), IMAGE


def ready():
    return load_source("python:own:grid")


def number():
    return 5


def bare():
    return Grid()
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current folder, on no path."""
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.delitem(sys.modules, "own", raising=False)
    return "own"


def shapes(source: Source, inputs: dict[str, torch.Tensor]) -> dict[str, tuple[str, tuple[int, ...]]]:
    with torch.no_grad():
        outputs = source.run(inputs, source.card.layers)
    assert outputs.logits is None
    assert all(pool(found).isfinite().all() for found in outputs.layers.values())
    return {name: (found.layout, tuple(pool(found).shape)) for name, found in outputs.layers.items()}


def test_layers_are_children_and_members_of_containers(own: str) -> None:
    waves = {"input_values": torch.rand(2, 100), "attention_mask": torch.ones(2, 100)}
    assert shapes(load_source("python:own:wave"), waves) == {
        "convs.0": ("NCT", (2, 4)), "convs.1": ("NCT", (2, 6)), "out": ("NC", (2, 2)),
    }  # fmt: skip
    ids = {"input_ids": torch.ones(2, 3, dtype=torch.long), "attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1]])}
    source = load_source("python:own:tokens")
    assert shapes(source, ids) == {"table": ("NTC", (2, 4)), "mix": ("NTC", (2, 5))}
    assert source.run(ids, ["mix"]).layers["mix"].mask is ids["attention_mask"]
    embedded = {"inputs_embeds": torch.rand(2, 3, 4), "attention_mask": ids["attention_mask"]}
    assert source.run(embedded, ["mix"]).layers["mix"].values.shape == (2, 3, 5)


def test_a_module_names_other_layers_and_their_layouts(own: str) -> None:
    pixels = {"pixel_values": torch.rand(2, 3, 16, 16)}
    expected = {"body.0.conv": ("NCHW", (2, 5)), "last": ("NHWC", (2, 7))}
    assert shapes(load_source("python:own:grid"), pixels) == expected
    assert shapes(load_source("python:own:alone"), pixels) == {"": ("NCHW", (2, 4))}


def test_a_function_may_return_a_source(own: str) -> None:
    source = load_source("python:own:ready")
    assert source.card.name == "python:own:ready"
    assert source.card.layers == ("body.0.conv", "last")
    twin = load_source("python:own:ready?weights=random")
    assert (twin.card.is_random, twin.card.twin_of) == (True, "python:own:ready")


def test_models_are_in_evaluation_mode_and_counted(tiny_models: str) -> None:
    source = load_source("python:tiny_models:deep")
    assert not any(module.training for module in source.model.modules())
    assert source.card.n_parameters == sum(p.numel() for p in source.model.parameters())
    assert source.card.architecture == "torch.nn.modules.container.Sequential"
    assert source.input.size == (16, 16)


def test_twins_are_random_by_their_seed(tiny_models: str) -> None:
    source = load_source("python:tiny_models:deep")
    twins = [load_source("python:tiny_models:deep?weights=random", seed=seed).card for seed in (5, 5, 6)]
    assert twins[0] == twins[1]
    assert len({source.card.weights_sha256, *(card.weights_sha256 for card in twins)}) == 3
    assert (twins[0].is_random, twins[0].twin_of) == (True, "python:tiny_models:deep")
    assert (source.card.is_random, source.card.twin_of) == (False, None)
    assert load_source("python:tiny_models:deep").card == source.card


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("own", SourceError, "python:own: expected python:MODULE:FUNCTION"),
        ("own:", SourceError, "python:own:: expected python:MODULE:FUNCTION"),
        ("nowhere:f", SourceError, "no module 'nowhere'; expected it on Python's path or in the current folder"),
        ("own:gird", UnknownNameError, "no function of own named 'gird'. Did you mean 'grid'"),
        ("own:IMAGE", UnknownNameError, "no function of own named 'IMAGE'"),
        ("own:number", SourceError, r"python:own:number: returned int; expected a Source or \(module, input spec\)"),
        ("own:bare", SourceError, "returned Grid; expected a Source or"),
        ("own:grid?size=3", UnknownNameError, "no option of python: named 'size'. Known: weights"),
    ],
)  # fmt: skip
def test_what_is_no_source_is_refused(own: str, spec: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load_source(f"python:{spec}")


def test_a_module_that_lacks_another_names_that_one(own: str, tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text("import no_such_thing")
    with pytest.raises(SourceError, match="there is no module 'no_such_thing'"):
        load_source("python:half:f")
