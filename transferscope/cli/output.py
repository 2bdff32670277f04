"""What commands do with a result: save it, print it, leave with the right exit code."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import typer

from ..results import Evaluation, Ranking, Result, dump_result, load_result


def command_line() -> str:
    return shlex.join(["transferscope", *sys.argv[1:]])


def load(path: Path, kind: type[Ranking]) -> Ranking:
    from ..errors import ResultError

    result = load_result(path)
    if not isinstance(result, kind):
        article = "an" if result.kind[0] in "aeiou" else "a"
        raise ResultError(f"{path} holds {article} {result.kind}; expected a {kind.__name__.lower()}.")
    return result


def finish(result: Result, out: Path, as_json: bool) -> None:
    """Save, print, and leave with 1 if a source failed."""
    result.to_json(out)
    if as_json:
        print(dump_result(result))
    else:
        from ..report.drawn import print_file
        from ..report.terminal import print_result

        print_result(result)
        print_file("saved: ", out)
    failures = () if isinstance(result, Evaluation) else result.failures
    raise typer.Exit(1 if failures else 0)


def print_json(data: Any) -> None:
    from pydantic_core import to_json

    print(to_json(data, indent=1).decode())
