"""Everything a report says as one JSON document, and the schema that it keeps to.

``transferscope report --schema`` prints the schema; `report.schema.json` beside this file is a copy of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from ..results import Advised, Agreement, Evaluation, Ranking, SplitCard, TargetCard, Truth
from .answer import answer
from .study import Study
from .verdict import decide

VERSION = 1  # of the document; it grows when a field changes its meaning or goes
SCHEMA_ID = f"urn:transferscope:report:{VERSION}"


@dataclass(frozen=True)
class StudyDocument:
    """One target: what is said of it, then the results that say so."""

    target: TargetCard
    split: SplitCard
    headline: str
    vetoes: tuple[str, ...]  # sentences; while there are any, the order means nothing
    answer: Mapping[str, tuple[str, ...]]  # by question, as on the first screen
    findings: tuple[str, ...]
    leader: str | None  # the first source of the ranking
    tied: tuple[str, ...]  # sources that noise does not tell from it
    beats_controls: bool | None  # None: not known
    ranking: Ranking | None
    truths: tuple[Truth, ...]
    advised: tuple[Advised, ...]
    agreements: tuple[Agreement, ...]


@dataclass(frozen=True)
class Document:
    """The whole report."""

    studies: tuple[StudyDocument, ...]
    evaluations: tuple[Evaluation, ...]
    kind: Literal["report"] = "report"
    version: Literal[1] = 1


def document(studies: Iterable[Study], evaluations: Iterable[Evaluation]) -> str:
    """The JSON text."""
    from pydantic import TypeAdapter

    made = Document(tuple(_study(study) for study in studies), tuple(evaluations))
    return TypeAdapter(Document).dump_json(made, indent=1).decode() + "\n"


def _study(study: Study) -> StudyDocument:
    verdict = decide(study.ranking, study.confirmed, study.controls)
    found = answer(study, verdict)
    return StudyDocument(
        target=study.target,
        split=study.split,
        headline=verdict.headline,
        vetoes=found.vetoes,
        answer=dict(found.rows),
        findings=verdict.details,
        leader=verdict.leader.source if verdict.leader else None,
        tied=verdict.tied,
        beats_controls=verdict.adds,
        ranking=study.ranking,
        truths=study.truths,
        advised=study.advised,
        agreements=study.agreements,
    )


def published(kind: type, identifier: str) -> str:
    """The JSON Schema of a document as it is published."""
    import json

    from pydantic import TypeAdapter

    found = TypeAdapter(kind).json_schema(mode="serialization")
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": identifier, **found}
    return json.dumps(whole, indent=1, sort_keys=True) + "\n"


def schema_text() -> str:
    """The schema of the whole report."""
    return published(Document, SCHEMA_ID)
