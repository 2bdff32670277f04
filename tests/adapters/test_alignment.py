"""Distances between mapped rows and an embedding space: against other implementations, and what training does."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import ot
import pytest
import torch

from transferscope.adapters.alignment import (
    BANDWIDTHS,
    CHECK,
    MMD,
    OTDD,
    Classes,
    Transport,
    bures,
    squared_distances,
    train,
)
from transferscope.similarity.frechet import Gaussian


def drawn(n: int, width: int, seed: int = 0, clusters: int = 1, spread: float = 4.0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, width)) * spread * (clusters > 1)
    return torch.from_numpy(centres[rng.integers(0, clusters, n)] + rng.normal(size=(n, width))).float()


def identity(width: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.eye(width), torch.zeros(width)


def otdd(rows: torch.Tensor, reference: torch.Tensor) -> OTDD:
    return OTDD(rows, reference, (Classes.find(rows), Classes.find(reference)))


def test_mmd_is_the_mean_of_kernels_over_pairs() -> None:
    rows, reference = drawn(20, 3), drawn(30, 3, seed=1) + 1
    pairs = list(combinations(reference, 2))
    median = np.percentile([float((a - b).square().sum()) for a, b in pairs], 50, method="lower")

    def kernel(one: torch.Tensor, other: torch.Tensor) -> float:
        gaps = np.array([[float((a - b).square().sum()) for b in other] for a in one])
        return float(np.mean([np.exp(-gaps / (2 * factor * median)).mean() for factor in BANDWIDTHS]))

    expected = kernel(rows, rows) - 2 * kernel(rows, reference) + kernel(reference, reference)
    assert MMD(rows, reference).value(*identity(3)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("measure", [MMD, otdd])
def test_equal_rows_are_at_distance_zero_and_a_shift_takes_them_apart(measure: type[MMD]) -> None:
    rows = drawn(60, 4, clusters=3)
    distance = measure(rows, rows)
    values = [distance.value(torch.eye(4), torch.full((4,), shift)) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert values[0] == pytest.approx(0, abs=1e-4)
    assert values == sorted(values)
    assert values[1] > values[0] + 0.005


@pytest.mark.parametrize("ranks", [(6, 6), (2, 6), (1, 2)])
def test_bures_is_the_distance_between_gaussians(ranks: tuple[int, int]) -> None:
    sides = []
    for seed, rank in enumerate(ranks):
        turn = torch.from_numpy(np.random.default_rng(seed).normal(size=(rank, 6))).float()
        sides.append([drawn(50, rank, seed=seed + 10 * k) @ turn + k for k in range(3)])
    laws = [[Gaussian.of(part.double().numpy()) for part in side] for side in sides]
    expected = [[p.squared_distance(q) for q in laws[1]] for p in laws[0]]
    made = [
        Classes(torch.zeros(3, 6), means, roots)
        for side in laws
        for means in [torch.from_numpy(np.stack([law.mean for law in side]))]
        for roots in [torch.from_numpy(np.stack([law.root for law in side]))]
    ]
    np.testing.assert_allclose(bures(*made).numpy(), expected, rtol=1e-6)


def test_the_gradient_of_bures_is_finite_where_covariances_are_singular_or_equal() -> None:
    roots = torch.zeros(1, 4, 6)
    roots[0, 0, 0] = roots[0, 1, 1] = 1  # two equal directions, and nothing in the others
    given = roots.clone().requires_grad_()
    means = torch.zeros(1, 6)
    bures(Classes(means, means, given), Classes(means, means, roots)).sum().backward()
    assert given.grad is not None
    np.testing.assert_allclose(given.grad.numpy(), 0, atol=1e-6)  # the minimum


def test_transport_is_that_of_sinkhorn() -> None:
    rows, others = drawn(30, 3).double(), drawn(20, 3, seed=1).double() + 1
    cost = squared_distances(rows, others)
    epsilon = 0.1 * float(cost.median())
    made = Transport(epsilon)
    value = made.settle(cost)
    plan = made.improve(cost).numpy()
    weights = np.full(30, 1 / 30), np.full(20, 1 / 20)
    expected = ot.sinkhorn(*weights, cost.numpy(), epsilon, method="sinkhorn_log", numItermax=5000)
    np.testing.assert_allclose(plan, expected, atol=1e-6)
    entropy = (plan * np.log(plan * 600)).sum()
    assert value == pytest.approx((plan * cost.numpy()).sum() + epsilon * entropy, rel=1e-4)


def test_pseudo_classes_are_the_clusters() -> None:
    rows = torch.cat([drawn(40, 5, seed=k) + 20 * torch.eye(5)[k] for k in range(5)])
    found = Classes.find(rows)
    codes = found.of(rows).reshape(5, 40)
    assert (codes == codes[:, :1]).all()
    assert len(set(codes[:, 0].tolist())) == 5
    covariance = found.roots[codes[2, 0]].T @ found.roots[codes[2, 0]]
    np.testing.assert_allclose(covariance, np.cov(rows[80:120].numpy(), rowvar=False, bias=True), atol=1e-4)


@pytest.mark.parametrize("measure", [MMD, otdd])
def test_the_gradient_is_that_of_the_value(measure: type[MMD]) -> None:
    rows, reference = drawn(40, 3, clusters=3).double(), drawn(50, 5, seed=1, clusters=3).double()
    distance = measure(rows, reference)
    rng = np.random.default_rng(2)
    projection, way = (torch.from_numpy(rng.normal(size=(3, 5))) for _ in range(2))
    offset = torch.zeros(5, dtype=torch.float64)
    given = projection.clone().requires_grad_()
    scale = 5 if isinstance(distance, OTDD) else 1
    for _ in range(30):  # plans settle over calls
        (gradient,) = torch.autograd.grad(distance(given, offset), given)
    step = 1e-3
    ends = [distance.value(projection + sign * step * way, offset) * scale for sign in (1, -1)]
    assert float((gradient * way).sum()) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=0.02)


@pytest.mark.parametrize("measure", [MMD, otdd])
def test_training_brings_a_shifted_and_scaled_sample_back(measure: type[MMD]) -> None:
    reference, rows, other, held = (drawn(400, 4, seed=3, clusters=3, spread=2.0)[part::4] for part in range(4))
    distance = measure(rows, reference)
    start = torch.eye(4) * 1.5, torch.full((4,), 0.5)
    projection, offset, step = train([distance], measure(held, other), *start)
    after = distance.value(projection, offset)
    assert after < 0.3 * distance.value(*start)
    assert after < 1.2 * distance.value(*identity(4))
    assert 0 < step <= distance.steps
    assert start[0].equal(torch.eye(4) * 1.5)  # what was given is left alone


@pytest.mark.parametrize("measure", [MMD, otdd])
def test_what_does_not_hold_for_other_rows_is_not_kept(measure: type[MMD]) -> None:
    reference, other = drawn(100, 20, seed=4), drawn(100, 20, seed=5)
    rows, held = drawn(16, 10, seed=6), drawn(100, 10, seed=7)
    start = torch.eye(10, 20), torch.zeros(20)
    seen, unseen = measure(rows, reference), measure(held, other)
    projection, offset, step = train([seen], unseen, *start)
    assert unseen.value(projection, offset) <= unseen.value(*start)
    assert seen.value(projection, offset) <= seen.value(*start) + 1e-6
    assert step % CHECK == 0
    far = measure(held - 100, other - 1000)  # no step that helps the one can help the other
    assert train([seen], far, torch.zeros(10, 20), torch.full((20,), -1000.0))[2] == 0
