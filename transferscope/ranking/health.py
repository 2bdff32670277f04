"""Health checks: what makes the numbers doubtful, or the order meaningless, and what to do about it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptSampleError
from ..results import Candidate
from ..stamp import version_differences
from ..targets import Split, Target, Waveform
from ..trust import Check
from .paired import scored

FEW = 5  # training samples of a class below which every estimate is rough
UNEVEN = 10  # times the smallest class
SAMPLED = 500  # rows whose size, length or words are read
TELLS = 0.9  # share of held-out samples whose class such a number tells
WRITTEN = 0.97  # share of samples whose class a word tells by itself
CONTRADICTED = 0.2  # share of samples that stand under another class too
NEAR = 1e-3  # of the usual distance to a neighbour: what is nearer is the same sample twice
COMPARED = 2000  # rows compared with each other, in blocks
BLOCK = 256


def check_target(target: Target, split: Split) -> tuple[Check, ...]:
    """What the data tell by themselves: class sizes, groups, copies, and numbers or words that give the label away."""
    return tuple(
        check
        for find in (_sizes, _groups, _copies, _contradictions, _metadata, _words)
        for check in find(target, split)
    )


def _sizes(target: Target, split: Split) -> Iterator[Check]:
    counts = np.bincount(target.labels[split.train])
    if counts.min() < FEW:
        text = (
            f"A class has only {counts.min()} training samples; every estimate is rough. Label more of it, or drop it."
        )
        yield Check("few samples", "caution", text)
    if counts.max() > UNEVEN * counts.min():
        yield Check(
            "class imbalance", "caution",
            f"Class sizes range from {counts.min()} to {counts.max()}: accuracies favour the large classes (always "
            f"naming the largest gives {counts.max() / counts.sum():.2f}).",
        )  # fmt: skip


def _groups(target: Target, split: Split) -> Iterator[Check]:
    if split.grouped:
        yield Check(
            "groups", "caution",
            "Samples come in groups: leave-one-out scores see the rest of a sample's own group, so they promise more "
            "than accuracy on new groups, which confirmation measures.",
        )  # fmt: skip


def _copies(target: Target, split: Split) -> Iterator[Check]:
    """The same content in training and held-out rows."""
    trained = {target.digests[row] for row in split.train}
    held = [*split.validation, *split.test]
    n_copies = sum(target.digests[row] in trained for row in held)
    if n_copies:
        yield Check(
            "copies across splits", "caution",
            f"{n_copies} of {len(held)} held-out samples are copies of training samples: confirmed accuracies are too "
            "good by as much as those are learned by heart. Remove copies, or give them one group.",
        )  # fmt: skip


def _contradictions(target: Target, split: Split) -> Iterator[Check]:
    """The same content under several classes."""
    labels: dict[bytes, set[int]] = defaultdict(set)
    rows = np.concatenate([split.train, split.validation, split.test])
    for row in rows:
        labels[target.digests[row]].add(int(target.labels[row]))
    n_rows = sum(len(labels[target.digests[row]]) > 1 for row in rows)
    if n_rows:
        much = n_rows >= CONTRADICTED * len(rows)
        yield Check(
            "copies across classes", "veto" if much else "caution",
            f"{n_rows} of {len(rows)} samples stand under more than one class with the same content: no source can "
            "tell "
            "them apart. Mend the labels, or keep one of each.",
        )  # fmt: skip


def _metadata(target: Target, split: Split) -> Iterator[Check]:
    """A size, length or number that tells the class: what is learned may be that."""
    rows = _some(split)
    columns = _numbers(target, rows)
    labels = target.labels[rows]
    for name, values in columns.items():
        known = np.isfinite(values)
        if known.mean() < TELLS or np.ptp(values[known]) == 0:
            continue
        share = _tells(values[known], labels[known])
        usual = np.bincount(labels[known]).max() / known.sum()
        if share >= TELLS and share > usual + 0.1:
            yield Check(
                f"leak by {name}", "veto" if name == "a number in the text" else "caution",
                f"{name[:1].upper()}{name[1:]} alone tells the class of {100 * share:.0f} % of samples (always "
                "naming the "
                f"largest: {100 * usual:.0f} %): a source may score well by it and fail on other data. Make it alike "
                "in "
                "all classes, or leave it out.",
            )  # fmt: skip


def _some(split: Split) -> NDArray[np.int64]:
    """Training rows to look at, spread over all."""
    return split.train[np.linspace(0, len(split.train) - 1, min(SAMPLED, len(split.train))).astype(int)]


def _numbers(target: Target, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """What can be read of samples without looking at their content."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        try:
            sample = target.samples[int(row)]
        except CorruptSampleError:
            continue
        for name, value in _numbers_of(sample).items():
            found[name].append(value)
    lengths = {len(values) for values in found.values()}
    return {name: np.array(values) for name, values in found.items()} if lengths == {len(rows)} else {}


def _numbers_of(sample: object) -> Mapping[str, float]:
    import re

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


def _words(target: Target, split: Split) -> Iterator[Check]:
    """A word of its own in nearly every text of each class."""
    if target.modality != "text":
        return
    rows = _some(split)
    labels = target.labels[rows]
    seen: dict[str, Counter[int]] = defaultdict(Counter)
    sizes = Counter(labels.tolist())
    for row, label in zip(rows, labels.tolist(), strict=True):
        for word in set(target.samples[int(row)].lower().split()):
            seen[word][label] += 1
    if min(sizes.values()) < FEW:
        return
    telling: dict[int, str] = {}
    for word, counts in seen.items():
        label, n = counts.most_common(1)[0]
        if n >= WRITTEN * sizes[label] and n >= WRITTEN * counts.total():
            telling.setdefault(label, word)
    if len(telling) >= len(sizes) - 1:
        named = ", ".join(f"{word!r} in {target.classes[label]}" for label, word in sorted(telling.items())[:3])
        yield Check(
            "label in the text", "veto",
            f"One word tells the class in nearly every text ({named}): any source scores well by it. Remove it.",
        )  # fmt: skip


def check_candidates(
    candidates: Sequence[Candidate],
    matrices: Mapping[str, NDArray[np.float64]],
    labels: Mapping[str, NDArray[np.int64]],
    versions: Mapping[str, Sequence[Mapping[str, str]]],
    by: str,
) -> tuple[Check, ...]:
    """What features and scores tell: broken or constant layers, saturation, width, near-copies, mixed versions.

    Parameters
    ----------
    candidates : sequence of Candidate
    matrices, labels : mapping of source to ndarray
        The best features of each source, and the classes of their rows.
    versions : mapping of source to versions
        That made its features.
    by : str
        The scorer that ranks.
    """
    best = [c for c in candidates if c.is_best_layer and not c.dropped]
    found = [*_layers(candidates), *_saturated(best, by), *_wide(best), *_mixed(versions), *_no_transfer(best, by)]
    for name, matrix in matrices.items():
        found += _near_copies(name, matrix, labels[name])
    return tuple(found)


def _layers(candidates: Sequence[Candidate]) -> Iterator[Check]:
    broken: dict[str, list[str]] = defaultdict(list)
    constant: dict[str, list[str]] = defaultdict(list)
    for c in candidates:
        if any(score.error and "finite" in score.error for score in c.scores.values()):
            broken[c.source].append(c.layer)
        elif any("All rows of features are equal" in text for score in c.scores.values() for text in score.warnings):
            constant[c.source].append(c.layer)
    kinds: tuple[tuple[str, Mapping[str, list[str]], str], ...] = (
        ("layers that are not finite", broken, "NaN or infinite features: such a layer is not ranked"),
        ("constant layers", constant, "The same features for every sample: such a layer ranks nothing"),
    )
    for name, layers, text in kinds:
        for source, names in layers.items():
            listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            yield Check(
                name, "caution", f"{text} ({source}: {listed}). Try it in float32, or with another input.", (source,)
            )


def _saturated(best: Sequence[Candidate], by: str) -> Iterator[Check]:
    ranked = [c.scores[by] for c in best if by in c.scores and c.control is None]
    if ranked and all(score.saturated for score in ranked):
        yield Check(
            "saturated scores", "veto",
            f"{by} is at its bound for every source, whatever the labels: it ranks nothing here. Rank by ridge_loo, "
            "lda_loo or logme_cv, which leave samples out, or add samples.",
        )  # fmt: skip
    bounds = [score.value for score in ranked if score.value is not None]
    if len(bounds) > 1 and len(set(bounds)) == 1 and not any(score.saturated for score in ranked):
        yield Check(
            "equal scores",
            "caution",
            f"Every source has the same {by} ({bounds[0]:.3f}): it does not tell them apart.",
        )


def _wide(best: Sequence[Candidate]) -> Iterator[Check]:
    wide = [
        c for c in best if c.control is None and c.scores and next(iter(c.scores.values())).n_samples < c.n_features
    ]
    if wide:
        n = next(iter(wide[0].scores.values())).n_samples
        yield Check(
            "fewer samples than features", "caution",
            f"{len(wide)} source(s) have more features than the {n} samples: scores fitted to the samples they are "
            "measured on flatter them. Read ridge_loo, lda_loo and logme_cv, which leave samples out.",
            tuple(c.source for c in wide),
        )  # fmt: skip


def _mixed(versions: Mapping[str, Sequence[Mapping[str, str]]]) -> Iterator[Check]:
    for source, made in versions.items():
        if text := version_differences(made):
            yield Check(
                "mixed versions", "caution",
                f"Cached features of {source} were made by {text}: values may differ between samples. Delete the "
                "cache "
                "to compute them anew.", (source,),
            )  # fmt: skip


def _no_transfer(best: Sequence[Candidate], by: str) -> Iterator[Check]:
    """Nothing ranked is above the raw input."""
    raw = next((score for c in best if c.control == "raw" and (score := scored(c, by))), None)
    sources = [score for c in best if c.control is None and (score := scored(c, by))]
    if raw is None or raw.value is None or len(sources) < 2:
        return
    sign = 1.0 if raw.higher_is_better else -1.0
    if all(sign * (score.value or 0.0) <= sign * raw.value for score in sources):
        yield Check(
            "nothing above the raw input", "caution",
            f"No source has a higher {by} than the raw input ({raw.value:.3f}): what is ranked here is not transfer. "
            "Look for sources of the target's own modality, or for another way to convert.",
        )  # fmt: skip


def _near_copies(name: str, matrix: NDArray[np.float64], labels: NDArray[np.int64]) -> Iterator[Check]:
    """Rows of different classes that are nearer than any two samples usually are."""
    rows = np.linspace(0, len(matrix) - 1, min(COMPARED, len(matrix))).astype(int)
    values = matrix[rows].astype(np.float64)
    values -= values.mean(axis=0)
    squares = np.square(values).sum(axis=1)
    nearest, across = np.full(len(rows), np.inf), np.full(len(rows), np.inf)
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        gaps = squares[block, None] - 2 * values[block] @ values.T + squares
        gaps[np.arange(len(gaps)), np.arange(start, start + len(gaps))] = np.inf
        nearest[block] = gaps.min(axis=1)
        gaps[labels[rows[block], None] == labels[rows]] = np.inf
        across[block] = gaps.min(axis=1)
    usual = float(np.median(np.maximum(nearest, 0.0)))
    floor = 1e-10 * float(squares.mean())  # rounding of the differences
    if usual <= floor:
        return
    n_near = int((across < max(NEAR**2 * usual, floor)).sum())
    if n_near:
        yield Check(
            "near-copies across classes", "caution",
            f"{n_near} of {len(rows)} samples lie on a sample of another class in the features of {name}: copies "
            "under "
            "two labels, or what tells them apart is lost on the way in.", (name,),
        )  # fmt: skip
