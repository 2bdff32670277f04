"""What must hold of every scorer, checked for each registered one; what only some promise is in tables below."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from transferscope.errors import ScoreError
from transferscope.features.moments import Moments
from transferscope.scorers import SCORERS
from transferscope.scorers.registry import ScorerSpec

KINDS = (("features", "labels"), ("source_probs", "labels"))
SPECS = [spec for spec in SCORERS.values() if "classification" in spec.tasks and spec.needs in KINDS]
OF_FEATURES = [spec for spec in SPECS if spec.needs == KINDS[0]]
OF_PROBS = [spec for spec in SPECS if spec.needs == KINDS[1]]
SHARING = [spec for spec in SPECS if "moments" in inspect.signature(spec.fn).parameters]
every = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
of_features = pytest.mark.parametrize("spec", OF_FEATURES, ids=lambda spec: spec.name)
of_probs = pytest.mark.parametrize("spec", OF_PROBS, ids=lambda spec: spec.name)
few = settings(max_examples=25, deadline=None)


@pytest.fixture(autouse=True, scope="module")
def one_component() -> Iterator[None]:
    """NCTI is of 64 components, which small problems have not; its laws are those of one. See also its own tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["transferscope.scorers.ncti"], "COMPONENTS", 1)
        yield


@dataclass(frozen=True, eq=False)
class Problem:
    """Features and source probabilities of the same rows, and their classes."""

    X: np.ndarray
    P: np.ndarray
    y: np.ndarray
    rng: np.random.Generator

    def of(self, spec: ScorerSpec) -> np.ndarray:
        return self.X if "features" in spec.needs else self.P


def make(
    n: int = 60, d: int = 8, k: int = 3, *, seed: int = 0, separation: float = 1.0, balanced: bool = False
) -> Problem:
    """Every class has a sample; the rest fall as they may, so that classes of one sample occur."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % k if balanced else np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    X = separation * rng.normal(size=(k, d))[y] + rng.normal(size=(n, d))
    logits = separation * rng.normal(size=(k, k + 2))[y] * 2 + rng.normal(size=(n, k + 2))
    P = np.exp(logits)
    return Problem(X, P / P.sum(axis=1, keepdims=True), y, rng)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """More rows than features and fewer, two classes and several, classes of a single row included."""
    k = draw(st.integers(2, 4))
    n, d = draw(st.integers(k + 3, 40)), draw(st.integers(1, 45))
    return make(n, d, k, seed=draw(st.integers(0, 10**6)), separation=draw(st.sampled_from([0.0, 0.5, 2.0])))


def better(spec: ScorerSpec, a: float, b: float) -> bool:
    return a > b if spec.higher_is_better else a < b


def same(value: float) -> Any:
    return pytest.approx(value, rel=1e-7, abs=1e-8)


# Invariances of all

FOLDS = "its folds are drawn by the numbers of rows"
DRAWN = {"linear_probe": FOLDS, "logme_cv": FOLDS}


@every
@few
@given(problem=problems())
def test_order_of_rows_does_not_matter(spec: ScorerSpec, problem: Problem) -> None:
    x, y = problem.of(spec), problem.y
    order = problem.rng.permutation(len(y))
    if spec.name not in DRAWN:
        assert spec.fn(x[order], y[order]) == same(spec.fn(x, y))


NAMELESS: dict[str, dict[str, Any]] = {"parc": {"ties": "exact"}}  # by default ties are torn by class numbers


@every
@few
@given(problem=problems())
def test_names_of_classes_do_not_matter(spec: ScorerSpec, problem: Problem) -> None:
    x, y, options = problem.of(spec), problem.y, NAMELESS.get(spec.name, {})
    value = spec.fn(x, y, **options)
    names = problem.rng.permutation(y.max() + 1)
    assert spec.fn(x, names[y], **options) == same(value)
    assert spec.fn(x, names[y] * 17 - 40, **options) == same(value)
    assert spec.fn(x, np.array(["pear", "apple", "fig", "a fig"])[y], **options) == same(value)


@every
@pytest.mark.parametrize(
    "renamed",
    [
        lambda y: y.tolist(),
        lambda y: [f"class {c}" for c in y],
        lambda y: [(c, "x") for c in y.tolist()],
        lambda y: [["1", 1, (1,)][c] for c in y],
        lambda y: [b"abc"[c : c + 1] for c in y],
        lambda y: y.astype(np.uint8),
        lambda y: y.astype(float),
        lambda y: torch.tensor(y),
        lambda y: [torch.tensor(c) for c in y],
        lambda y: pandas.Series(np.array(["u", "v", "w"])[y], dtype="category", index=range(7, 7 + len(y))),
        lambda y: np.array(["u", "v", "w"], dtype=object)[y],
    ],
    ids=["list", "text", "tuples", "mixed", "bytes", "uint8", "floats", "tensor", "tensors", "categorical", "objects"],
)
def test_labels_of_odd_kinds(spec: ScorerSpec, renamed: Callable[[np.ndarray], Any]) -> None:
    problem = make()
    x, y = problem.of(spec), problem.y
    options = NAMELESS.get(spec.name, {})
    task = spec.options({"task": "classification"})  # floats would be taken for targets of regression
    assert spec.fn(x, renamed(y), **task, **options) == same(spec.fn(x, y, **options))


@every
def test_two_classes_may_be_booleans(spec: ScorerSpec) -> None:
    problem = make(k=2)
    assert spec.fn(problem.of(spec), problem.y == 0) == same(spec.fn(problem.of(spec), problem.y))


@every
@pytest.mark.parametrize("shape", [(50, 10), (10, 50)])
def test_inputs_stay_as_they_are(spec: ScorerSpec, shape: tuple[int, int]) -> None:
    problem = make(*shape)
    x, y = problem.of(spec).copy(), problem.y.copy()
    for array in (x, y):
        array.flags.writeable = False
    single = torch.tensor(x, dtype=torch.float32, requires_grad=True)
    before = single.detach().clone()
    spec.fn(x, y)
    spec.fn(single, y)
    np.testing.assert_array_equal(x, problem.of(spec))
    np.testing.assert_array_equal(y, problem.y)
    assert torch.equal(single, before)
    assert single.grad is None


@every
@few
@given(problem=problems(), single=st.booleans())
def test_tensors_count_as_arrays_and_calls_repeat(spec: ScorerSpec, problem: Problem, single: bool) -> None:
    x = problem.of(spec).astype(np.float32 if single else np.float64)
    value = spec.fn(x, problem.y)
    assert type(value) is float
    assert spec.fn(torch.from_numpy(x), torch.from_numpy(problem.y)) == value
    assert spec.fn(x.tolist() if not single else x.copy(), problem.y.tolist()) == value


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_types_of_tensors_give_what_their_values_give(spec: ScorerSpec, dtype: torch.dtype) -> None:
    problem = make()
    x = torch.tensor(problem.of(spec)).to(dtype)
    held = x.numpy() if dtype == torch.float64 else x.float().numpy()
    assert spec.fn(x, torch.tensor(problem.y)) == spec.fn(held, problem.y)


@pytest.mark.gpu
@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_on_a_gpu_count_as_arrays(spec: ScorerSpec, dtype: torch.dtype) -> None:
    problem = make()
    x, y = torch.tensor(problem.of(spec)).to(dtype), torch.tensor(problem.y)
    assert spec.fn(x.cuda(), y.cuda()) == spec.fn(x, y)


@every
def test_layout_in_memory_does_not_matter(spec: ScorerSpec) -> None:
    problem = make()
    x, y = problem.of(spec), problem.y
    value = spec.fn(x, y)
    assert spec.fn(np.asfortranarray(x), y) == same(value)
    assert spec.fn(np.repeat(x, 2, axis=0)[::2], np.repeat(y, 3)[::3]) == same(value)
    assert spec.fn(x[:, ::-1], y) == same(value)
    assert spec.fn(x.astype(">f8"), y) == same(value)
    assert spec.fn(torch.tensor(x).T.contiguous().T, y) == same(value)


@every
@few
@given(problem=problems())
def test_single_precision_is_close(spec: ScorerSpec, problem: Problem) -> None:
    x = problem.of(spec)
    slack = 1.5 / len(x) if spec.is_accuracy else 1e-3  # a sample at the border may change sides
    assert spec.fn(x.astype(np.float32), problem.y) == pytest.approx(spec.fn(x, problem.y), abs=slack, rel=slack)


# Range: the sentence that people read, and what it says of K classes and features of some rank

RANGES: dict[str, Callable[[int, int], tuple[float, float]]] = {
    "0 to min(K - 1, rank)": lambda k, rank: (0.0, min(k - 1, rank)),
    "0 to 1 (accuracy); -1 to 1 (correlation)": lambda k, rank: (0.0, 1.0),
    "0 to 1 (accuracy); up to 1 (R squared)": lambda k, rank: (0.0, 1.0),
    "any real number; for classes typically -1 to 1": lambda k, rank: (-math.inf, math.inf),
    "minus infinity to 0": lambda k, rank: (-math.inf, 0.0),
    "0 to 1": lambda k, rank: (0.0, 1.0),
    "0 to 1 (accuracy)": lambda k, rank: (0.0, 1.0),
    "0 to (K - 1) N / (N - 1)": lambda k, rank: (0.0, 1.25 * (k - 1)),
    "-K (K - 1) to 0": lambda k, rank: (-k * (k - 1), 0.0),
    "0 to infinity (balanced classes); any real number (uneven ones)": lambda k, rank: (-math.inf, math.inf),
    "-ln K to 0": lambda k, rank: (-math.log(k), 0.0),
    "-100 to 100": lambda k, rank: (-100.0, 100.0),
    "-1 to 1": lambda k, rank: (-1.0, 1.0),
    "any real number": lambda k, rank: (-math.inf, math.inf),
    "0 upwards": lambda k, rank: (0.0, math.inf),
    "0 upwards (floor 1 or more); any real number (a smaller floor)": lambda k, rank: (0.0, math.inf),
    "0 upwards; near the entropy of the labels over K where the head tells nothing": lambda k, rank: (0.0, math.inf),
    "about 1 upwards; near 1 plus the entropy of the labels over K where the head tells nothing": lambda k, rank: (
        1 - 0.43 / k,
        math.inf,
    ),
}


@every
@few
@given(problem=problems(), power=st.sampled_from([0, -8, 8]))
def test_values_lie_in_the_declared_range(spec: ScorerSpec, problem: Problem, power: int) -> None:
    """Features of scale 1e-8 and 1e8 included."""
    x = problem.X * 10.0**power if "features" in spec.needs else problem.P
    low, high = RANGES[spec.range](problem.y.max() + 1, np.linalg.matrix_rank(x - x.mean(axis=0)))
    value = spec.fn(x, problem.y)
    assert np.isfinite(value)
    assert low - 1e-9 <= value <= high + 1e-9


@every
@pytest.mark.parametrize(("n", "d", "k"), [(5, 1, 2), (8, 8, 2), (8, 7, 3), (9, 8, 3), (6, 300, 3), (7, 20, 6)])
def test_small_and_odd_shapes(spec: ScorerSpec, n: int, d: int, k: int) -> None:
    """N < D, N = D, N - 1 = D, two classes, nearly a class per sample: a finite number, and the same for copies."""
    problem = make(n, d, k)
    value = spec.fn(problem.of(spec), problem.y)
    low, high = RANGES[spec.range](k, min(n - 1, d))
    assert low - 1e-9 <= value <= high + 1e-9
    assert np.isfinite(value)


FAVOURS_COLLAPSE = {
    "ncti_vc": "probabilities that are the same for every row have the least norm",
    "pactran_gauss": "features without size have no curvature, whose price is high for few samples",
}


@of_features
@pytest.mark.parametrize("shape", [(12, 4), (12, 40)])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e4, 1e8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_features_tell_nothing(
    spec: ScorerSpec, shape: tuple[int, int], value: float, dtype: type[np.floating]
) -> None:
    """Whatever labels are shuffled to: the score is that of knowing the class sizes only."""
    x, y = np.full(shape, value, dtype=dtype), np.arange(12) % 3
    found = spec.fn(x, y)
    assert np.isfinite(found)
    low, high = RANGES[spec.range](3, 0)
    assert low <= found <= high
    if spec.name != "knn":  # its nearest of equally near rows is the first, whose class depends on the order
        assert spec.fn(x, np.random.default_rng(0).permutation(y)) == same(found)
        separated = spec.fn(make(*shape, balanced=True, separation=4.0).X, y)
        if spec.name in FAVOURS_COLLAPSE:
            assert not better(spec, separated, found)
            assert spec.saturated(Moments.from_features(x, y), found)
        else:
            assert not better(spec, found, separated)


# Copies of rows

COPIES: dict[str, Callable[[float, float], bool]] = {
    "gbc": lambda once, twice: twice == same(once),
    "gbc_pca": lambda once, twice: twice == same(once),
    "lda": lambda once, twice: twice == same(once),
    "sfda": lambda once, twice: twice == same(once),
    "transrate": lambda once, twice: twice == same(once),
    "h_score": lambda once, twice: twice == same(once),
    "lfc": lambda once, twice: twice == same(once),
    "ncti_ncc": lambda once, twice: twice == same(once),
    "nearest_mean": lambda once, twice: twice == same(once),
    "leep": lambda once, twice: twice == same(once),
    "nce": lambda once, twice: twice == same(once),
    "knn": lambda once, twice: twice == 1.0,  # the copy is the neighbour
    "logme": lambda once, twice: twice >= once - 1e-9,  # twice the evidence for the same weights
}


@pytest.mark.parametrize("name", COPIES)
@few
@given(problem=problems())
def test_copies_of_all_rows(name: str, problem: Problem) -> None:
    """What copies do to ``ridge_loo`` shows in its squared error: see its own tests."""
    spec = SCORERS[name]
    x, y = problem.of(spec), problem.y
    assert COPIES[name](spec.fn(x, y), spec.fn(np.tile(x, (2, 1)), np.tile(y, 2)))


# What some promise: the sentences stand in their docstrings

Move = Callable[[np.ndarray, np.random.Generator], np.ndarray]
MOVES: dict[str, Move] = {
    "rotation": lambda x, rng: x @ np.linalg.qr(rng.normal(size=(x.shape[1], x.shape[1])))[0],
    "scale": lambda x, rng: x * 1e3,
    "tiny scale": lambda x, rng: x * 1e-8,
    "huge scale": lambda x, rng: x * 1e8,
    "shift": lambda x, rng: x + 5 * rng.normal(size=x.shape[1]),
    "far shift": lambda x, rng: x + 1e6,
    "linear map": lambda x, rng: x * np.geomspace(1, 100, x.shape[1]),
}
SIMILARITIES = {"rotation", "scale", "tiny scale", "huge scale"}
INVARIANT = {
    "gbc": {"rotation", "scale", "huge scale", "shift", "far shift"},
    "gbc_pca": {"rotation", "shift", "far shift"},
    "h_score_regularized": SIMILARITIES | {"shift", "far shift"},
    "lda": {"shift", "far shift"},
    "lda_loo": SIMILARITIES | {"shift", "far shift"},
    "logme_cv": SIMILARITIES,
    "sfda": {"shift", "far shift"},
    "transrate": {"rotation", "shift", "far shift"},
    "h_score": set(MOVES),
    "knn": SIMILARITIES | {"shift", "far shift"},
    "logme": SIMILARITIES,
    "ridge_loo": SIMILARITIES | {"shift", "far shift"},
    "lfc": SIMILARITIES | {"shift", "far shift"},
    "linear_probe": set(MOVES) - {"rotation"},
    "ncti_ncc": {"rotation", "shift", "far shift"},
    "ncti_seli": {"rotation", "shift", "far shift"},
    "ncti_vc": {"rotation", "shift", "far shift"},
    "nearest_mean": {"rotation", "shift", "far shift"},
    "nleep": SIMILARITIES | {"shift", "far shift"},
    "pactran_gauss": {"rotation", "shift", "far shift"},
    "parc": set(MOVES) - {"rotation"},
    "tmi": {"shift", "far shift"},
}
SENTENCES = {
    "gbc": "Invariant to shift and, while no variance is below the floor, to scale and, where spherical, to rotation.",
    "gbc_pca": "Invariant to rotation and shift and, while no variance is below the floor, to scale.",
    "h_score_regularized": "Invariant to rotation, shift and scale.",
    "lda": "Invariant to shift, not to scale, and to rotation but for the published estimate of the eigenvalue.",
    "lda_loo": "Invariant to rotation, shift and, with the default penalty, scale.",
    "logme_cv": "Invariant to the scale of the features and to rotations, not to shifts.",
    "sfda": "Invariant to shift, not to scale, and to rotation but for the published estimate of the eigenvalue.",
    "transrate": "Invariant to rotation and shift, not to scale.",
    "h_score": "Invariant to invertible linear maps of the features.",
    "knn": "Invariant to rotation, shift and scale.",
    "logme": "Invariant to the scale of the features and to rotations, not to shifts.",
    "ridge_loo": "so that the scale of the features does not matter.",
    "lfc": "Invariant to rotation and scale, and when centred to shifts",
    "linear_probe": "Invariant to shift and scale of every feature, not to rotation.",
    "ncti_ncc": "Invariant to rotation and shift, not to scale",
    "ncti_seli": "Invariant to rotation and shift, not to scale",
    "ncti_vc": "Invariant to rotation and shift, not to scale",
    "nearest_mean": "Invariant to rotation and shift, not to scale",
    "nleep": "Invariant to rotation, shift and scale, but for what rounding does to EM.",
    "pactran_gauss": "Invariant to rotations and shifts, not to scale",
    "parc": "Invariant to shifts and scales of single features, not to rotations.",
    "tmi": "Invariant to shifts, signs and order of features, not to rotations",
}


@pytest.mark.parametrize(("name", "move"), [(name, move) for name in INVARIANT for move in sorted(INVARIANT[name])])
@pytest.mark.parametrize("shape", [(90, 6), (30, 29), (20, 60)])
def test_invariances(name: str, move: str, shape: tuple[int, int]) -> None:
    problem = make(*shape, seed=3)
    moved = MOVES[move](problem.X, problem.rng)
    assert SCORERS[name].fn(moved, problem.y) == pytest.approx(SCORERS[name].fn(problem.X, problem.y), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "move"),
    [
        ("gbc", "tiny scale"),
        ("gbc_pca", "tiny scale"),
        ("h_score_regularized", "linear map"),
        ("lda_loo", "linear map"),
        ("logme_cv", "shift"),
        ("sfda", "tiny scale"),
        ("transrate", "tiny scale"),
        ("logme", "shift"),
        ("knn", "linear map"),
        ("lfc", "linear map"),
        ("ncti_ncc", "linear map"),
        ("nearest_mean", "scale"),
        ("nleep", "linear map"),
        ("pactran_gauss", "scale"),
        ("parc", "rotation"),
        ("tmi", "scale"),
    ],
)
def test_what_is_not_invariant(name: str, move: str) -> None:
    problem = make(90, 6, seed=3)
    moved = MOVES[move](problem.X, problem.rng)
    assert abs(SCORERS[name].fn(moved, problem.y) - SCORERS[name].fn(problem.X, problem.y)) > 1e-3


@of_features
def test_invariances_are_documented(spec: ScorerSpec) -> None:
    assert SENTENCES[spec.name] in " ".join((spec.fn.__doc__ or "").split())


@of_probs
@few
@given(problem=problems())
def test_order_of_source_classes_and_dead_ones_do_not_matter(spec: ScorerSpec, problem: Problem) -> None:
    P, y = problem.P, problem.y
    value = spec.fn(P, y)
    assert spec.fn(P[:, problem.rng.permutation(P.shape[1])], y) == same(value)
    assert spec.fn(np.hstack([P, np.zeros((len(P), 3))]), y) == same(value)


# Signal

WAVERING = {"transrate": 1e-3}  # about a value of 0.1: the code of one class varies with its few samples
BLIND = {"tmi": "it is how wide classes are, each by itself: more so with shuffled labels"}


ITS_OWN_SIZE = {"ncti_ncc", "ncti_seli", "ncti_vc"}  # one component of 64 need not be that of the classes
at_this_size = pytest.mark.parametrize(
    "spec", [spec for spec in SPECS if spec.name not in ITS_OWN_SIZE], ids=lambda spec: spec.name
)


@at_this_size
@pytest.mark.parametrize("seed", range(3))
def test_values_grow_with_separation(spec: ScorerSpec, seed: int) -> None:
    values = []
    for separation in (0.0, 0.4, 0.8, 1.6, 3.2):  # of the same class directions and the same noise
        problem = make(240, 6, 3, seed=seed, separation=separation, balanced=True)
        values.append(spec.fn(problem.of(spec), problem.y) * (1 if spec.higher_is_better else -1))
    if spec.name in BLIND:
        assert values == pytest.approx([values[0]] * len(values), rel=1e-9)
        return
    assert np.diff(values).min() >= -WAVERING.get(spec.name, 0.0)
    assert values[-1] > values[0]


Chance = Callable[[int, int, int], tuple[float, float]]  # of N samples, D features or source classes, K classes
CHANCE: dict[str, Chance] = {
    "gbc": lambda n, d, k: (-k * (k - 1), -0.98 * k * (k - 1)),
    "gbc_pca": lambda n, d, k: (-k * (k - 1), -0.98 * k * (k - 1)),
    "h_score_regularized": lambda n, d, k: (0.3 * (k - 1) * d / n, 2.5 * (k - 1) * d / n),
    "lda": lambda n, d, k: (1 / k, 1 / k + 0.02),
    "lda_loo": lambda n, d, k: (0.0, 1 / k + 0.08),
    "logme_cv": lambda n, d, k: (_no_signal(n, k)[0] - 0.02, _no_signal(n, k)[1]),
    "sfda": lambda n, d, k: (1 / k, 1 / k + 0.02),
    "transrate": lambda n, d, k: (0.0, 2.5 * k * d * (d + 1) / (4 * n)),
    "h_score": lambda n, d, k: (0.3 * (k - 1) * d / n, 2.5 * (k - 1) * d / n),  # a share d / n of every direction
    "knn": lambda n, d, k: (1 / k - 0.08, 1 / k + 0.08),
    "linear_probe": lambda n, d, k: (1 / k - 0.08, 1 / k + 0.08),
    "lfc": lambda n, d, k: (0.0, 2.5 * d / n),
    "nearest_mean": lambda n, d, k: (1 / k, 1 / k + 0.1),
    "ridge_loo": lambda n, d, k: (0.0, 1 / k + 0.08),  # below chance, as its docstring says
    "leep": lambda n, d, k: (-math.log(k), -math.log(k) + 2.5 * d * (k - 1) / (2 * n)),
    "nce": lambda n, d, k: (-math.log(k), -math.log(k) + 2.5 * d * (k - 1) / (2 * n)),
    "logme": lambda n, d, k: _no_signal(n, k),
    "nleep": lambda n, d, k: (-math.log(k), -math.log(k) + 2.5 * 5 * k * (k - 1) / (2 * n)),
    "pactran_dirichlet": lambda n, d, k: _urns(n, d, k),
    "pactran_gamma": lambda n, d, k: (1 + _urns(n, d, k)[0], 1 + _urns(n, d, k)[1]),
    "pactran_gauss": lambda n, d, k: (_price(n, d, k, d) - 0.05, _price(n, d, k, 6 * d)),
    "parc": lambda n, d, k: (-1.5, 1.5),
    "tmi": lambda n, d, k: (_spread(d, k, 1), _spread(d, k, 6)),
}


def _no_signal(n: int, k: int) -> tuple[float, float]:
    """Balanced one-hot columns without features: the log density of a Gaussian about zero of their mean square."""
    value = 0.5 * math.log(k) - 0.5 * (1 + math.log(2 * math.pi))
    return value, value + 0.02


def _urns(n: int, d: int, k: int) -> tuple[float, float]:
    """Of d source classes: the entropy of the labels, less what chance fits, or plus what learning the odds costs."""
    odds = d * (k - 1) / (2 * n)
    return (math.log(k) - 2.5 * odds) / k, (math.log(k) + 1.5 * odds * math.log(n)) / k


def _spread(d: int, k: int, variance: float) -> float:
    """Entropy of a Gaussian, over K."""
    return d / 2 / k * math.log(2 * math.pi * math.e * variance)


def _price(n: int, d: int, k: int, square: float) -> float:
    """Balanced classes told by nothing, and the curvature there for rows of this squared length about their mean."""
    return math.log(k) + 50 * k / n * math.log1p(n / (d * k) * n * (1 + square) * (1 - 1 / k))


@at_this_size
@pytest.mark.parametrize("seed", range(3))
def test_shuffled_labels_are_at_chance(spec: ScorerSpec, seed: int) -> None:
    problem = make(600, 5, 3, seed=seed, separation=2.0, balanced=True)
    x = problem.of(spec)
    low, high = CHANCE[spec.name](len(x), x.shape[1], 3)
    x = x - x.mean(axis=0) if spec.name.startswith("logme") else x  # it explains class sizes by the mean otherwise
    shuffled, true = spec.fn(x, problem.rng.permutation(problem.y)), spec.fn(x, problem.y)
    assert low <= shuffled <= high
    if spec.name in BLIND:
        assert better(spec, shuffled, true)
    else:
        assert better(spec, true, high if spec.higher_is_better else low)


# Shared moments, and refusals


@pytest.mark.parametrize("spec", SHARING, ids=lambda spec: spec.name)
@few
@given(problem=problems(), single=st.booleans())
def test_shared_moments_give_the_same(spec: ScorerSpec, problem: Problem, single: bool) -> None:
    x, y = problem.X.astype(np.float32 if single else np.float64), problem.y
    value = spec.fn(x, y)
    shared = Moments.from_features(x, y)
    for other in SHARING:
        other.fn(x, y, moments=shared)
    assert spec.fn(x, y, moments=shared) == value
    cut = len(y) // 2
    streamed = Moments.from_features(x[:cut], y[:cut]) + Moments.from_features(x[cut:], y[cut:])
    assume(streamed.rank == shared.rank)
    assert spec.fn(x, y, moments=streamed) == pytest.approx(value, rel=1e-5, abs=1.5 / len(y) * spec.is_accuracy)


@every
def test_refusals_name_the_scorer(spec: ScorerSpec) -> None:
    problem = make()
    x, y = problem.of(spec).copy(), problem.y
    with pytest.raises(ScoreError, match=f"^{spec.name}: 60 rows of .* but 59 labels; give one label per row"):
        spec.fn(x, y[:-1])
    with pytest.raises(ScoreError, match=f"^{spec.name}: all 60 labels are of one class, 4; expected at least 2"):
        spec.fn(x, np.full(60, 4))
    with pytest.raises(
        ScoreError, match=rf"^{spec.name}: .* of shape \(8?5?,?.*\); expected \(n_samples, n_columns\)"
    ):
        spec.fn(x[0], y)
    x[3, 1] = np.nan
    with pytest.raises(ScoreError, match=f"^{spec.name}: .* hold 1 NaN and 0 infinite values in 1 rows, the first at"):
        spec.fn(x, y)
