"""Labels that leak: a size, a length, an id or a word that tells the class without a look at what is to be learned."""

from __future__ import annotations

import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptSampleError
from ..targets import Split, Target, Waveform
from ..targets.folder import FileSamples
from ..trust import Check

SAMPLED = 300  # rows that are looked at: the share that a number tells is then known to 3 points
TELLS = 0.5  # of what naming the largest class leaves to tell: by then a source can rank well without the content
CHANCE = 4.0  # standard errors above the largest class: a few rows and a dozen numbers reach 3 by luck
UNIQUE = 0.9  # share of distinct values from which a number is an id, not a measure
WRITTEN = 0.97  # share of texts: a template may miss a few
LUCKY = 1e-3  # chance that some word of the texts tells a class that well by luck alone
SEVERAL = 2  # samples of a class without which nothing is told by folds
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
EXIF_ORIENTATION = 0x0112
NUMBER = "a number in the text"
Numbers = dict[str, NDArray[np.float64]]


def find_leaks(target: Target, split: Split) -> Iterator[Check]:
    """What tells the class of training samples by itself. Row order is no leak, since splits are shuffled."""
    places = np.linspace(0, len(split.train) - 1, min(SAMPLED, len(split.train))).astype(int)
    rows = _readable(target, split.train[places])
    if target.modality == "text":
        texts = [target.samples[int(row)] for row in rows]
        yield from _words(texts, target.labels[rows], [str(name) for name in target.classes])
        yield from _metadata([{NUMBER: _first_number(text)} for text in texts], target.labels[rows])
    else:
        found = [(row, _facts(target, int(row))) for row in rows]
        known = [(row, facts) for row, facts in found if facts]
        yield from _metadata([facts for _, facts in known], target.labels[[row for row, _ in known]])


def _readable(target: Target, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Without texts that are none; of files, reading the header tells."""
    if target.modality != "text":
        return rows
    kept = []
    for row in rows:
        try:
            target.samples[int(row)]
        except CorruptSampleError:  # listed where features are made
            continue
        kept.append(row)
    return np.array(kept, dtype=np.int64)


def _facts(target: Target, row: int) -> Mapping[str, float]:
    """What is known of a picture or sound beside its content; nothing of one that cannot be read."""
    samples = target.samples
    try:
        if isinstance(samples, FileSamples):
            path = samples.paths[row]
            found = _of_picture_file(path) if target.modality == "image" else _of_sound_file(path)
            return {**found, "the file type": _code(os.path.splitext(path)[1].lower())}
        return _of_sample(samples[row])
    except (CorruptSampleError, OSError, RuntimeError, ValueError, SyntaxError):
        return {}  # what Pillow and libsndfile raise at damaged headers: extraction lists such samples with the reason


def _of_picture_file(path: str) -> dict[str, float]:
    """From the header alone: decoding hundreds of photographs would take longer than scoring them."""
    from PIL import Image

    with Image.open(path) as image:
        width, height = image.size
        if image.getexif().get(EXIF_ORIENTATION) in TURNED:
            width, height = height, width
        return {**_of_size(width, height), "the number of channels": len(image.getbands())}


def _of_sound_file(path: str) -> dict[str, float]:
    """From the header alone."""
    import soundfile

    found = soundfile.info(path)
    return _of_sound(found.frames, found.samplerate, found.channels)


def _of_sample(sample: object) -> dict[str, float]:
    if isinstance(sample, Waveform):
        channels, frames = sample.samples.shape
        return _of_sound(frames, sample.rate, channels)
    width, height = sample.size  # type: ignore[attr-defined]  # a PIL image
    return {**_of_size(width, height), "the number of channels": len(sample.getbands())}  # type: ignore[attr-defined]


def _of_size(width: int, height: int) -> dict[str, float]:
    return {"the width": width, "the height": height, "the shape": width / max(height, 1)}


def _of_sound(frames: int, rate: int, channels: int) -> dict[str, float]:
    return {"the length": frames / rate, "the sample rate": rate, "the number of channels": channels}


def _code(text: str) -> float:
    """A number for a short text, the same wherever it is computed."""
    return float(int.from_bytes(text.encode(errors="replace")[:6]))


def _first_number(text: str) -> float:
    number = re.search(r"\d{1,15}", text)
    return float(number[0]) if number else -1.0


def _metadata(facts: Sequence[Mapping[str, float]], labels: NDArray[np.int64]) -> Iterator[Check]:
    """The number that tells most; others that tell as much as they may are named beside it."""
    if not facts:
        return
    kept = np.isin(labels, np.flatnonzero(np.bincount(labels) > SEVERAL))
    labels = labels[kept]
    if len(np.unique(labels)) < 2:
        return
    columns = {name: np.array([one[name] for one in facts])[kept] for name in facts[0]}
    shares = {name: _told(values, labels) for name, values in columns.items() if np.ptp(values) > 0}
    usual = np.bincount(labels).max() / len(labels)
    least = max(usual + TELLS * (1 - usual), usual + CHANCE * math.sqrt(usual * (1 - usual) / len(labels)))
    telling = sorted((name for name in shares if shares[name] >= least), key=lambda name: -shares[name])
    if not telling:
        return
    first, *others = telling
    also = f" (so does {' and '.join(others)})" if others else ""
    is_id = first == NUMBER and len(np.unique(columns[first])) >= UNIQUE * len(labels)
    yield Check(
        f"leak by {first}", "veto" if is_id else "caution",
        f"{first[:1].upper()}{first[1:]} alone tells the class of {100 * shares[first]:.0f} % of samples{also}; always "
        f"naming the largest class, {100 * usual:.0f} %. A source may score well by it and fail on other data. Make "
        "it alike in all classes, or leave it out.",
    )  # fmt: skip


def _told(values: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Share of held-out samples whose class a small tree on one number tells."""
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.tree import DecisionTreeClassifier

    order = np.lexsort((labels, values))  # folds, and so the share, do not depend on the order of rows
    tree = DecisionTreeClassifier(max_leaf_nodes=2 * len(np.unique(labels)), min_samples_leaf=2, random_state=0)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    return float(cross_val_score(tree, values[order, None], labels[order], cv=folds).mean())


def _words(texts: Sequence[str], labels: NDArray[np.int64], classes: Sequence[str]) -> Iterator[Check]:
    """A word of its own in nearly every text of each class, but for one class that may be without."""
    split = [text.lower().split() for text in texts]
    seen: dict[str, Counter[int]] = defaultdict(Counter)
    for words, label in zip(split, labels.tolist(), strict=True):
        for word in {piece for word in words for piece in (word, *re.findall(r"[^\W\d_]+", word))}:
            seen[word][label] += 1
    sizes = Counter(labels.tolist())
    telling: dict[int, str] = {}
    for word in sorted(seen, key=lambda word: (-len(word), word)):
        label, n = seen[word].most_common(1)[0]
        rare = len(seen) < LUCKY * math.comb(len(texts), sizes[label])
        if rare and n >= WRITTEN * sizes[label] and n >= WRITTEN * seen[word].total():
            telling.setdefault(label, word)
    rest = [sizes[label] for label in sizes if label not in telling]
    if not telling or sum(rest) - max(rest, default=0) > (1 - WRITTEN) * len(texts):
        return
    named = ", ".join(f"{word!r} in {classes[label]}" for label, word in sorted(telling.items())[:3])
    # a word of the language itself, such as "the" in one of two languages, tells the class by what is to be learned
    added = all(
        classes[label].lower() in word or _in_one_place(word, [split[row] for row in np.flatnonzero(labels == label)])
        for label, word in telling.items()
    )
    if added:
        text = f"One word tells the class in nearly every text ({named}): any source scores well by it. Remove it."
    else:
        text = (
            f"One word tells the class in nearly every text ({named}). If it was not written by whoever wrote the "
            "texts, remove it; else a list of words does what a source is wanted for."
        )
    yield Check("label in the text", "veto" if added else "caution", text)


def _in_one_place(word: str, texts: Sequence[Sequence[str]]) -> bool:
    """Whether it stands at the same distance from the start, or from the end, of nearly every text."""
    starts: Counter[int] = Counter()
    ends: Counter[int] = Counter()
    for words in texts:
        held = [place for place, one in enumerate(words) if word in one]
        starts.update({place for place in held})
        ends.update({len(words) - place for place in held})
    return max([*starts.values(), *ends.values()], default=0) >= WRITTEN * len(texts)
