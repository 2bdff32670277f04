"""Sources beside each other, and each source's own data beside the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..adapters import find_adapter
from ..errors import SourceError
from ..features.extract import Extractor
from ..results import Candidate, Discrepancy, Similarity
from ..similarity.layer_cka import cka_layers
from ..similarity.mmd import mmd_permutation_test
from ..sources import load_source
from ..targets import Target, load_target

MOST_ROWS = 512  # that sources and layers are compared on: CKA is good to 0.01, and a source takes 2 MB
N_COMPARED = 1000  # rows per side; MMD costs their square
N_PERMUTATIONS = 200


def compared_rows(n: int) -> NDArray[np.int64]:
    """At most `MOST_ROWS` of n rows, by chance and the same for every source."""
    return np.sort(np.random.default_rng(n).permutation(n)[:MOST_ROWS])


def measure_similarity(features: Mapping[str, np.ndarray]) -> tuple[Similarity, ...]:
    """Debiased linear CKA between sources, each at its best layer, on the same rows of the target."""
    names = tuple(features)
    if len(names) < 2:
        return ()
    rows = compared_rows(len(features[names[0]]))
    sampled = {name: features[name][rows] for name in names}
    values, *_ = cka_layers(sampled, sampled, batch_size=len(rows))
    np.fill_diagonal(values, 1.0)
    told = tuple(tuple(float(v) if np.isfinite(v) else None for v in row) for row in values)
    return (Similarity("cka_linear (debiased)", names, told),)


def measure_discrepancy(
    source_data: Mapping[str, str | Target],
    candidates: Sequence[Candidate],
    target_features: Mapping[str, np.ndarray],
    extractor: Extractor,
    seed: int,
) -> tuple[Discrepancy, ...]:
    """MMD between a source's own data and the target, in that source's features at its best layer.

    Raises
    ------
    SourceError
        If data are given for a source that was not ranked.
    """
    rng = np.random.default_rng(seed)
    found = []
    for name, data in source_data.items():
        best = next((c for c in candidates if c.source == name and c.is_best_layer), None)
        if best is None:
            ranked = ", ".join(dict.fromkeys(c.source for c in candidates if c.control is None))
            raise SourceError(f"source data were given for {name!r}, which was not ranked; ranked: {ranked}.")
        own = load_target(data)
        source = load_source(name)
        rows = np.sort(rng.permutation(len(own))[:N_COMPARED])
        adapter = find_adapter(own, source, best.choices)
        features = replace(extractor, poolings=(best.pooling,)).extract(own, source, adapter, rows, [best.layer])
        theirs = target_features[name]
        theirs = theirs[np.sort(rng.permutation(len(theirs))[:N_COMPARED])]
        value, p_value = mmd_permutation_test(
            features.layers[best.layer], theirs, n_permutations=N_PERMUTATIONS, seed=seed
        )
        found.append(Discrepancy(name, own.name, "mmd (unbiased, squared)", value, p_value))
    return tuple(found)
