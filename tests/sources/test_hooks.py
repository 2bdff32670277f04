"""Taps, seeds and hashes: what every loader shares."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from transferscope.sources import ImageInput, TokensInput, WaveformInput
from transferscope.sources.hooks import (
    Tap,
    describe_input,
    hooked_run,
    image_size,
    make_card,
    positive,
    randomize,
    seeded,
    weights_option,
    weights_sha256,
    without_weights,
)


class Net(nn.Module):
    """A convolution, a sequence and a classifier; the recurrent layer gives a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gru = nn.Conv2d(3, 4, 3, padding=1), nn.GRU(4, 6, batch_first=True)
        self.fc, self.unused = nn.Linear(6, 2), nn.Linear(1, 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        values, _ = self.gru(self.conv(pixels).flatten(2).transpose(1, 2))
        return self.fc(values.mean(dim=1))


@pytest.fixture
def net() -> Net:
    with seeded(0):
        return Net().eval()


def test_taps_read_outputs_and_inputs_in_one_pass(net: Net) -> None:
    mask = torch.tensor([[1] * 16, [1] * 9 + [0] * 7])
    taps = {
        "conv": Tap(net.conv),
        "gru": Tap(net.gru, skip=2),
        "last": Tap(net.gru, three="NCT"),
        "pooled": Tap(net.fc, where="input", skip=2),
    }
    run = hooked_run(taps, lambda inputs: (net(inputs["pixel_values"]), mask))
    pixels = torch.rand(2, 3, 4, 4)
    outputs = run({"pixel_values": pixels}, ["conv", "gru", "last", "pooled"])
    found = outputs.layers
    torch.testing.assert_close(found["conv"].values, net.conv(pixels))
    assert [found[name].layout for name in taps] == ["NCHW", "NTC", "NCT", "NC"]
    assert found["gru"].values.shape == (2, 16, 6)
    torch.testing.assert_close(found["pooled"].values, found["gru"].values.mean(dim=1))
    assert [found[name].mask is None for name in taps] == [True, False, False, True]
    assert [found[name].skip for name in taps] == [0, 2, 0, 0]
    torch.testing.assert_close(outputs.logits, net.fc(found["pooled"].values))
    assert outputs.logits is not None
    assert outputs.logits.requires_grad
    assert set(run({"pixel_values": pixels}, ["conv"]).layers) == {"conv"}


@pytest.mark.parametrize(
    ("tap", "shape", "layout"),
    [
        ({}, (2, 5, 6, 7), "NCHW"),
        ({"width": 5}, (2, 5, 6, 7), "NCHW"),
        ({"width": 7}, (2, 5, 6, 7), "NHWC"),
        ({"width": 7}, (2, 7, 6, 7), "NCHW"),
        ({"width": 9}, (2, 5, 6, 7), "NCHW"),
        ({"layout": "NHWC"}, (2, 5, 6, 7), "NHWC"),
        ({"width": 7}, (2, 5, 7), "NTC"),
    ],
)
def test_layout_is_told_from_dimensions_and_width(tap: dict, shape: tuple[int, ...], layout: str) -> None:
    module = nn.Identity()
    run = hooked_run({"layer": Tap(module, **tap)}, lambda inputs: (module(inputs["x"]).sum(), None))
    assert run({"x": torch.zeros(shape)}, ["layer"]).layers["layer"].layout == layout


def test_hooks_are_gone_after_a_pass_and_after_a_failure(net: Net) -> None:
    taps = {"conv": Tap(net.conv), "pooled": Tap(net.fc, where="input")}
    run = hooked_run(taps, lambda inputs: (net(inputs["pixel_values"]), None))
    run({"pixel_values": torch.rand(1, 3, 4, 4)}, ["conv", "pooled"])
    with pytest.raises(RuntimeError, match="channels"):
        run({"pixel_values": torch.rand(1, 5, 4, 4)}, ["conv", "pooled"])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_hash_is_of_names_types_shapes_and_values(net: Net) -> None:
    first = weights_sha256(net)
    assert len(first) == 64
    with seeded(0):
        assert weights_sha256(Net()) == first
    with torch.no_grad():
        net.fc.bias[0] += 1e-6
    changed = {first, weights_sha256(net)}
    net.fc.double()
    changed.add(weights_sha256(net))
    net.fc.weight = nn.Parameter(net.fc.weight.reshape(3, 4))
    changed.add(weights_sha256(net))
    net.register_buffer("count", torch.zeros((), dtype=torch.long))
    changed.add(weights_sha256(net))
    net.again = net.fc
    changed.add(weights_sha256(net))
    assert len(changed) == 6


def test_hash_takes_every_type_of_tensor() -> None:
    module = nn.Module()
    types = (torch.bool, torch.int8, torch.int64, torch.float16, torch.bfloat16, torch.float64, torch.complex64)
    for i, dtype in enumerate(types):
        module.register_buffer(f"b{i}", torch.ones(3, 2, dtype=dtype).T)
    first = weights_sha256(module)
    for i in range(len(types)):
        tensor = module.get_buffer(f"b{i}")
        before = tensor.clone()
        tensor[0, 1] = 0
        assert weights_sha256(module) != first
        tensor.copy_(before)
    assert weights_sha256(module) == first


def test_seeded_leaves_the_generator_as_it_was() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with seeded(7):
        inside = torch.rand(2)
    torch.testing.assert_close(torch.rand(2), expected, rtol=0, atol=0)
    with seeded(7):
        assert torch.equal(torch.rand(2), inside)
    with seeded(8):
        assert not torch.equal(torch.rand(2), inside)


def test_randomize_gives_every_parameter_anew_by_its_seed() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.norm = nn.Parameter(torch.full((40, 50), 9.0)), nn.BatchNorm2d(3)
            self.attention, self.fc = nn.MultiheadAttention(4, 2), nn.Linear(4, 4)

    def trained() -> Own:
        module = Own()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.fill_(9.0)
            module.norm.running_mean.fill_(9.0)
            module.norm.num_batches_tracked.fill_(9)
        return module

    modules = [trained() for _ in range(3)]
    before = torch.random.get_rng_state()
    first, again, other = (randomize(module, seed) for module, seed in zip(modules, (5, 5, 6), strict=True))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert weights_sha256(first) == weights_sha256(again) != weights_sha256(other)
    assert not any((tensor == 9).any() for tensor in first.state_dict().values())
    assert first.table.std().item() == pytest.approx(0.02, rel=0.1)
    assert first.norm.running_mean.tolist() == [0, 0, 0]
    assert first.norm.weight.tolist() == [1, 1, 1]
    assert first.fc.weight.abs().max() <= 0.5  # nn.Linear's own bound, 1 / sqrt(4)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("timm:a?weights=random", "timm:a"),
        ("timm:a", "timm:a"),
        ("timm:a?size=64&weights=random", "timm:a?size=64"),
        ("timm:a?weights=random&size=64", "timm:a?size=64"),
        ("file:a.pt?arch=timm:b&weights=random", "file:a.pt?arch=timm:b"),
    ],
)
def test_a_twins_pretrained_source_is_named_without_its_weights(name: str, base: str) -> None:
    assert without_weights(name) == base


def test_card_counts_parameters_and_knows_its_twin(net: Net) -> None:
    spec = ImageInput((4, 6), (0.5,), (0.25,), "bicubic", 0.9)
    card = make_card("timm:a?weights=random", "net", net, ["conv"], spec, is_random=True, license="MIT")
    assert card.n_parameters == (3 * 9 + 1) * 4 + 3 * 6 * (4 + 6 + 2) + 6 * 2 + 2 + 2
    assert (card.twin_of, card.layers, card.license) == ("timm:a", ("conv",), "MIT")
    assert card.weights_sha256 == weights_sha256(net)
    assert make_card("timm:a", "net", net, ["conv"], spec).twin_of is None
    assert dict(card.input) == {
        "kind": "image", "size": "(4, 6)", "mean": "(0.5,)", "std": "(0.25,)", "interpolation": "bicubic", "crop": 0.9,
    }  # fmt: skip


def test_inputs_are_described_in_plain_values() -> None:
    class Extractor:
        pass

    plain = describe_input(WaveformInput(16_000, 30.0, 0.1, Extractor()))
    assert plain == {
        "kind": "waveform", "sample_rate": 16_000, "max_seconds": 30.0, "min_seconds": 0.1, "extractor": "Extractor",
    }  # fmt: skip
    assert describe_input(WaveformInput(8000, 1.0))["extractor"] is None
    tokens = describe_input(TokensInput([0, 1, 2], 8, nn.Embedding(3, 2), "query: "))
    assert tokens == {"kind": "tokens", "tokenizer": "list (3 tokens)", "max_length": 8, "prefix": "query: "}


def test_options_of_loaders() -> None:
    assert (image_size("64"), image_size("64x256"), positive("3")) == ((64, 64), (64, 256), 3)
    assert (weights_option("random"), weights_option("pretrained")) == ("random", "pretrained")
    for convert, value, message in (
        (image_size, "0x5", "positive whole number"),
        (image_size, "axb", "invalid literal"),
        (positive, "-1", "positive whole number"),
        (weights_option, "none", "expected pretrained or random"),
    ):
        with pytest.raises(ValueError, match=message):
            convert(value)
