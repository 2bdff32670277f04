"""Health checks: what makes the numbers doubtful, or the order meaningless, and what to do about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..results import Candidate
from ..stamp import version_differences
from ..targets import Split, Target
from ..trust import Check
from .leakage import leaks
from .paired import scored

FEW = 5  # training samples of a class below which every estimate is rough
UNEVEN = 10  # times the smallest class
CONTRADICTED = 0.2  # share of samples that stand under another class too
NEAR = 1e-3  # of the usual distance to a neighbour: what is nearer is the same sample twice
COMPARED = 2000  # rows compared with each other, in blocks
BLOCK = 256
KINDS = {"classification": "class", "multilabel": "set of labels", "regression": "number"}


def check_target(target: Target, split: Split) -> tuple[Check, ...]:
    """What the data tell by themselves: class sizes, groups, copies, and numbers or words that give the label away."""
    return tuple(check for find in (_sizes, _groups, _copies, _contradictions, leaks) for check in find(target, split))


def _sizes(target: Target, split: Split) -> Iterator[Check]:
    if target.task == "regression":
        return
    if target.task == "multilabel":
        yield from _rare_labels(target, split)
        return
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


def _rare_labels(target: Target, split: Split) -> Iterator[Check]:
    """Labels that few samples have, or few lack."""
    labels = target.labels[split.train]
    fewest = np.minimum(labels.sum(axis=0), len(labels) - labels.sum(axis=0))
    rare = [f"{target.classes[k]!r} ({fewest[k]})" for k in np.argsort(fewest, kind="stable") if fewest[k] < FEW]
    if rare:
        listed = ", ".join(rare[:5]) + (f" and {len(rare) - 5} more" if len(rare) > 5 else "")
        text = f"Few training samples tell some labels from their absence: {listed}. Add samples, or drop the labels."
        yield Check("few samples", "caution", text)


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
    """The same content under several labels."""
    labels: dict[bytes, set[bytes]] = defaultdict(set)
    rows = np.concatenate([split.train, split.validation, split.test])
    for row in rows:
        labels[target.digests[row]].add(target.labels[row].tobytes())
    n_rows = sum(len(labels[target.digests[row]]) > 1 for row in rows)
    if n_rows:
        much = n_rows >= CONTRADICTED * len(rows)
        yield Check(
            "copies across classes", "veto" if much else "caution",
            f"{n_rows} of {len(rows)} samples stand under more than one {KINDS[target.task]} with the same content: "
            "no source can tell them apart. Mend the labels, or keep one of each.",
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
        The best features of each source, and the classes of their rows; no labels where there are no classes.
    versions : mapping of source to versions
        That made its features.
    by : str
        The scorer that ranks.
    """
    best = [c for c in candidates if c.is_best_layer and not c.dropped]
    found = [
        *_layers(candidates), *_lost(best), *_saturated(best, by), *_wide(best), *_mixed(versions),
        *_no_transfer(best, by),
    ]  # fmt: skip
    for name, known in labels.items():
        found += _near_copies(name, matrices[name], known)
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


def _lost(best: Sequence[Candidate]) -> Iterator[Check]:
    """What the ledger warns of: texts cut, time not heard, letters without a glyph."""
    lost: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for c in best:
        for loss in c.losses:
            if loss.warning and not c.control:
                lost[loss.name, loss.warning][c.source] = None
    for (name, warning), sources in lost.items():
        yield Check(f"lost: {name}", "caution", warning, tuple(sources))


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
    floor = 1e-10 * float(squares.mean())  # rounding of the differences
    apart = nearest[nearest > floor]  # rows with a copy in their own class say nothing of the usual distance
    usual = float(np.median(apart)) if len(apart) else 0.0
    n_near = int((across <= max(NEAR**2 * usual, floor)).sum()) if squares.mean() > 0 else 0
    if n_near:
        yield Check(
            "near-copies across classes", "caution",
            f"{n_near} of {len(rows)} samples lie on a sample of another class in the features of {name}: copies "
            "under two labels, or what tells them apart is lost on the way in.", (name,),
        )  # fmt: skip
