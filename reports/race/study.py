"""How often a race loses the winner, and what it saves, on real targets and packaged sources.

    python reports/race/study.py > reports/race/README.md

Every source is run once over all training rows; then races are replayed on many orders of the rows, on subsamples of
them and on subsets of the classes. The winner is the source with the highest leave-one-out accuracy on all rows of the
problem; ties count as won if one of the winners is still running.

How fast a gain fades (`DECAY` in `transferscope.ranking.race`) was chosen on such replays of these two targets and on
simulations: expect a little more to be lost on others.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from transferscope.adapters import find_adapter
from transferscope.features.extract import Extractor
from transferscope.ranking.paired import chance_of
from transferscope.ranking.race import losers, stages
from transferscope.results import Score
from transferscope.scorers.score import score
from transferscope.sources import load_source
from transferscope.targets import load_target, split_target

IMAGES = (
    "package:mobilenet-v2?size=32", "package:mobilenet-v2?size=64", "package:mobilenet-v2?size=96",
    "package:efficientnet-lite0?size=32", "package:efficientnet-lite0?size=64", "package:efficientnet-lite0?size=96",
    "package:ocr-crnn?size=32", "package:ocr-crnn?size=64", "package:mobilenet-v2?size=64&weights=random",
    "package:efficientnet-lite0?size=64&weights=random", "package:ocr-crnn?size=32&weights=random",
    "package:minilm-l6?weights=random", "package:minilm-l6",
)  # fmt: skip
TEXTS = (
    "package:minilm-l6", "package:e5-small", "package:mpnet-base", "package:efficientnet-lite0?size=64",
    "package:ocr-crnn?size=32x128", "package:minilm-l6?weights=random", "package:e5-small?weights=random",
    "package:mobilenet-v2?size=64", "package:mobilenet-v2?size=96", "package:efficientnet-lite0?size=96",
    "package:ocr-crnn?size=32x256", "package:mobilenet-v2?size=64&weights=random",
    "package:ocr-crnn?size=32x256&weights=random",
)  # fmt: skip
TARGETS = (("package:mnist-5k", IMAGES, 2000), ("package:names-swahili", TEXTS, 1200))
REPLAYS = 24  # of each kind


@dataclass(frozen=True)
class Replay:
    """One race on known features."""

    lost: bool
    saved: float  # share of the forward passes of the sources
    behind: float  # accuracy of the winner over the best source that was left
    saved_with_twins: float  # where every source brings a twin, run only if it is not dropped


def features(target_name: str, sources: tuple[str, ...], most: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Last layers of all sources on the training rows."""
    target = load_target(target_name)
    rows = split_target(target, max_samples=most).train
    found = {}
    for spec in sources:
        source = load_source(spec)
        layer = source.card.layers[-1]
        extracted = Extractor().extract(target, source, find_adapter(target, source), rows, [layer])
        found[spec] = extracted.layers[layer]
        print(f"{spec} on {target_name}: {len(extracted.rows)} rows", file=sys.stderr)
    return found, target.labels[np.sort(rows)]


def problems(labels: np.ndarray, kind: str) -> Iterator[np.ndarray]:
    """Rows of each problem."""
    for seed in range(REPLAYS):
        rng = np.random.default_rng((seed, len(kind)))
        if kind == "orders of all rows":
            yield np.arange(len(labels))
        elif kind == "random 300 rows":
            yield np.sort(rng.permutation(len(labels))[:300])
        else:
            counts = np.bincount(labels)
            classes = rng.permutation(np.flatnonzero(counts >= 20))[: max(2, len(counts) // 2)]
            yield np.flatnonzero(np.isin(labels, classes))


def value(matrix: np.ndarray, labels: np.ndarray) -> Score:
    return score(matrix, labels, ["ridge_loo"])["ridge_loo"]


def replay(
    found: dict[str, np.ndarray], labels: np.ndarray, rows: np.ndarray, seed: int, known: dict[bytes, dict[str, float]]
) -> Replay:
    """A race as `rank` runs it; `known` keeps the accuracies on all rows of each problem."""
    codes = np.unique(labels[rows], return_inverse=True)[1]
    parts, running, seen, used = stages(codes, seed), list(found), [], 0
    taken = np.array([], dtype=int)
    for number, part in enumerate(parts, 1):
        taken = np.concatenate([taken, part])
        used += len(part) * len(running)
        if number < len(parts):
            seen.append({name: value(found[name][rows[taken]], codes[taken]) for name in running})
            out = {one.source for one in losers(seen, len(rows), len(parts), chance=chance_of(codes, "ridge_loo"))}
            running = [name for name in running if name not in out]
    if rows.tobytes() not in known:
        known[rows.tobytes()] = {name: value(matrix[rows], codes).value or 0.0 for name, matrix in found.items()}
    full = known[rows.tobytes()]
    everything = len(found) * len(rows)
    lost = max(full.values()) not in [full[name] for name in running]
    behind = max(full.values()) - max(full[name] for name in running)
    return Replay(lost, 1 - used / everything, behind, 1 - (used + len(running) * len(rows)) / (2 * everything))


def main() -> None:
    print("# Races on real targets\n")
    print("`python reports/race/study.py > reports/race/README.md`: made by that, and by nothing else.\n")
    print((__doc__ or "").split("\n\n", 2)[2])
    print("| target | sources | problems | races | winner lost | passes saved | with twins | accuracy lost |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    every = []
    for name, sources, most in TARGETS:
        found, labels = features(name, sources, most)
        known: dict[bytes, dict[str, float]] = {}
        for kind in ("orders of all rows", "random 300 rows", "half of the classes"):
            replays = [replay(found, labels, rows, seed, known) for seed, rows in enumerate(problems(labels, kind))]
            every += replays
            print(f"| {name}, {len(labels)} rows | {len(sources)} | {kind} | {_cells(replays)} |", flush=True)
    print(f"| all | | | {_cells(every)} |")
    print("\nNominal risk: 5 %. *With twins*: a dropped source spares its random twin's passes too. *Accuracy lost*:")
    print("by how much the best source left is behind the winner, in points, on average.")


def _cells(replays: list[Replay]) -> str:
    lost, saved, both, behind = (
        np.mean([getattr(one, name) for one in replays]) for name in ("lost", "saved", "saved_with_twins", "behind")
    )
    return f"{len(replays)} | {100 * lost:.1f} % | {100 * saved:.0f} % | {100 * both:.0f} % | {100 * behind:.2f}"


if __name__ == "__main__":
    main()
