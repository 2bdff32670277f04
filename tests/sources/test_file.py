"""Checkpoints of one's own: what fits is loaded, what does not is named, and no code in a file runs."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from transferscope.errors import SourceError, TransferScopeError, UnknownNameError
from transferscope.sources import Source, load_source
from transferscope.sources.file import read_checkpoint
from transferscope.sources.timm import create_timm

ARCH = "arch=timm:test_resnet"
State = dict[str, torch.Tensor]


def model(seed: int = 3, **options: Any) -> torch.nn.Module:
    return create_timm("test_resnet", pretrained=False, seed=seed, **options)


def logits(source: Source) -> torch.Tensor | None:
    with torch.no_grad():
        pixels = torch.ones(1, 3, 32, 32)
        return source.run({"pixel_values": pixels}, ["penultimate"]).logits


WRITERS: dict[str, Callable[[State, Path], None]] = {
    "a.pth": torch.save,
    "a.safetensors": save_file,
    "wrapped.pt": lambda state, path: torch.save({"epoch": 3, "state_dict": state}, path),
    "twice.pt": lambda state, path: torch.save({"state_dict": {"model": state}}, path),
    "parallel.pt": lambda state, path: torch.save({"model": {f"module.{k}": v for k, v in state.items()}}, path),
    "legacy.pt": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
}


@pytest.mark.parametrize("name", WRITERS)
def test_weights_in_any_usual_wrapping_are_the_models_own(tmp_path: Path, name: str) -> None:
    made = model(num_classes=7)
    WRITERS[name](made.state_dict(), tmp_path / name)
    source = load_source(f"file:{tmp_path / name}?{ARCH}")
    for key, value in source.model.state_dict().items():
        assert torch.equal(value, made.state_dict()[key])
    with torch.no_grad():
        torch.testing.assert_close(logits(source), made(torch.ones(1, 3, 32, 32)))
    card = source.card
    assert (card.name, card.n_source_classes, card.is_random) == (f"file:{tmp_path / name}?{ARCH}", 7, False)
    assert (card.license, card.pretraining) == (None, None)  # those of timm's weights are not this file's


def test_a_checkpoint_without_its_classifier_has_no_head(tmp_path: Path) -> None:
    torch.save(model(num_classes=0).state_dict(), tmp_path / "a.pt")
    source = load_source(f"file:{tmp_path / 'a.pt'}?{ARCH}")
    assert (logits(source), source.card.n_source_classes) == (None, None)


def test_twins_are_of_the_same_shape_and_by_seed(tmp_path: Path) -> None:
    torch.save(model(num_classes=7).state_dict(), tmp_path / "a.pt")
    spec = f"file:{tmp_path / 'a.pt'}?{ARCH}"
    source = load_source(spec)
    torch.manual_seed(1)
    twin = load_source(f"{spec}&weights=random", seed=5)
    torch.manual_seed(2)
    again, other = (load_source(f"{spec}&weights=random", seed=seed) for seed in (5, 6))
    assert twin.card == again.card
    assert len({s.card.weights_sha256 for s in (source, twin, other)}) == 3
    assert (twin.card.is_random, twin.card.twin_of) == (True, spec)
    assert twin.card.layers == source.card.layers
    assert twin.card.n_parameters == source.card.n_parameters
    assert (logits(twin), twin.card.n_source_classes) == (None, None)  # a random head says nothing


def test_other_architectures_than_timms(tmp_path: Path, tiny_models: str) -> None:
    import tiny_models as module  # type: ignore[import-not-found]

    net, _ = module.edges()
    with torch.no_grad():
        net[0].weight.fill_(0.25)
    torch.save(net.state_dict(), tmp_path / "a.pt")
    source = load_source(f"file:{tmp_path / 'a.pt'}?arch=python:tiny_models:edges")
    assert (source.model.state_dict()["0.weight"] == 0.25).all()
    assert not source.card.is_random
    assert source.card.twin_of is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("conv1.0.weight"), r"1 missing \(conv1.0.weight\)\. Name its own arch="),
        (lambda s: s.update(extra=torch.ones(1)), r"1 unexpected \(extra\)"),
        (
            lambda s: s.update({"conv1.0.weight": torch.ones(2, 3)}),
            r"1 of another shape \(conv1.0.weight \(2, 3\) for \(\d+, 3, 3, 3\)\)",
        ),
        (
            lambda s: [s.pop(k) for k in list(s) if k.startswith("layer1")] + [s.update(odd=torch.ones(1))],
            r"does not fit test_resnet: \d+ missing \(layer1\S+, layer1\S+, layer1\S+\); 1 unexpected \(odd\)",
        ),
    ],
    ids=["missing", "unexpected", "shape", "several"],
)
def test_keys_that_do_not_fit_are_named(tmp_path: Path, change: Callable[[State], Any], message: str) -> None:
    state = dict(model().state_dict())
    change(state)
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(SourceError, match=message):
        load_source(f"file:{tmp_path / 'a.pt'}?{ARCH}")


class Bomb:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Path]]:
        return Path.touch, (Path("exploded"),)


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, 2))])
def test_code_in_a_file_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Callable[[Any, Path], Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    save({"weight": torch.ones(1), "bomb": Bomb()}, tmp_path / "a.pt")
    with pytest.raises(SourceError, match=r"a.pt: cannot be read as a checkpoint \(.+\); expected tensors only"):
        load_source(f"file:{tmp_path / 'a.pt'}?{ARCH}")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pt", None, "there is no such file; expected a .safetensors, .pt or .pth checkpoint"),
        ("a.pt", b"", r"cannot be read as a checkpoint \(.+\)"),
        ("a.pt", b"junk", r"cannot be read as a checkpoint \(.+\)"),
        ("a.safetensors", b"junk", r"cannot be read as a checkpoint \(.+\)"),
        ("a.safetensors", b"", r"cannot be read as a checkpoint \(.+\)"),
    ],
)
def test_files_that_are_no_checkpoint_are_refused(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=f"{name}: {message}"):
        load_source(f"file:{tmp_path / name}?{ARCH}")


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.ones(1)], 5, {"state_dict": {}}])
def test_files_without_tensors_by_name_are_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(SourceError, match="holds no tensors; expected a state dict"):
        read_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("name", ["a.pt", "legacy.pt", "a.safetensors"])
def test_truncated_files_are_refused_wherever_they_end(tmp_path: Path, name: str) -> None:
    WRITERS.get(name, torch.save)({"weight": torch.ones(50), "bias": torch.zeros(50)}, tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for kept in cuts(len(whole)):
        (tmp_path / name).write_bytes(whole[:kept])
        with pytest.raises(SourceError, match="cannot be read as a checkpoint"):
            read_checkpoint(tmp_path / name)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", ["a.pt", "legacy.pt", "a.safetensors"])
def test_damaged_files_are_read_or_refused(tmp_path: Path, name: str) -> None:
    WRITERS.get(name, torch.save)({"weight": torch.ones(50), "bias": torch.zeros(50)}, tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    generator = torch.Generator().manual_seed(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        for at in torch.randint(len(whole), (4,), generator=generator).tolist():
            damaged[at] = int(torch.randint(256, (1,), generator=generator))
        (tmp_path / name).write_bytes(damaged)
        try:
            assert read_checkpoint(tmp_path / name)
        except SourceError as error:
            refused += "cannot be read" in str(error) or "holds no tensors" in str(error)
    assert refused > 3


def cuts(length: int) -> list[int]:
    """Where to cut: all over the file, and just before its end."""
    return [*range(0, length, max(1, length // 20)), length - 1]


def test_options_are_checked(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "a.pt")
    where = f"file:{tmp_path / 'a.pt'}"
    with pytest.raises(SourceError, match=r"say which architecture it is: file:.*a.pt\?arch=timm:NAME"):
        load_source(where)
    with pytest.raises(UnknownNameError, match="no option of file: named 'arhc'. Did you mean 'arch'"):
        load_source(f"{where}?arhc=timm:resnet18")
    with pytest.raises(UnknownNameError, match="no timm model named 'resnet118'. Did you mean"):
        load_source(f"{where}?arch=timm:resnet118")
    with pytest.raises(TransferScopeError, match="architecture 'resnet18' is not of the form .*timm:resnet18"):
        load_source(f"{where}?arch=resnet18")
