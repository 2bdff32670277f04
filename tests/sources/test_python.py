"""Modules that code of one's own builds, of every kind of input."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from transferscope.errors import SourceError, UnknownNameError
from transferscope.features.pooling import pool
from transferscope.sources import ImageInput, Source, TokensInput, WaveformInput, load_source

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


def bare_wave():
    return Wave()


def bare_tokens():
    return Tokens()


def two_tables():
    made = Tokens()
    made.other = nn.Embedding(5, 4)
    return made
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
        ("own:bare", SourceError, r"returned Grid; expected a Source or .*with \?input=FILE.toml"),
        ("own:grid?size=3", UnknownNameError, "no option of python: named 'size'. Known: input, weights"),
    ],
)  # fmt: skip
def test_what_is_no_source_is_refused(own: str, spec: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load_source(f"python:{spec}")


def test_a_module_that_lacks_another_names_that_one(own: str, tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text("import no_such_thing")
    with pytest.raises(SourceError, match="there is no module 'no_such_thing'"):
        load_source("python:half:f")


def describe(folder: Path, text: str) -> str:
    (folder / "spec.toml").write_text(text)
    return "input=spec.toml"


def tokenizer_in(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "[PAD]": 1, "cat": 2, "sat": 3}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]")
    made.save_pretrained(folder / "words")


def test_an_input_file_beside_the_code_describes_pictures(own: str, tmp_path: Path) -> None:
    option = describe(
        tmp_path,
        'kind = "image"\nsize = [16, 24]\nmean = [0.5, 0.4, 0.3]\nstd = [1, 0.2, 0.3]\n'
        'interpolation = "bilinear"\ncrop = 0.9\n',
    )
    source = load_source(f"python:own:bare?{option}")
    assert source.input == ImageInput((16, 24), (0.5, 0.4, 0.3), (1.0, 0.2, 0.3), "bilinear", 0.9)
    assert shapes(source, {"pixel_values": torch.rand(2, 3, 16, 24)})["last"] == ("NHWC", (2, 7))
    twin = load_source(f"python:own:bare?{option}&weights=random")
    assert (twin.input, twin.card.twin_of) == (source.input, "python:own:bare?input=spec.toml")
    describe(tmp_path, 'kind = "image"\nsize = 8\n')
    assert load_source(f"python:own:bare?{option}").input == ImageInput((8, 8), (0.0,) * 3, (1.0,) * 3)


def test_an_input_file_is_found_beside_the_module_from_any_folder(
    own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    option = describe(tmp_path, 'kind = "waveform"\nsample_rate = 8000\nmax_seconds = 2\nmin_seconds = 0.5\n')
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_source(f"python:own:bare_wave?{option}").input == WaveformInput(8000, 2.0, 0.5)
    (tmp_path / "elsewhere" / "here.toml").write_text('kind = "waveform"\nsample_rate = 100\n')
    assert load_source("python:own:bare_wave?input=here.toml").input == WaveformInput(100, 30.0)
    with pytest.raises(SourceError, match=r"there is no .*/no.toml nor .*/elsewhere/no.toml"):
        load_source("python:own:bare_wave?input=no.toml")


def test_an_input_file_names_a_tokenizer_and_the_embedding_it_feeds(own: str, tmp_path: Path) -> None:
    tokenizer_in(tmp_path)
    text = 'kind = "tokens"\ntokenizer = "words"\nmax_length = 4\nprefix = "cat "\n'
    source = load_source(f"python:own:bare_tokens?{describe(tmp_path, text)}")
    spec = source.input
    assert isinstance(spec, TokensInput)
    assert (spec.max_length, spec.prefix, spec.embedding) == (4, "cat ", source.model.table)
    assert spec.tokenizer("cat sat").input_ids == [2, 3]
    with pytest.raises(SourceError, match=r"spec.toml: embedding = None; expected one of 'table', 'other'"):
        load_source("python:own:two_tables?input=spec.toml")
    describe(tmp_path, text + 'embedding = "other"')
    source = load_source("python:own:two_tables?input=spec.toml")
    assert isinstance(source.input, TokensInput)
    assert source.input.embedding is source.model.other


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            'kind = "image"\nsize = 8\ncorp = 1.0',
            UnknownNameError,
            "no key of image input in .* named 'corp'. Did you",
        ),
        ('kind = "imag"', UnknownNameError, "no kind of input in .*spec.toml named 'imag'. Did you mean 'image'"),
        ("size = 8", UnknownNameError, "no kind of input in .*spec.toml named 'None'"),
        ('kind = "image"', SourceError, "spec.toml: size: .*required"),
        ('kind = "image"\nsize = "8"', SourceError, "spec.toml: size: Input should be a valid integer"),
        ('kind = "image"\nsize = 2026-01-01', SourceError, "spec.toml: size: Input should be a valid integer"),
        ('kind = "image"\nsize = [8, 8, 8]', SourceError, "spec.toml: size: "),
        ('kind = "image"\nsize = 0', SourceError, "spec.toml: size = 0; expected pixels"),
        ('kind = "image"\nsize = 8\nmean = [0.5]', SourceError, "expected 1 or 3 numbers each"),
        ('kind = "image"\nsize = 8\nstd = [1, 0, 1]', SourceError, "std above 0"),
        ('kind = "image"\nsize = 8\ninterpolation = "cubic"', SourceError, "'cubic'; expected nearest, .*bicubic"),
        ('kind = "image"\nsize = 8\ncrop = 1.5', SourceError, "crop = 1.5; expected the share"),
        ('kind = "waveform"\nsample_rate = 44100.5', SourceError, "sample_rate: Input should be a valid integer"),
        (
            'kind = "waveform"\nsample_rate = 8000\nmin_seconds = 99',
            SourceError,
            "min_seconds = 99.0, max_seconds = 30",
        ),
        ('kind = "tokens"\ntokenizer = "no"', SourceError, "tokenizer = 'no'; there is no directory .*/no"),
        ('kind = "tokens"\ntokenizer = "."', SourceError, "tokenizer = '.'; .* holds none that loads"),
        ('kind = "image', SourceError, "spec.toml: cannot be read as TOML"),
    ],
)
def test_what_an_input_file_gets_wrong_is_said(
    own: str, tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load_source(f"python:own:bare_tokens?{describe(tmp_path, text)}")


def test_with_an_input_file_the_function_returns_a_module(own: str, tmp_path: Path) -> None:
    option = describe(tmp_path, 'kind = "image"\nsize = 8\n')
    with pytest.raises(SourceError, match="returned tuple; with input= it is a torch module alone"):
        load_source(f"python:own:grid?{option}")
