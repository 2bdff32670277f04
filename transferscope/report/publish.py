"""`report`: saved results as a page, a summary, a card or data; nothing is scored or loaded here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..errors import ResultError
from ..results import Evaluation, Result
from ..storage import write_atomically
from .card import cards
from .document import document
from .html import page
from .markdown import markdown
from .sheet import sheet
from .study import Study, gather

SUFFIXES = {"html": ".html", "md": ".md", "yaml": ".yaml", "json": ".json", "csv": ".csv"}
_BY_SUFFIX = {suffix: name for name, suffix in SUFFIXES.items()} | {".yml": "yaml", ".htm": "html", ".markdown": "md"}


def report(
    results: Result | str | Path | Iterable[Result | str | Path],
    out: str | Path = "report.html",
    format: str | None = None,
) -> Path:
    """Write rankings, truths and evaluations, of one target or of many, as one file.

    The HTML page needs no network; a script of its own sorts and filters, and without it nothing is missing. The same
    results give the same bytes.

    Parameters
    ----------
    results : Ranking, Truth, Evaluation, path to their JSON, or an iterable of these
    out : str or Path, default="report.html"
    format : {"html", "md", "yaml", "json", "csv"}, optional
        A page; a summary for a pull request; a model-selection card; everything; a row per candidate. By default what
        the name of `out` ends with, and HTML where it has no ending.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    ResultError
        If there is nothing to report, a file is no saved result, the format or the ending of `out` is unknown, or it
        cannot be written.
    """
    made = format or format_of(out)
    if made not in SUFFIXES:
        raise ResultError(f"format {made!r} is unknown; expected one of {', '.join(SUFFIXES)}.")
    studies, evaluations = gather(results)
    return write(_text(made, studies, evaluations), out)


def format_of(out: str | Path) -> str:
    """The format that a file's name asks for; a page where it has no ending.

    Raises
    ------
    ResultError
        If the ending is of no format here.
    """
    suffix = Path(out).suffix.lower()
    if suffix and suffix not in _BY_SUFFIX:
        known = ", ".join(_BY_SUFFIX)
        raise ResultError(f"{out}: no report ends in {suffix}; expected one of {known}, or say which by --format.")
    return _BY_SUFFIX.get(suffix, "html")


def write(text: str, out: str | Path) -> Path:
    """Write a report; what cannot be encoded is a lone half of a character, in a name from elsewhere."""
    try:
        return write_atomically(Path(out), text.encode(errors="replace"))
    except OSError as error:
        raise ResultError(f"{out}: the report cannot be written ({error.strerror}); choose another --out.") from None


def _text(made: str, studies: list[Study], evaluations: list[Evaluation]) -> str:
    if made == "md":
        return markdown(studies, evaluations)
    if made == "yaml":
        return cards(studies)
    if made == "json":
        return document(studies, evaluations)
    return sheet(studies) if made == "csv" else page(studies, evaluations)
