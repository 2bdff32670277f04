"""Costs: measured once, sensible, and the model is left as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transferscope.adapters import find_adapter
from transferscope.ranking.cost import ADAM_BYTES, measure_cost
from transferscope.sources import load_source
from transferscope.spending import Cost
from transferscope.targets import load_target


def measure(folder: Path, name: str, batch_size: int = 8) -> tuple[Cost, Any]:
    target, source = load_target(f"imagefolder:{folder}"), load_source(f"python:tiny_models:{name}")
    import numpy as np

    found = measure_cost(
        target, source, find_adapter(target, source), np.arange(20), layers=source.card.layers,
        batch_size=batch_size, device="cpu", precision="float32",
    )  # fmt: skip
    return found, source


def test_a_cost_is_measured_and_kept(picture_folder: Path, tiny_models: str) -> None:
    first, source = measure(picture_folder, "deep")
    assert first.latency is not None
    assert 0 < first.latency < 5
    assert first.throughput is not None
    assert first.flops is not None
    assert first.flops > 2 * source.card.n_parameters
    again, _ = measure(picture_folder, "deep")
    assert (again.latency, again.throughput, again.flops) == (first.latency, first.throughput, first.flops)


def test_memory_of_fine_tuning_grows_with_the_batch_by_what_is_saved(picture_folder: Path, tiny_models: str) -> None:
    small, large = (measure(picture_folder, "deep", size)[0] for size in (8, 16))
    assert small.tuning_bytes is not None
    assert large.tuning_bytes is not None
    fixed = ADAM_BYTES * small.n_parameters
    assert large.tuning_bytes - fixed == pytest.approx(2 * (small.tuning_bytes - fixed), rel=0.2)
    # at least the input and the two feature maps of one sample, in float32
    assert small.tuning_bytes - fixed > 8 * 4 * (3 * 16 * 16 + 8 * 7 * 7 + 16 * 3 * 3)


def test_the_model_is_left_as_it_was(picture_folder: Path, tiny_models: str) -> None:
    _, source = measure(picture_folder, "deep")
    assert not source.model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in source.model.parameters())


STEP = """
from collections import Counter
import torch
from transferscope.adapters import find_adapter
from transferscope.features.pooling import pool
from transferscope.sources import load_source
from transferscope.targets import load_target
torch.set_num_threads(1)
target, source = load_target("package:mnist-5k"), load_source("package:efficientnet-lite0?size=64")
inputs = find_adapter(target, source, ()).prepare([target.samples[i] for i in range(32)], Counter())
model, layer = source.model.train(), source.card.layers[-1]
peak = lambda: 1024 * int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])  # of this program alone
before = peak() - 4 * source.card.n_parameters
optimizer = torch.optim.AdamW(model.requires_grad_(True).parameters(), fused=True)
for _ in range(2):
    pool(source.run(inputs, [layer]).layers[layer], "mean").square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from /proc")
def test_memory_of_fine_tuning_is_about_that_of_a_real_step() -> None:
    """In a process of its own, whose peak is this step's; workspaces and the first backward's code come on top.

    The peak that `resource` tells begins with that of the process which started it.
    """
    done = subprocess.run([sys.executable, "-c", STEP], capture_output=True, text=True, check=True)
    target, source = load_target("package:mnist-5k"), load_source("package:efficientnet-lite0?size=64")
    found = measure_cost(
        target, source, find_adapter(target, source, ()), np.arange(64), layers=source.card.layers[-1:],
        batch_size=32, device="cpu", precision="float32",
    )  # fmt: skip
    assert found.tuning_bytes is not None
    assert 0.5 <= found.tuning_bytes / float(done.stdout) <= 1.1
