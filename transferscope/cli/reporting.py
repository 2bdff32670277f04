"""`transferscope report`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..results import Ranking
from .options import check_out
from .output import load

Format = StrEnum("Format", ["html", "md", "yaml", "json", "csv"])


def report(
    results: Annotated[list[Path] | None, typer.Argument(help="Saved rankings, truths and evaluations.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where it goes; default: report, and what the format is called.")
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(help="html; md: a summary for a pull request; yaml: a model-selection card; json: all; csv."),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="OLD NEW: what changed between two rankings of one target.")
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the schema of --format json, with --compare that of changes.")
    ] = False,
    open_it: Annotated[bool, typer.Option("--open", help="Show it when it is made.")] = False,
) -> None:
    """Write one self-contained file from saved results."""
    from ..errors import ResultError
    from ..report.compare import compare as find_changes
    from ..report.compare import print_changes
    from ..report.drawn import print_file
    from ..report.publish import SUFFIXES
    from ..report.publish import report as write_report

    if schema:
        print(_schema(compare), end="")
        return
    results = results or []
    path = check_out(out or Path(("changes" if compare else "report") + SUFFIXES[format or "html"]))
    if not compare:
        made = write_report(results, out=path, format=format)
    elif len(results) != 2:
        raise ResultError(f"--compare takes two rankings, OLD and NEW; found {len(results)}.")
    else:
        found = find_changes(*(load(path, Ranking) for path in results))
        print_changes(found)
        if out is None and not open_it and format is None:
            return
        made = found.write(path, format)
    print_file("", made)
    if open_it:
        typer.launch(made.resolve().as_uri())


def _schema(compare: bool) -> str:
    from ..report.compare import schema_text as of_changes
    from ..report.document import schema_text as of_report

    return of_changes() if compare else of_report()
