"""CKA of all pairs of layers against `cka_minibatch` of each pair, and how its sums add up."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transferscope.errors import ScoreError
from transferscope.similarity import cka_linear, cka_minibatch
from transferscope.similarity.layer_cka import LayerCKA, cka_layers

Model = dict[str, np.ndarray]


def models(n: int, widths_a: list[int], widths_b: list[int], seed: int = 0) -> tuple[Model, Model]:
    """Layers that share a random signal, more or less."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(n, 5))
    a, b = (
        {f"{side}{i}": signal @ rng.normal(size=(5, d)) + i + rng.normal(size=(n, d)) for i, d in enumerate(widths)}
        for side, widths in (("block", widths_a), ("stage", widths_b))
    )
    return a, b


def unbiased_hsic(x: np.ndarray, z: np.ndarray) -> float:
    """The mean over ordered quadruples of distinct rows (Song et al., JMLR 2012, eq. 4)."""
    K, L = x @ x.T, z @ z.T
    quadruples = list(itertools.permutations(range(len(K)), 4))
    return sum(K[i, j] * (L[i, j] + L[q, r] - 2 * L[i, q]) for i, j, q, r in quadruples) / len(quadruples)


def test_is_a_ratio_of_sums_over_quadruples() -> None:
    a, b = models(11, [3, 8], [6, 1, 2])
    values, names_a, names_b = cka_layers(a, b, batch_size=6)
    for (i, x), (j, z) in itertools.product(enumerate(a.values()), enumerate(b.values())):
        sums = [
            sum(unbiased_hsic(p[rows], q[rows]) for rows in (slice(0, 6), slice(6, 11)))
            for p, q in ((x, z), (x, x), (z, z))
        ]
        assert values[i, j] == pytest.approx(sums[0] / np.sqrt(sums[1] * sums[2]), rel=1e-9)
    assert (names_a, names_b) == (("block0", "block1"), ("stage0", "stage1", "stage2"))


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(5, 40), size=st.integers(4, 20), d=st.integers(1, 50), d2=st.integers(1, 50),
    seed=st.integers(0, 10**6), power=st.sampled_from([-8, 0, 8]), offset=st.sampled_from([0.0, 1e6]),
)  # fmt: skip
def test_every_pair_is_that_of_cka_minibatch(
    n: int, size: int, d: int, d2: int, seed: int, power: int, offset: float
) -> None:
    a, b = models(n, [d, 3], [d2, 7], seed)
    moved = {name: (rows + offset) * 10.0**power for name, rows in a.items()}
    values = cka_layers(moved, b, batch_size=size)[0]
    for (i, x), (j, z) in itertools.product(enumerate(a.values()), enumerate(b.values())):
        assert values[i, j] == pytest.approx(cka_minibatch(x, z, batch_size=size), rel=1e-6, abs=1e-6)


def test_a_model_with_itself_and_the_other_way_round() -> None:
    a, b = models(60, [3, 80, 5], [9, 2])
    own = cka_layers(a, a, batch_size=20)[0]
    np.testing.assert_allclose(own, own.T, rtol=1e-12)
    np.testing.assert_allclose(np.diag(own), 1.0, rtol=1e-12)
    np.testing.assert_allclose(cka_layers(b, a)[0], cka_layers(a, b)[0].T, rtol=1e-12)
    assert cka_layers(a, b)[0][1, 0] == pytest.approx(cka_linear(a["block1"], b["stage0"], debiased=True), rel=1e-9)


def test_streams_add_up() -> None:
    """Whoever saw which batch, and whether layers come by name or in a list."""
    a, b = models(53, [6, 4], [3, 5, 60])
    values = cka_layers(a, b, batch_size=10)[0]
    parts = LayerCKA(), LayerCKA()
    for i, start in enumerate(range(0, 53, 10)):
        rows = slice(start, start + 10)
        parts[i % 2].update({k: v[rows] for k, v in a.items()}, {k: torch.tensor(v[rows]) for k, v in b.items()})
    merged = parts[0] + parts[1]
    np.testing.assert_allclose(merged.value, values, rtol=1e-12)
    assert merged.n_batches == 5  # the last has 3 rows
    assert (merged.names_a, merged.names_b) == (tuple(a), tuple(b))
    assert not np.allclose(parts[0].value, values, rtol=1e-6)
    before = parts[0].value
    for whole in (LayerCKA() + parts[0], parts[0] + LayerCKA()):
        assert (whole.names_a, whole.n_batches) == (tuple(a), 3)
        np.testing.assert_array_equal(whole.value, before)
        whole.update({k: v[:20] for k, v in a.items()}, {k: v[:20] for k, v in b.items()})
        np.testing.assert_array_equal(parts[0].value, before)  # it was not the same object
    listed, names_a, names_b = cka_layers(list(a.values()), tuple(b.values()), batch_size=10)
    np.testing.assert_array_equal(listed, values)
    assert (names_a, names_b) == (("0", "1"), ("0", "1", "2"))


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
def test_undefined_layers_leave_the_others(constant: float) -> None:
    a, b = models(20, [3, 4], [5])
    values = cka_layers(a, b, batch_size=10)[0]
    a["constant"] = np.full((20, 4), constant)
    a["steps"] = constant + np.repeat([[1.0], [3.0]], 10, axis=0)
    a["equidistant"] = 5 + np.tile(np.linalg.qr(np.random.default_rng(0).normal(size=(10, 10)))[0], (2, 1))
    found = cka_layers(a, b, batch_size=10)[0]
    np.testing.assert_array_equal(np.isnan(found), [[False], [False], [True], [True], [True]])
    np.testing.assert_allclose(found[:2], values, rtol=1e-12)
    np.testing.assert_array_equal(np.isnan(cka_layers(a, b)[0].ravel()), [False, False, True, False, False])


def test_idle_features_and_storage() -> None:
    a, b = models(30, [3], [4])
    value = cka_layers(a, b, batch_size=10)[0][0, 0]
    (x,), (z,) = a.values(), b.values()
    layers = [
        np.hstack([x, np.full((30, 2), 1e3)]),
        np.hstack([x, x, -x]) * 1e-5 + 1e4,
        x.astype(np.float32),
        torch.tensor(x, dtype=torch.float32, requires_grad=True),
    ]
    x.flags.writeable = False
    kept = x.copy()
    np.testing.assert_allclose(cka_layers(layers, [z], batch_size=10)[0], value, rtol=1e-4)
    cka_layers([x], [z])
    np.testing.assert_array_equal(x, kept)


def test_refusals() -> None:
    a, b = models(10, [3, 4], [5])
    with pytest.raises(
        ScoreError, match="cka_layers: layer block0 of a has 10 rows and layer stage0 of b 9; give the"
    ):
        cka_layers(a, {"stage0": b["stage0"][:9]})
    with pytest.raises(ScoreError, match="layer block0 of a has 10 rows and layer block1 of a 9; give the same sampl"):
        LayerCKA().update({**a, "block1": a["block1"][:9]}, b)
    with pytest.raises(ScoreError, match="cka_layers: 3 rows; the debiased form is defined from 4 on"):
        cka_layers([a["block0"][:3]], [b["stage0"][:3]])
    with pytest.raises(ScoreError, match="cka_layers: batch_size=2; the debiased form is defined from 4 rows on"):
        cka_layers(a, b, batch_size=2)
    with pytest.raises(
        ScoreError, match="layers of b are a ndarray; expected a mapping of names to arrays, or a list"
    ):
        cka_layers(a, b["stage0"])  # type: ignore[arg-type]
    with pytest.raises(ScoreError, match="cka_layers: there are no layers of a; give at least one"):
        cka_layers({}, b)
    found = LayerCKA()
    found.update({k: v[:3] for k, v in a.items()}, {k: v[:3] for k, v in b.items()})
    with pytest.raises(ScoreError, match="LayerCKA: no batch of at least 4 rows was given; update it with some"):
        _ = found.value
    with pytest.raises(
        ScoreError, match=r"layers of b are others than in the first batch \(stage0, stage9\); give the"
    ):
        found.update(a, {"stage9": b["stage0"]})
    with pytest.raises(ScoreError, match=r"layers of a are others than in the first batch \(in another order\); give"):
        found.update(dict(reversed(a.items())), b)
    other = LayerCKA()
    other.update([a["block0"]], b)
    with pytest.raises(ScoreError, match=r"layers of a are others than in the first batch \(0, block0, block1\)"):
        _ = found + other
    a["block1"][2, 1] = np.nan
    with pytest.raises(ScoreError, match="cka_layers: values of layer block1 of a hold 1 NaN and 0 infinite values"):
        cka_layers(a, b)
