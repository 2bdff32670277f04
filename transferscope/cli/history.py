"""`transferscope history`: what was scored and confirmed before."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import JsonOption, StoreOption
from .output import print_json

history_app = typer.Typer(help="What was scored and confirmed before: list, export, import.", rich_markup_mode=None)
TargetPart = Annotated[str | None, typer.Option("--target", help="Only targets with these letters in their name.")]
SourcePart = Annotated[str | None, typer.Option("--source", help="Only sources with these letters in their name.")]
ScoresOption = Annotated[bool, typer.Option("--scores", help="Scores in place of confirmed accuracies.")]


def _rows(store: str | None, scores: bool, target: str | None, source: str | None) -> list[dict[str, Any]]:
    from ..history.store import Store

    opened = Store.open(store)
    return (opened.scores if scores else opened.rows)(target=target, source=source)


@history_app.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    target: TargetPart = None,
    source: SourcePart = None,
    scores: ScoresOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what is known, newest last."""
    from ..errors import ResultError

    if context.invoked_subcommand and any((target, source, scores, store, as_json)):
        raise ResultError(f"give options after `history {context.invoked_subcommand}`, not before it.")
    if context.invoked_subcommand is None:
        list_rows(target, source, scores, store, as_json)


@history_app.command("list")
def list_rows(
    target: TargetPart = None,
    source: SourcePart = None,
    scores: ScoresOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what is known, newest last."""
    from ..report.history import print_history

    rows = _rows(store, scores, target, source)
    print_json(rows) if as_json else print_history(rows)


@history_app.command("export")
def export(
    out: Annotated[Path, typer.Argument(help="A .csv or .json file.")],
    target: TargetPart = None,
    source: SourcePart = None,
    scores: ScoresOption = False,
    store: StoreOption = None,
) -> None:
    """Write what is known to a file."""
    from ..errors import ResultError
    from ..storage import writable, write_atomically

    if out.suffix not in (".csv", ".json"):
        raise ResultError(f"{out}: the history is exported as .csv or .json; name the file so.")
    if not writable(out):
        raise ResultError(f"{out}: cannot be written; name a file in a folder of yours.")
    rows = _rows(store, scores, target, source)
    if out.suffix == ".json":
        write_atomically(out, json.dumps(rows, indent=1).encode())
    else:
        import io

        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]) if rows else ["target", "source", "accuracy"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(out, text.getvalue().encode())
    print(f"{len(rows)} rows: {out}")


@history_app.command("import")
def import_file(
    tables: Annotated[list[Path], typer.Argument(help="CSV with target, source, accuracy and perhaps scores.")],
    store: StoreOption = None,
) -> None:
    """Take in published tables of results."""
    from ..evaluate.read import read_table
    from ..history.store import Store
    from ..scorers.registry import SCORERS

    lower = [spec.name for spec in SCORERS.values() if not spec.higher_is_better]
    read = [read_table(path, lower_is_better=lower) for path in tables]
    opened = Store.open(store)
    for path, table in zip(tables, read, strict=True):
        new = opened.import_table(table, path.name)
        n_targets, n_sources = len(table.targets), len(table.sources)
        print(f"{path}: {n_targets} targets x {n_sources} sources{'' if new else ', which were there already'}")


@history_app.command("forget")
def forget(
    origin: Annotated[str, typer.Argument(help="The command or file name that `list --json` shows as its origin.")],
    store: StoreOption = None,
) -> None:
    """Remove what came from one command or file."""
    from ..errors import ResultError
    from ..history.store import Store

    gone = Store.open(store).forget(origin)
    if not gone:
        raise ResultError(
            f"nothing in the history came from {origin!r}; `transferscope history --json` names origins."
        )
    print(f"{gone} result(s) removed")
