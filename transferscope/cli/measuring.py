"""`transferscope score` and `transferscope similarity`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import JsonOption, ScorersOption, SeedOption
from .output import print_json


def score(
    features: Annotated[Path, typer.Option(help=".npz or .safetensors with features and labels.")],
    scorer: ScorersOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every scorer that the task and the arrays allow, slow ones too.")
    ] = False,
    task: Annotated[
        Literal["classification", "multilabel", "regression"], typer.Option(help="What the labels are.")
    ] = "classification",
    standard_errors: Annotated[
        Literal["cheap", "all", "none"], typer.Option(help="cheap: where nearly free; all: by scoring ten times more.")
    ] = "cheap",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Score features that were extracted elsewhere.

    The file holds features and labels, and perhaps source_probs, source_logits, label_embeddings, reference_features.
    """
    from ..errors import TransferScopeError
    from ..report.terminal import print_scores
    from ..scorers.read import read_features
    from ..scorers.score import DEFAULT_SCORERS, applicable
    from ..scorers.score import score as score_features
    from .drawing import DrawnProgress

    if scorer and everything:
        raise TransferScopeError("--all and --scorer were both given; give one: --all is every scorer that applies.")
    data = read_features(features)
    given = data.given()
    if not scorer and not everything:
        head = ["source_probs"] * ("source_logits" in given)
        names = [spec.name for spec in applicable(task, ["features", "labels", *given, *head])]
        scorer = [name for name in DEFAULT_SCORERS if name in names]
    with DrawnProgress() as progress:
        scores = score_features(
            data.features, data.labels, scorer or None, task=task, seed=seed, standard_errors=standard_errors,
            progress=progress, **given,
        )  # fmt: skip
    if as_json:
        print_json(scores)
    else:
        print_scores(scores)


def similarity(
    features: Annotated[
        list[Path] | None, typer.Option(help="Two files as for `score`: the same rows, or source and target.")
    ] = None,
    measure: Annotated[str, typer.Option(help="A name from `transferscope measures`.")] = "cka_linear",
    target: Annotated[str | None, typer.Option("--target", "-t", help="Samples on which layers are compared.")] = None,
    source: Annotated[list[str] | None, typer.Option("--source", "-s", help="Two sources, for --target.")] = None,
    max_samples: Annotated[int | None, typer.Option(min=10, help="With --target: of a sample of this size.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two files of features, or with --target every layer of one source with every layer of another."""
    from ..errors import ScoreError

    if target:
        _compare_layers(target, source or [], max_samples, as_json)
        return
    from ..scorers.read import read_features
    from ..similarity import MEASURES

    if not features or len(features) != 2:
        raise ScoreError(f"similarity got {len(features or [])} --features; expected exactly 2 files, or --target.")
    spec = MEASURES[measure]
    first, second = (read_features(path, need_labels=spec.needs_labels) for path in features)
    if spec.needs_labels:
        value = spec.fn(first.features, first.labels, second.features, second.labels)
    else:
        value = spec.fn(first.features, second.features)
    if as_json:
        print_json({"measure": measure, "value": value, "higher_is_closer": spec.higher_is_closer})
    else:
        print(f"{measure} = {value:.6g} ({'higher' if spec.higher_is_closer else 'lower'} is closer)")


def _compare_layers(target: str, sources: list[str], max_samples: int | None, as_json: bool) -> None:
    """Every layer of the first source beside those of the second."""
    from ..ranking.layers import compare_layers
    from ..report.terminal import print_layers
    from .drawing import DrawnProgress

    with DrawnProgress() as progress:
        found = compare_layers(target, sources, max_samples=max_samples, progress=progress)
    print_json(found) if as_json else print_layers(found)
