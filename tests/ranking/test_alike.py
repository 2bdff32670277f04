"""Layers beside layers and sources on a map: what is measured is what is there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from transferscope.ranking.alike import MOST_LAYERS, map_sources, measure_layers
from transferscope.ranking.compare import MOST_ROWS, compared_rows, measure_similarity
from transferscope.results import Similarity
from transferscope.similarity import cka_linear

LABELS = np.arange(120) % 3


def stack(seed: int, depth: int, n: int = 120) -> dict[str, np.ndarray]:
    """Layers that drift away from the first, each a little from the one before it."""
    rng = np.random.default_rng(seed)
    layers = {"l0": rng.standard_normal((n, 6)).astype(np.float32)}
    for k in range(1, depth):
        layers[f"l{k}"] = layers[f"l{k - 1}"] + 0.5 * rng.standard_normal((n, 6)).astype(np.float32)
    return layers


def compared(layers: dict[str, dict[str, np.ndarray]], best: dict[str, str], n: int = 120):
    return measure_layers(["a", "b", "c"], layers, best, dict.fromkeys("abc", np.arange(n) % 3), "t")


def test_the_best_is_compared_with_itself_and_with_the_second_by_plain_unbiased_cka() -> None:
    a, b = stack(0, 4), stack(1, 3)
    own, both = compared({"a": a, "b": b, "c": stack(2, 3)}, {"a": "l1", "b": "l2", "c": "l0"})
    assert (own.sources, both.sources, both.target, both.n_samples) == (("a", "a"), ("a", "b"), "t", 120)
    assert (both.first_layers, both.second_layers) == (tuple(a), tuple(b))
    for found, other in ((own, a), (both, b)):
        expected = [[cka_linear(x, y, debiased=True) for y in other.values()] for x in a.values()]
        assert_allclose(np.array(found.values, dtype=float), expected, atol=1e-4)


def test_deep_sources_and_many_rows_are_sampled_and_the_best_layer_stays() -> None:
    layers = {"a": stack(0, 40, 2000)}
    [own] = compared(layers, {"a": "l17"}, 2000)
    assert own.n_samples == MOST_ROWS
    assert len(own.first_layers) == MOST_LAYERS
    assert {"l0", "l17", "l39"} <= set(own.first_layers)
    assert list(own.first_layers) == sorted(own.first_layers, key=lambda name: int(name[1:]))
    assert compared(layers, {"a": "l17"}, 2000) == (own,)


@pytest.mark.parametrize("n", [260, 2000])
def test_neither_a_remainder_of_rows_nor_their_order_tells_in_layers(n: int) -> None:
    """Rows that come class by class: what layers share is which class it is."""
    rng = np.random.default_rng(0)
    labels, means = np.sort(np.arange(n) % 10), 1.5 * rng.standard_normal((10, 16))
    a, b = (means[labels] + rng.standard_normal((n, 16)) for _ in range(2))
    layers = {"a": {"x": a.astype(np.float32), "y": b.astype(np.float32)}}
    [own] = measure_layers(["a"], layers, {"a": "x"}, {"a": labels}, "t")
    assert own.values[0][1] == pytest.approx(cka_linear(a, b, debiased=True), abs=1e-4 if n < MOST_ROWS else 0.03)


def test_of_many_rows_the_same_few_are_compared_for_all_sources() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3000, 8))
    b[:, :4] += 2 * a[:, :4]
    labels = (a[:, 0] > 0).astype(np.int64)
    rows = compared_rows(3000)
    assert len(rows) == len(set(rows)) == MOST_ROWS
    found = measure_similarity({"a": a, "b": b})
    (one, shared), (again, other) = found[0].values
    assert (one, other, shared) == (1.0, 1.0, again)
    assert shared == pytest.approx(cka_linear(a[rows], b[rows], debiased=True))
    assert shared == pytest.approx(cka_linear(a, b, debiased=True), abs=0.04)
    made = map_sources(found, {"a": a, "b": b}, dict.fromkeys("ab", labels))
    assert made is not None
    assert made.alignment[0] == pytest.approx(cka_linear(a[rows], np.eye(2)[labels[rows]], debiased=True), abs=1e-4)


def test_nothing_to_compare_is_no_error() -> None:
    assert compared({}, {}) == ()
    assert compared({"a": stack(0, 1)}, {"a": "l0"}) == ()
    assert compared({"a": stack(0, 3, 3)}, {"a": "l0"}, 3) == ()
    broken = stack(0, 3) | {"l1": np.full((120, 6), np.nan, np.float32), "flat": np.ones((120, 2), np.float32)}
    own, both = compared({"a": broken, "b": stack(1, 3)}, {"a": "l2", "b": "l2"})
    assert own.first_layers == ("l0", "l2", "flat")
    assert own.values[2] == (None, None, None)
    assert both.first_layers == own.first_layers


def mapped(matrices: dict[str, np.ndarray]):
    return map_sources(measure_similarity(matrices), matrices, dict.fromkeys(matrices, LABELS))


def test_like_sources_lie_together_and_the_classes_near_the_one_that_knows_them() -> None:
    rng = np.random.default_rng(0)
    classes = np.eye(3)[LABELS]
    plain = rng.standard_normal((120, 6))
    matrices = {
        "knows": np.hstack([8 * classes, rng.standard_normal((120, 2))]), "plain": plain,
        "turned": plain @ np.linalg.qr(rng.standard_normal((6, 6)))[0], "other": rng.standard_normal((120, 6)),
    }  # fmt: skip
    found = mapped(matrices)
    assert found is not None
    assert found.classes is not None
    at = dict(zip(found.sources, map(np.array, found.points), strict=True)) | {"classes": np.array(found.classes)}

    def apart(a: str, b: str) -> float:
        return float(np.linalg.norm(at[a] - at[b]))

    assert apart("plain", "turned") < 0.01 < 0.8 < apart("plain", "other")
    assert apart("knows", "classes") < 0.5 < apart("plain", "classes")
    assert found.alignment[0] > 0.8 > 0.2 > found.alignment[1]
    assert 0 < found.held <= 1
    assert 0 <= found.stress < 0.2
    assert mapped(matrices) == found


def test_a_flat_configuration_is_held_whole() -> None:
    """Three points lie in a plane, so two dimensions give their distances back."""
    matrices = {name: np.random.default_rng(k).standard_normal((120, 4)) for k, name in enumerate("ab")}
    found = mapped(matrices)
    assert found is not None
    assert found.held == pytest.approx(1, abs=1e-6)
    assert found.stress < 1e-3
    (similarity,) = measure_similarity(matrices)
    distance = np.linalg.norm(np.subtract(*found.points))
    assert distance**2 == pytest.approx(1 - similarity.values[0][1], abs=1e-3)


def test_what_cannot_be_placed_is_left_out() -> None:
    values = ((1.0, None, 0.5), (None, 1.0, None), (0.5, None, 1.0))
    matrices = {name: np.random.default_rng(k).standard_normal((120, 4)) for k, name in enumerate("abc")}
    labels = dict.fromkeys("abc", LABELS)
    found = map_sources([Similarity("cka", ("a", "b", "c"), values)], matrices, labels)
    assert found is not None
    assert found.sources == ("a", "c")
    alone = dict.fromkeys("abc", np.zeros(120, dtype=np.int64))  # one class has no arrangement to compare with
    assert map_sources([Similarity("cka", ("a", "b", "c"), values)], matrices, alone) is None
    assert map_sources([], {}, {}) is None
