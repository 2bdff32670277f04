"""Layers of one source beside layers of another, in one pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from transferscope.adapters import find_adapter
from transferscope.errors import SourceError
from transferscope.features.cache import FeatureCache
from transferscope.features.extract import Extractor
from transferscope.ranking import layers as room
from transferscope.ranking.layers import compare_layers
from transferscope.similarity.layer_cka import cka_layers
from transferscope.sources import load_source
from transferscope.targets import load_target, split_target

NAMES = ["python:tiny_models:edges", "python:tiny_models:deep"]


def test_is_that_of_all_features_at_once(
    picture_folder: Path, tiny_models: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = f"imagefolder:{picture_folder}"
    monkeypatch.setattr(room, "BLOCKS", dict.fromkeys(room.BLOCKS, 8))
    asked: list[tuple[str, int]] = []
    extract = Extractor.extract

    def watched(self, target, source, adapter, rows, layers=None):
        asked.append((source.card.name, len(rows)))
        return extract(self, target, source, adapter, rows, layers)

    monkeypatch.setattr(Extractor, "extract", watched)
    found = compare_layers(spec, NAMES, cache=FeatureCache(tmp_path))
    assert asked == [(NAMES[0], 8), (NAMES[1], 8)] * 2 + [(NAMES[0], 2), (NAMES[1], 2)]  # block by block, both sources
    assert (found.n_samples, found.sources, found.measure) == (18, tuple(NAMES), "cka_minibatch")

    target = load_target(spec)
    rows = np.sort(split_target(target, seed=0).train)
    features = [
        Extractor(None).extract(target, source, find_adapter(target, source), rows)
        for source in map(load_source, NAMES)
    ]
    wanted, first, second = cka_layers(features[0].layers, features[1].layers, batch_size=8)
    assert (found.first_layers, found.second_layers) == (first, second)
    np.testing.assert_allclose(np.array(found.values, dtype=float), wanted, rtol=1e-4, atol=1e-4)


def test_a_source_is_most_like_itself(picture_folder: Path, tiny_models: str, tmp_path: Path) -> None:
    found = compare_layers(f"imagefolder:{picture_folder}", [NAMES[1]] * 2, cache=FeatureCache(tmp_path))
    values = np.array(found.values, dtype=float)
    np.testing.assert_allclose(values.diagonal(), 1.0)
    np.testing.assert_allclose(values, values.T)


def test_refusals(picture_folder: Path) -> None:
    for sources in (NAMES[:1], [*NAMES, NAMES[0]], NAMES[0]):
        with pytest.raises(SourceError, match="expected two source specs"):
            compare_layers(f"imagefolder:{picture_folder}", sources)
