from __future__ import annotations

import pytest
import torch

from transferscope.errors import UnknownNameError
from transferscope.features.pooling import pool
from transferscope.sources import Activation


def test_maps_are_averaged_over_positions() -> None:
    values = torch.randn(2, 5, 3, 4)
    assert torch.equal(pool(Activation(values, "NCHW")), values.mean((2, 3)))
    assert torch.allclose(pool(Activation(values.permute(0, 2, 3, 1), "NHWC")), values.mean((2, 3)))


def test_padding_and_class_tokens_do_not_count() -> None:
    values = torch.randn(2, 6, 5)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
    pooled = pool(Activation(values, "NTC", mask, skip=1))
    assert torch.allclose(pooled[0], values[0, 1:4].mean(0), atol=1e-6)
    assert torch.allclose(pooled[1], values[1, 1:].mean(0), atol=1e-6)
    changed = values.clone()
    changed[0, 4:] = 1e6
    assert torch.equal(pool(Activation(changed, "NTC", mask, skip=1)), pooled)


def test_channel_first_sequences() -> None:
    values = torch.randn(2, 5, 6)
    assert torch.allclose(pool(Activation(values, "NCT")), values.mean(2))


def test_first_takes_the_class_token() -> None:
    values = torch.randn(2, 6, 5)
    assert torch.equal(pool(Activation(values, "NTC", skip=1), "first"), values[:, 0])


def test_unknown_pooling_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="no pooling named 'men'. Did you mean 'mean'"):
        pool(Activation(torch.zeros(1, 1), "NC"), "men")


@pytest.mark.parametrize("side", ["right", "left"])
def test_first_and_last_are_real_positions(side: str) -> None:
    values = torch.randn(3, 6, 5)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0]])
    values, mask = (values, mask) if side == "right" else (values.flip(1), mask.flip(1))
    real = [row[keep.bool()] for row, keep in zip(values, mask, strict=True)]
    assert torch.equal(pool(Activation(values, "NTC", mask), "last"), torch.stack([row[-1] for row in real]))
    assert torch.equal(pool(Activation(values, "NTC", mask), "first"), torch.stack([row[0] for row in real]))
    assert torch.equal(pool(Activation(values, "NTC"), "last"), values[:, -1])
