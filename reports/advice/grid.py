"""Confirmed runs behind the advice: what freezing and fine-tuning reached, beside what was measured before.

    python reports/advice/grid.py IMAGE|AUDIO|TEXT >> reports/advice/grid.jsonl

One line a source, target and number of training samples: the signals, and test accuracies of a probe of the best
layer, LP-FT, LoRA and full fine-tuning (two learning rates, one seed, six epochs or sixty steps of 16 samples). The
test rows are those that are not in the training fifths, up to 600; a quarter of the training samples is used to choose
rates, epochs and penalties.
Lines that are in grid.jsonl already are not computed again, and those that are missing there were not reached: an hour
on two cores does about half of the grid. The same commands add to it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from transferscope.adapters import find_adapter
from transferscope.advice.signals import measure_signals
from transferscope.confirm import STRATEGIES, Recipe
from transferscope.confirm.strategy import Trial
from transferscope.features.extract import Extractor
from transferscope.progress import silent
from transferscope.ranking.race import nested_order
from transferscope.scorers.score import score
from transferscope.sources import load_source
from transferscope.targets import Split, Target, load_target, split_target

HERE = Path(__file__).parent
RECIPE = Recipe(learning_rates=(1e-4, 1e-3), n_seeds=1, epochs=6, patience=2, min_steps=60, batch_size=16)
WAYS = ("linear_probe", "lp_ft", "lora", "full")
TEXTS = (
    "package:minilm-l6", "package:minilm-l6?weights=random", "package:mobilenet-v2?size=64",
    "package:ocr-crnn?size=32x128", "package:efficientnet-lite0?size=64",
)  # fmt: skip
IMAGES = (
    "package:mobilenet-v2?size=64", "package:efficientnet-lite0?size=32", "package:ocr-crnn?size=32",
    "package:ocr-crnn?size=32&weights=random", "package:mobilenet-v2?size=32", "package:efficientnet-lite0?size=64",
)  # fmt: skip
SOUNDS = (
    "package:mobilenet-v2?size=64", "package:efficientnet-lite0?size=64", "package:resemblyzer",
    "package:ocr-crnn?size=32x128", "package:mobilenet-v2?size=64&weights=random",
)  # fmt: skip
GRID = {
    "IMAGE": (("package:mnist-5k", "package:digits"), IMAGES, (60, 150, 400)),
    "AUDIO": (("package:instrument-families",), SOUNDS, (60, 110, 200)),
    "TEXT": (("package:names-swahili", "package:names-zulu"), TEXTS, (60, 150, 400)),
}


def splits(target: Target, n: int) -> Split:
    """Training rows of one size, each size inside the next; the same test rows for all."""
    whole = split_target(target, seed=0)
    rng = np.random.default_rng(0)
    labels = target.labels
    test = np.concatenate([whole.test, whole.validation])
    test = np.sort(test[nested_order(labels[test], rng)[:600]])
    rows = whole.train[nested_order(labels[whole.train], rng)[:n]]
    held = np.zeros(len(rows), dtype=bool)
    for code in np.unique(labels[rows]):
        places = np.flatnonzero(labels[rows] == code)
        held[places[3::4]] = True
    return Split(0, np.sort(rows[~held]), np.sort(rows[held]), test, whole.grouped, n)


def scored(target: Target, name: str, split: Split, extractor: Extractor) -> tuple[str, float]:
    """The best layer by leave-one-out accuracy, and that accuracy."""
    source = load_source(name)
    features = extractor.extract(target, source, find_adapter(target, source, ()), split.train)
    labels = target.labels[features.rows]
    found = {
        layer: score(features.layers[layer], labels, ["ridge_loo"])["ridge_loo"].value for layer in features.layers
    }
    best = max(found, key=lambda layer: found[layer] or 0.0)
    return best, found[best] or 0.0


def cell(target: Target, name: str, n: int) -> dict[str, object]:
    """Everything of one source, target and size."""
    split, extractor = splits(target, n), Extractor()
    layer, value = scored(target, name, split, extractor)
    twin = None
    if "weights=random" not in name:
        twin = value - scored(target, f"{name}{'&' if '?' in name else '?'}weights=random", split, extractor)[1]
    source = load_source(name)
    adapter = find_adapter(target, source, ())
    signals, _, _ = measure_signals(
        target, (split.train,), source, adapter, extractor, layer=layer, twin_gap=twin, seed=0
    )
    reached = {}
    for way in WAYS:
        at = layer if STRATEGIES[way].head_at == "best" else source.card.layers[-1]
        trial = Trial(way, target, split, source, adapter, at, RECIPE.as_run(len(split.train)), extractor, 0, silent)
        runs = STRATEGIES[way].fit(trial)
        tested = [run for run in runs if run.test_accuracy is not None]
        reached[way] = {"test": tested[0].test_accuracy, "validation": tested[0].validation_accuracy,
                        "seconds": round(sum(run.seconds for run in runs), 1)}  # fmt: skip
    return {"n": n, "layer": layer, "n_test": len(split.test), "reached": reached, "signals": asdict(signals)}


def cells(kind: str) -> Iterator[tuple[str, str, int]]:
    targets, sources, sizes = GRID[kind]
    for n in sizes:
        for target in targets:
            for source in sources:
                yield target, source, n


def main(kind: str) -> None:
    known = HERE / "grid.jsonl"
    done = {tuple(json.loads(line)["key"]) for line in known.read_text().splitlines()} if known.exists() else set()
    for key in cells(kind):
        if key not in done:
            print(json.dumps({"key": key, **cell(load_target(key[0]), key[1], key[2])}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
