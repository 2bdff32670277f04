"""`transferscope evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..results import Evaluation, Ranking, Truth, load_result
from .options import JsonOption, OutOption, SeedOption
from .output import command_line, finish


def evaluate(
    results: Annotated[
        list[Path] | None, typer.Argument(help="Saved rankings and truths, of one target or of many.")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(help="In their place: a CSV with target, source and a column per scorer.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="A CSV with target, source and accuracy; may be the same.")
    ] = None,
    k: Annotated[list[int] | None, typer.Option("--k", min=1, help="Of regret and recall at k (repeat).")] = None,
    per_target: Annotated[bool, typer.Option("--per-target", help="Print every target, not the means alone.")] = False,
    seed: SeedOption = 0,
    out: OutOption = Path("evaluation.json"),
    as_json: JsonOption = False,
) -> None:
    """Do scores agree with measured accuracy?"""
    from ..errors import ResultError
    from ..evaluate.agreement import evaluate as measure_agreement
    from ..report.orders import print_targets

    if bool(results) == bool(scores or truth):
        raise ResultError("give either saved results, or --scores and --truth; expected one of the two.")
    ks = tuple(k or (1, 3, 5))
    if scores or truth:
        evaluation = _of_tables(scores or truth, truth or scores, ks, seed)
    else:
        loaded = [load_result(path) for path in results or []]
        rankings = [result for result in loaded if isinstance(result, Ranking)]
        truths = [result for result in loaded if isinstance(result, Truth)]
        evaluation = measure_agreement(rankings, truths, k=ks, seed=seed, command=command_line())
    if per_target and not as_json:
        print_targets(evaluation)
    finish(evaluation, out, as_json)


def _of_tables(scores: Path | None, truth: Path | None, k: tuple[int, ...], seed: int) -> Evaluation:
    """One file may be both."""
    from ..evaluate.read import merge, read_table
    from ..evaluate.tables import evaluate_table
    from ..scorers.registry import SCORERS

    assert scores is not None
    assert truth is not None
    lower = [spec.name for spec in SCORERS.values() if not spec.higher_is_better]
    table = read_table(scores, lower_is_better=lower)
    if truth != scores:
        table = merge(table, read_table(truth))
    return evaluate_table(table, k=k, seed=seed, command=command_line())
