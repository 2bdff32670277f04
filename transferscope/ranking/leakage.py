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
            yield from _label(numbers, column, name)
        return
    yield from _metadata(numbers, labels)
    if target.modality == "text":
        yield from _words(samples, labels, [str(name) for name in target.classes])


def _measured(found: list[Mapping[str, float]], labels: NDArray[np.float64], names: Sequence[Any]) -> Iterator[Check]:
    """A size or length that tells a number to predict."""
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.tree import DecisionTreeRegressor

    tree = DecisionTreeRegressor(min_samples_leaf=FEW, random_state=0)
    folds = KFold(3, shuffle=True, random_state=0)
    for name, values, known in _varied(found):
        if len(values) < 3 * FEW:
            continue
        for goal, column in zip(names, labels[known].T, strict=True):
            told = cross_val_predict(tree, values[:, None], column, cv=folds)
            share = 1 - float(np.square(column - told).sum() / max(np.square(column - column.mean()).sum(), 1e-300))
            if share >= TELLS:
                yield Check(
                    f"leak by {name}", "caution",
                    f"{name[:1].upper()}{name[1:]} alone tells {100 * share:.0f} % of the variance of {goal!r}: a "
                    "source may score well by it and fail on other data. Make it alike in all samples, or drop it.",
                )  # fmt: skip


def _label(found: list[Mapping[str, float]], labels: NDArray[np.int64], label: Any) -> Iterator[Check]:
    """What tells one label of several, which most samples may lack: both kinds of sample count the same."""
    for name, values, known in _varied(found):
        counts = np.bincount(labels[known], minlength=2)
        share = _tells(values, labels[known], balanced=True) if counts.min() >= FEW else 0.0
        if share >= TELLS:
            yield _leak(name, f"label {label!r}", f"{100 * share:.0f} % of samples, with it and without on average")


def _metadata(found: list[Mapping[str, float]], labels: NDArray[np.int64]) -> Iterator[Check]:
    """A size, length or number that tells the class: what is learned may be that."""
    for name, values, known in _varied(found):
        share, usual = _tells(values, labels[known]), np.bincount(labels[known]).max() / known.sum()
        if share >= TELLS and share > usual + 0.1:
            much = f"{100 * share:.0f} % of samples (always naming the largest: {100 * usual:.0f} %)"
            yield _leak(name, "the class", much)


def _varied(found: list[Mapping[str, float]]) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.bool_]]]:
    """Each number that most samples have and that varies: its values, and which samples have it."""
    for name in found[0]:
        values = np.array([numbers[name] for numbers in found])
        known = np.isfinite(values)
        if known.mean() >= TELLS and np.ptp(values[known]) > 0:
            yield name, values[known], known


def _leak(name: str, told: str, of: str) -> Check:
    return Check(
        f"leak by {name}", "veto" if name == "a number in the text" else "caution",
        f"{name[:1].upper()}{name[1:]} alone tells {told} of {of}: a source may score well by it and fail on other "
        "data. Make it alike in all classes, or leave it out.",
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


def _tells(values: NDArray[np.float64], labels: NDArray[np.int64], *, balanced: bool = False) -> float:
    """Share of held-out samples whose class a small tree on one number tells; if balanced, the mean over classes."""
    from sklearn.model_selection import StratifiedKFold
    from sklearn.tree import DecisionTreeClassifier

    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < 3:
        return 0.0
    tree = DecisionTreeClassifier(
        max_leaf_nodes=2 * len(classes), min_samples_leaf=2, random_state=0,
        class_weight="balanced" if balanced else None,
    )  # fmt: skip
    told = np.empty_like(labels)
    for train, held in StratifiedKFold(3, shuffle=True, random_state=0).split(values, labels):
        told[held] = tree.fit(values[train, None], labels[train]).predict(values[held, None])
    right = told == labels
    return float(np.mean([right[labels == code].mean() for code in classes]) if balanced else right.mean())


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
