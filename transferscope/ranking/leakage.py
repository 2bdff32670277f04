"""Label leakage: a size, a number or a word that tells the class, so that any source scores well by it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..targets import Split, Target, Waveform
from ..trust import Check

FEW = 5  # samples of a class below which a word is no evidence
SAMPLED = 500  # rows whose size, length or words are read
TELLS = 0.9  # share of held-out samples whose class such a number tells
WRITTEN = 0.97  # share of samples whose class a word tells by itself
MARKED = re.compile(r"[=:_#<>\[\]{}|\d]")  # of a field, not of speech: "label=2", "__label__spam"


def leaks(target: Target, split: Split) -> Iterator[Check]:
    """Checks of the training rows, or of 500 spread over them; rows that cannot be read are left out.

    A veto where nothing but a mistake explains it (a running number, a field with the label); a caution where the
    data may honestly be so: tall buildings, or "the" in texts of one language.
    """
    rows = split.train[np.linspace(0, len(split.train) - 1, min(SAMPLED, len(split.train))).astype(int)]
    found = dict(target.readable(rows))
    if not found:
        return
    samples, labels = list(found.values()), target.labels[list(found)]
    numbers = [_numbers_of(sample) for sample in samples]
    if target.task == "regression":
        yield from _measured(numbers, labels, target.classes)
        return
    if target.task == "multilabel":
        for name, column in zip(target.classes, labels.T, strict=True):
            yield from _metadata(numbers, column, f"label {name!r}")
        return
    yield from _metadata(numbers, labels)
    if target.modality == "text":
        yield from _words(samples, labels, [str(name) for name in target.classes])


def _measured(found: list[Mapping[str, float]], labels: NDArray[np.float64], names: Sequence[Any]) -> Iterator[Check]:
    """A size or length that tells a number to predict."""
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.tree import DecisionTreeRegressor

    for name in found[0]:
        values = np.array([numbers[name] for numbers in found])
        known = np.isfinite(values)
        if known.mean() < TELLS or np.ptp(values[known]) == 0 or known.sum() < 3 * FEW:
            continue
        tree, folds = (
            DecisionTreeRegressor(min_samples_leaf=FEW, random_state=0),
            KFold(3, shuffle=True, random_state=0),
        )
        for goal, column in zip(names, labels[known].T, strict=True):
            told = cross_val_predict(tree, values[known, None], column, cv=folds)
            share = 1 - float(np.square(column - told).sum() / max(np.square(column - column.mean()).sum(), 1e-300))
            if share >= TELLS:
                yield Check(
                    f"leak by {name}", "caution",
                    f"{name[:1].upper()}{name[1:]} alone tells {100 * share:.0f} % of the variance of {goal!r}: a "
                    "source may score well by it and fail on other data. Make it alike in all samples, or drop it.",
                )  # fmt: skip


def _metadata(found: list[Mapping[str, float]], labels: NDArray[np.int64], of: str = "the class") -> Iterator[Check]:
    """A size, length or number that tells the class: what is learned may be that."""
    for name in found[0]:
        values = np.array([numbers[name] for numbers in found])
        known = np.isfinite(values)
        if known.mean() < TELLS or np.ptp(values[known]) == 0 or len(np.unique(labels[known])) < 2:
            continue
        share = _tells(values[known], labels[known])
        usual = np.bincount(labels[known]).max() / known.sum()
        if share >= TELLS and share > usual + 0.1:
            yield Check(
                f"leak by {name}", "veto" if name == "a number in the text" else "caution",
                f"{name[:1].upper()}{name[1:]} alone tells {of} of {100 * share:.0f} % of samples (always "
                f"naming the largest: {100 * usual:.0f} %): a source may score well by it and fail on other data. "
                "Make it alike in all classes, or leave it out.",
            )  # fmt: skip


def _numbers_of(sample: object) -> Mapping[str, float]:
    if isinstance(sample, str):
        number = re.search(r"\d+", sample)
        return {"a number in the text": float(number[0][:15]) if number else np.nan}
    if isinstance(sample, Waveform):
        channels, frames = sample.samples.shape
        return {"the length": frames / sample.rate, "the sample rate": sample.rate, "the number of channels": channels}
    width, height = getattr(sample, "size", (0, 0))
    return {"the width": width, "the height": height, "the shape": width / max(height, 1)}


def _tells(values: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Share of held-out samples whose class a small tree on one number tells."""
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.tree import DecisionTreeClassifier

    if np.bincount(labels)[np.unique(labels)].min() < 3:
        return 0.0
    tree = DecisionTreeClassifier(max_leaf_nodes=2 * len(np.unique(labels)), min_samples_leaf=2, random_state=0)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    return float(cross_val_score(tree, values[:, None], labels, cv=folds).mean())


def _words(texts: list[str], labels: NDArray[np.int64], classes: list[str]) -> Iterator[Check]:
    """A word of its own in nearly every text of each class; classes with too few texts cannot tell."""
    sizes = {label: n for label, n in Counter(labels.tolist()).items() if n >= FEW}
    if len(sizes) < 2:
        return
    seen: dict[str, Counter[int]] = defaultdict(Counter)
    for text, label in zip(texts, labels.tolist(), strict=True):
        if label in sizes:
            for word in set(text.lower().split()):
                seen[word][label] += 1
    telling: dict[int, str] = {}
    for word, counts in sorted(seen.items(), key=lambda pair: not _is_label(pair[0], classes)):
        label, n = counts.most_common(1)[0]
        if n >= WRITTEN * sizes[label] and n >= WRITTEN * counts.total():
            telling.setdefault(label, word)
    if len(telling) < len(sizes) - 1:
        return
    named = ", ".join(f"{word!r} in {classes[label]}" for label, word in sorted(telling.items())[:3])
    if all(_is_label(word, classes) for word in telling.values()):
        text = f"One word tells the class in nearly every text ({named}): any source scores well by it. Remove it."
        yield Check("label in the text", "veto", text)
    else:
        yield Check(
            "a word tells the class", "caution",
            f"One word tells the class in nearly every text ({named}). If it is there by how the texts were gathered, "
            "remove it; if classes truly differ by it, a word list does as well as any source.",
        )  # fmt: skip


def _is_label(word: str, classes: list[str]) -> bool:
    return bool(MARKED.search(word)) or word in {name.lower() for name in classes}
