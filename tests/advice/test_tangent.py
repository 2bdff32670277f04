"""Sketched gradients: products are kept, and the source is left as it was."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from transferscope.adapters import find_adapter
from transferscope.advice import tangent
from transferscope.advice.tangent import tangent_sketch
from transferscope.features.pooling import pool
from transferscope.sources import ImageInput, Source
from transferscope.sources.python import wrap_module
from transferscope.targets import Target
from transferscope.targets.arrays import from_arrays


@pytest.fixture
def source() -> Source:
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
        torch.nn.Conv2d(8, 12, 3, stride=2), torch.nn.ReLU(),
    )  # fmt: skip
    return wrap_module(net.eval(), ImageInput((16, 16), (0.5,) * 3, (0.5,) * 3, "bilinear"), name="cnn")


@pytest.fixture
def target() -> Target:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (16, 16, 3), dtype=np.uint8) for _ in range(12)]
    return from_arrays(pictures, [place % 2 for place in range(12)], modality="image")


def sketch(target: Target, source: Source, seed: int = 0) -> np.ndarray:
    adapter = find_adapter(target, source, ())
    layer = source.card.layers[-1]
    return tangent_sketch(target, source, adapter, np.arange(12), layer=layer, pooling="mean", device="cpu", seed=seed)


def test_products_are_those_of_the_gradients_each_tensor_in_its_own_size(target: Target, source: Source) -> None:
    adapter, layer = find_adapter(target, source, ()), source.card.layers[-1]
    direction = torch.randn(12, generator=torch.Generator().manual_seed(0))
    parameters = list(source.model.parameters())
    rows = []
    for row in range(12):
        inputs = adapter.prepare([target.samples[row]], Counter())
        with torch.enable_grad():
            output = pool(source.run(inputs, [layer]).layers[layer], "mean")[0] @ direction
            rows.append(torch.autograd.grad(output, parameters))
    sizes = [torch.stack([one[i].square().mean() for one in rows[: tangent.FIRST]]).mean().sqrt() for i in range(6)]
    flat = np.stack([torch.cat([(g / s).flatten() for g, s in zip(one, sizes, strict=True)]).numpy() for one in rows])
    exact, found = flat @ flat.T, sketch(target, source)
    norms = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    assert np.abs(found @ found.T - exact).max() < (4 / np.sqrt(tangent.WIDTH) * norms).max()


def test_the_source_is_left_as_it_was_and_a_seed_repeats(target: Target, source: Source) -> None:
    source.model[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in source.model.state_dict().items()}
    flags = [parameter.requires_grad for parameter in source.model.parameters()]
    first = sketch(target, source)
    np.testing.assert_array_equal(first, sketch(target, source))
    assert not np.array_equal(first, sketch(target, source, seed=1))
    assert flags == [parameter.requires_grad for parameter in source.model.parameters()]
    assert all(parameter.grad is None for parameter in source.model.parameters())
    for name, value in source.model.state_dict().items():
        assert torch.equal(value, before[name])


def test_only_the_last_parameters_are_told_of(target: Target, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tangent, "MOST", 880)
    with torch.enable_grad():
        adapter, layer = find_adapter(target, source, ()), source.card.layers[-1]
        inputs = adapter.prepare([target.samples[0]], Counter())
        output = pool(source.run(inputs, [layer]).layers[layer], "mean").sum()
        kept = tangent._last(source.model, output)
    assert [tuple(parameter.shape) for parameter in kept] == [(12,), (12, 8, 3, 3)]
