"""With a cache, memory holds what is in use, whatever the number of samples."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

N_SAMPLES, LAYERS, WIDTH = 4096, 16, 256
MEGABYTE = 2**20
SCRIPT = f"""
import sys
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
from transferscope.features.cache import FeatureCache
from transferscope.features.extract import Extractor
from transferscope.results import SourceCard
from transferscope.sources import Activation, Outputs, Source, WaveformInput
from transferscope.targets.arrays import from_arrays

class Numbers:
    path = ()
    def prepare(self, samples, edits):
        return {{"values": torch.tensor([[float(text)] for text in samples])}}
    def lengths(self, samples):
        return None

def run(inputs, layers):
    return Outputs({{name: Activation(inputs["values"] + torch.arange({WIDTH}), "NC") for name in layers}})

n_samples, folder = int(sys.argv[1]), sys.argv[2]
names = tuple(f"layer{{i}}" for i in range({LAYERS}))
card = SourceCard("python:wide", "wide", {{}}, names, 1, "w")
source = Source(card, torch.nn.Identity(), WaveformInput(1, 1.0), run)
target = from_arrays([str(i) for i in range(n_samples)], [i % 2 for i in range(n_samples)], modality="text")
cache = FeatureCache(Path(folder)) if folder else None
found = Extractor(cache).extract(target, source, Numbers(), np.arange(n_samples))
for layer in found.layers if len(sys.argv) == 3 else ():
    assert found.layers[layer][-1, -1] == n_samples - 1 + {WIDTH - 1}
# of this program alone: ru_maxrss would begin with what the process that started it held
status = Path("/proc/self/status").read_text()
print(int(status.partition("VmHWM:")[2].split()[0]) * 1024)
"""


def peak(n_samples: int, folder: str, *unread: str) -> int:
    """Bytes resident at most, in a process of its own; layers are read afterwards unless one more word is given."""
    command = [sys.executable, "-c", SCRIPT, str(n_samples), folder, *unread]
    # arrays above 64 KiB go back when they are freed: what the allocator would keep of them varies by megabytes
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    return int(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_extraction_itself_holds_a_block_whatever_the_number_of_samples(tmp_path: Path) -> None:
    layer = 3 * N_SAMPLES * WIDTH * 4
    grown = peak(4 * N_SAMPLES, str(tmp_path / "large"), "unread") - peak(N_SAMPLES, str(tmp_path / "small"), "unread")
    print(f"grown by {grown / MEGABYTE:.1f} MB, {LAYERS * layer / MEGABYTE:.0f} MB of features more")
    assert grown < 20 * MEGABYTE  # row numbers, digests, texts


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_peak_memory_grows_by_one_layer_and_not_by_all(tmp_path: Path) -> None:
    layer = 3 * N_SAMPLES * WIDTH * 4  # what one layer grows by from N to 4 N
    grown = peak(4 * N_SAMPLES, str(tmp_path / "large")) - peak(N_SAMPLES, str(tmp_path / "small"))
    assert grown < 2 * layer + 20 * MEGABYTE  # twice: blocks are read, then put together
    held = peak(4 * N_SAMPLES, "") - peak(N_SAMPLES, "")
    assert held > 0.9 * LAYERS * layer  # without a cache features stay in memory: the measure sees them
