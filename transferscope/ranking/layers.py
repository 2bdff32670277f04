"""Every layer of one source beside every layer of another, on one target's samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..adapters import find_adapter
from ..errors import SourceError
from ..features.cache import FeatureCache
from ..features.extract import BLOCKS, Extractor, pick_device
from ..progress import Progress, silent
from ..results import LayerSimilarity
from ..similarity.layer_cka import LayerCKA
from ..sources import load_source
from ..targets import Target, load_target, split_target


def compare_layers(
    target: str | Target,
    sources: Sequence[str],
    *,
    pooling: str = "mean",
    max_samples: int | None = None,
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 32,
    cache: FeatureCache | None = None,
    trust_remote_code: bool = False,
    progress: Progress = silent,
) -> LayerSimilarity:
    """Minibatch CKA of all pairs of layers of two sources, in one pass over the target's training rows.

    A block of samples goes through both sources before the next one is read, so that features of a block are all that
    is held.

    Parameters
    ----------
    target : str or Target
    sources : two specs
        Give one twice to compare its layers with each other.
    pooling, max_samples, seed, device, batch_size, cache, trust_remote_code, progress
        As of `rank`.

    Returns
    -------
    LayerSimilarity
        Unbiased CKA, about 0 to 1, higher is more alike; None where a layer does not vary.

    Raises
    ------
    TransferScopeError
        If there are not two sources, one of them or the target cannot be used, or there are fewer than 4 samples.
    """
    if isinstance(sources, str) or len(sources) != 2:
        raise SourceError(f"layers of {sources!r} cannot be compared; expected two source specs.")
    target = load_target(target)
    rows = np.sort(split_target(target, seed=seed, max_samples=max_samples).train)
    extractor = Extractor(cache or FeatureCache.default(), pick_device(device), batch_size, (pooling,))
    loaded = [load_source(spec, seed=seed, trust_remote_code=trust_remote_code) for spec in sources]
    adapters = [find_adapter(target, source) for source in loaded]
    found, n_samples = LayerCKA(), 0
    task = f"layers on {target.name}"
    size = BLOCKS[target.modality]
    for start in range(0, len(rows), size):
        progress(task, start, len(rows))
        block = rows[start : start + size]
        both = [extractor.extract(target, s, a, block) for s, a in zip(loaded, adapters, strict=True)]
        found.update(both[0].layers, both[1].layers)
        n_samples += len(both[0].rows)
    progress(task, len(rows), len(rows))
    values = tuple(tuple(float(v) if np.isfinite(v) else None for v in row) for row in found.value)
    names = tuple(source.card.name for source in loaded)
    return LayerSimilarity("cka_minibatch", target.name, n_samples, names, found.names_a, found.names_b, values)
