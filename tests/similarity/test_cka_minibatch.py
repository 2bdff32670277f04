"""Linear CKA over batches against quadruples of rows, written out, and how its sums add up."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from transferscope.errors import ScoreError
from transferscope.similarity import cka_linear, cka_minibatch
from transferscope.similarity.cka_minibatch import MinibatchCKA


def pair(n: int, d: int, d2: int, seed: int = 0, alike: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, d)) + 1.0
    return a, alike * a @ rng.normal(size=(d, d2)) + rng.normal(size=(n, d2)) - 2.0


def unbiased_hsic(x: np.ndarray, z: np.ndarray) -> float:
    """The U-statistic itself: the mean over ordered quadruples of distinct rows (Song et al., JMLR 2012, eq. 4)."""
    K, L = x @ x.T, z @ z.T
    quadruples = list(itertools.permutations(range(len(K)), 4))
    return sum(K[i, j] * (L[i, j] + L[q, r] - 2 * L[i, q]) for i, j, q, r in quadruples) / len(quadruples)


def literal(a: np.ndarray, b: np.ndarray, batch_size: int) -> float:
    cross = first = second = 0.0
    for start in range(0, len(a), batch_size):
        x, z = a[start : start + batch_size], b[start : start + batch_size]
        if len(x) >= 4:
            cross += unbiased_hsic(x, z)
            first += unbiased_hsic(x, x)
            second += unbiased_hsic(z, z)
    return float(cross / np.sqrt(first * second))


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(5, 15), size=st.integers(4, 7), d=st.integers(1, 12), d2=st.integers(1, 12),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_is_a_ratio_of_sums(n: int, size: int, d: int, d2: int, seed: int) -> None:
    """Last batches of all sizes: those of less than 4 rows do not count, others as much as any."""
    a, b = pair(n, d, d2, seed)
    assert cka_minibatch(a, b, batch_size=size) == pytest.approx(literal(a, b, size), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize(("d", "d2"), [(5, 7), (90, 3), (100, 80)])
def test_one_batch_is_the_debiased_form(d: int, d2: int) -> None:
    a, b = pair(60, d, d2)
    assert cka_minibatch(a, b) == pytest.approx(cka_linear(a, b, debiased=True), rel=1e-10)
    assert cka_minibatch(a, b, batch_size=60) == cka_minibatch(a, b)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(6, 40), d=st.integers(1, 50), d2=st.integers(1, 50), seed=st.integers(0, 10**6),
    power=st.sampled_from([-8, 0, 8]), offset=st.sampled_from([0.0, 10.0, 1e6]), size=st.sampled_from([5, 16, 40]),
)  # fmt: skip
def test_invariances(n: int, d: int, d2: int, seed: int, power: int, offset: float, size: int) -> None:
    """To rotation, shift and scale of either, to the order of rows in a batch, and to which comes first."""

    def call(x: np.ndarray, z: np.ndarray) -> float:
        return cka_minibatch(x, z, batch_size=size)

    a, b = pair(n, d, d2, seed)
    value = call(a, b)
    assume(not np.isnan(value))
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    slack = {"rel": 1e-6, "abs": 1e-6}
    assert call((a @ turn + offset) * 10.0**power, b) == pytest.approx(value, **slack)
    assert call(a, 3 - 10.0**power * b) == pytest.approx(value, **slack)
    order = np.concatenate([s + rng.permutation(min(size, n - s)) for s in range(0, n, size)])
    assert call(a[order], b[order]) == pytest.approx(value, **slack)
    assert call(b, a) == pytest.approx(value, **slack)
    assert call(a, a) == pytest.approx(1.0, rel=1e-9)
    assert -1 - 1e-9 <= value <= 1 + 1e-9


def test_order_of_batches_does_not_matter_but_what_they_hold_does() -> None:
    a, b = pair(40, 5, 4)
    by_batches = np.arange(40).reshape(4, 10)[[2, 0, 3, 1]].ravel()
    value = cka_minibatch(a, b, batch_size=10)
    assert cka_minibatch(a[by_batches], b[by_batches], batch_size=10) == pytest.approx(value, rel=1e-12)
    mixed = np.random.default_rng(0).permutation(40)
    assert abs(cka_minibatch(a[mixed], b[mixed], batch_size=10) - value) > 1e-4
    scaled = a * np.repeat([1, 1, 1, 5], 10)[:, None]  # a ratio of sums is no mean of ratios
    ratios = [cka_linear(scaled[s : s + 10], b[s : s + 10], debiased=True) for s in range(0, 40, 10)]
    assert abs(cka_minibatch(scaled, b, batch_size=10) - np.mean(ratios)) > 1e-3


def test_rows_sorted_by_class_hide_what_classes_share() -> None:
    """What the registry says of it: the only thing in common is the class."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(4), 50)
    a, b = (4 * rng.normal(size=(4, 6))[y] + rng.normal(size=(200, 6)) for _ in range(2))
    assert abs(cka_minibatch(a, b, batch_size=50)) < 0.1
    mixed = rng.permutation(200)
    assert cka_minibatch(a[mixed], b[mixed], batch_size=50) > 0.4


def test_near_the_value_of_all_rows() -> None:
    a, b = pair(2000, 6, 6, alike=0.3)
    assert cka_minibatch(a, b, batch_size=100) == pytest.approx(cka_linear(a, b, debiased=True), abs=0.02)


def test_streams_add_up() -> None:
    a, b = pair(53, 6, 4)
    parts = MinibatchCKA(), MinibatchCKA()
    for i, start in enumerate(range(0, 53, 10)):
        parts[i % 2].update(a[start : start + 10], torch.tensor(b[start : start + 10]))
    value = cka_minibatch(a, b, batch_size=10)
    assert (parts[0] + parts[1]).value == pytest.approx(value, rel=1e-12)
    assert (parts[1] + parts[0]).n_batches == 5  # the last has 3 rows
    assert parts[0].value != pytest.approx(value, rel=1e-6)
    assert (MinibatchCKA() + parts[0]).value == parts[0].value
    assert value == cka_minibatch(a[:50], b[:50], batch_size=10)
    assert value != cka_minibatch(np.vstack([a, a[:1]]), np.vstack([b, b[:1]]), batch_size=10)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
def test_undefined_for_what_is_constant_in_every_batch(constant: float) -> None:
    a, _ = pair(20, 3, 2)
    assert np.isnan(cka_minibatch(a, np.full((20, 4), constant)))
    steps = constant + np.repeat([[1.0], [3.0]], 10, axis=0)
    assert np.isnan(cka_minibatch(steps, a, batch_size=10))
    assert not np.isnan(cka_minibatch(steps, a, batch_size=20))
    steps[0] += 1  # a single row that differs has no unbiased norm
    assert np.isnan(cka_minibatch(steps, a, batch_size=10))
    steps[1] += 1  # one batch that varies is enough
    assert cka_minibatch(steps, a, batch_size=10) == pytest.approx(
        cka_minibatch(steps[:10], a[:10]) * np.sqrt(hsic_share(a)), rel=1e-6
    )


def hsic_share(a: np.ndarray) -> float:
    """Of the first of two batches in the sum."""
    first, second = unbiased_hsic(a[:10] - a[:10].mean(axis=0), a[:10]), unbiased_hsic(a[10:], a[10:])
    return first / (first + second)


def test_equidistant_rows_have_no_unbiased_norm() -> None:
    a, _ = pair(30, 3, 2)
    corners = 5 + 2 * np.linalg.qr(np.random.default_rng(0).normal(size=(30, 30)))[0]
    assert np.isnan(cka_minibatch(corners, a))
    assert np.isnan(cka_linear(corners, a, debiased=True))


def test_repeated_rows_and_idle_features() -> None:
    a, b = pair(14, 3, 2)
    a[4:6], b[4:6] = a[:2], b[:2]
    value = cka_minibatch(a, b, batch_size=7)
    assert value == pytest.approx(literal(a, b, 7), rel=1e-8)
    idle = np.hstack([a, np.full((14, 2), 1e3), np.zeros((14, 1))])
    assert cka_minibatch(idle, b, batch_size=7) == pytest.approx(value, rel=1e-9)
    far = np.hstack([a, a, -a]) * 1e-5 + 1e4  # of rank 3 in 9 features
    assert cka_minibatch(far, b, batch_size=7) == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_count_as_arrays(dtype: torch.dtype) -> None:
    a, b = (torch.tensor(x, dtype=dtype, requires_grad=True) for x in pair(30, 5, 7))
    arrays = a.detach().numpy(), b.detach().numpy()
    kept = [x.copy() for x in arrays]
    for array in arrays:
        array.flags.writeable = False
    assert cka_minibatch(a, b, batch_size=8) == cka_minibatch(*arrays, batch_size=8)
    assert cka_minibatch(*arrays) == pytest.approx(cka_minibatch(*pair(30, 5, 7)), rel=1e-5)
    np.testing.assert_array_equal(arrays[0], kept[0])
    np.testing.assert_array_equal(arrays[1], kept[1])


def test_refusals() -> None:
    a, b = pair(10, 3, 2)
    with pytest.raises(ScoreError, match="cka_minibatch: a has 10 rows and b 9; give the same samples to both"):
        cka_minibatch(a, b[:9])
    with pytest.raises(ScoreError, match="cka_minibatch: 3 rows; the debiased form is defined from 4 on"):
        cka_minibatch(a[:3], b[:3])
    with pytest.raises(ScoreError, match="cka_minibatch: batch_size=3; the debiased form is defined from 4 rows on"):
        cka_minibatch(a, b, batch_size=3)
    with pytest.raises(ScoreError, match="MinibatchCKA: a has 10 rows and b 9; give the same samples to both"):
        MinibatchCKA().update(a, b[:9])
    short = MinibatchCKA()
    short.update(a[:3], b[:3])
    with pytest.raises(ScoreError, match="MinibatchCKA: no batch of at least 4 rows was given; update it with some"):
        _ = short.value
    a[2, 1] = np.nan
    with pytest.raises(ScoreError, match="cka_minibatch: b hold 1 NaN and 0 infinite values in 1 rows, the first"):
        cka_minibatch(b, a)
