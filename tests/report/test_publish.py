"""The same results as a summary, a card, a document and a sheet; and two rankings beside each other."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import TypeAdapter
from typer.testing import CliRunner

import transferscope as ts
from transferscope.cli.app import app
from transferscope.errors import ResultError
from transferscope.report import document
from transferscope.report.compare import compare
from transferscope.report.markdown import escaped
from transferscope.report.publish import SUFFIXES
from transferscope.results import Evaluation, Ranking, Truth, save_result
from transferscope.trust import Check, Standing

SCHEMA = Path(document.__file__).with_name("report.schema.json")
CHANGES_SCHEMA = SCHEMA.with_name("changes.schema.json")


def assert_valid(value: Any, schema: dict[str, Any], whole: dict[str, Any], where: str = "") -> None:
    """As much of JSON Schema as is used here; what is not known fails, and so does a field that is not published."""
    strange = set(schema) - {
        "type", "properties", "required", "additionalProperties", "items", "anyOf", "$ref", "const", "enum", "default",
        "title", "$defs", "$schema", "$id", "description", "prefixItems", "minItems", "maxItems",
    }  # fmt: skip
    assert not strange, (where, strange)
    if "$ref" in schema:
        return assert_valid(value, whole["$defs"][schema["$ref"].removeprefix("#/$defs/")], whole, where)
    if "anyOf" in schema:
        for option in schema["anyOf"]:
            with contextlib.suppress(AssertionError):
                return assert_valid(value, option, whole, where)
        raise AssertionError(where)
    assert value in schema.get("enum", [value]), where
    assert schema.get("const", value) == value, where
    kinds = {
        "object": dict, "array": list, "string": str, "number": (int, float), "integer": int, "boolean": bool,
        "null": type(None),
    }  # fmt: skip
    if kind := schema.get("type"):
        assert isinstance(value, kinds[kind]), where
        assert isinstance(value, bool) == (kind == "boolean"), where
    if kind == "object":
        assert set(schema.get("required", ())) <= set(value), where
        known, rest = schema.get("properties", {}), schema.get("additionalProperties", not schema.get("properties"))
        for key, item in value.items():
            assert key in known or rest is not False, f"{where}.{key}"
            assert_valid(item, known.get(key, rest if isinstance(rest, dict) else {}), whole, f"{where}.{key}")
    if kind == "array":
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)), where
        first = schema.get("prefixItems", [])
        for place, (item, own) in enumerate(
            zip_longest(value, first[: len(value)], fillvalue=schema.get("items", {}))
        ):
            assert_valid(item, own, whole, f"{where}[{place}]")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(app, ["report", *map(str, args)])


@pytest.mark.parametrize("format", SUFFIXES)
def test_every_format_is_the_same_bytes_twice(
    format: str, ranking: Ranking, truth: Truth, evaluation: Evaluation, tmp_path: Path
) -> None:
    results = [ranking, truth, evaluation]
    first = ts.report(results, out=tmp_path / "a", format=format).read_bytes()
    named = ts.report(results, out=tmp_path / f"b{SUFFIXES[format]}").read_bytes()
    assert first == named
    assert first


def test_an_unknown_format_is_refused(ranking: Ranking, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="format 'pdf' is unknown; expected one of html, md"):
        ts.report(ranking, out=tmp_path / "r", format="pdf")


def test_an_ending_of_no_format_is_refused_unless_the_format_is_said(
    ranking: Ranking, tmp_path: Path, run: Any
) -> None:
    says = r"r\.docx: no report ends in \.docx; expected one of \.html, \.md, \.yaml, \.json, \.csv, .* by --format"
    with pytest.raises(ResultError, match=says):
        ts.report(ranking, out=tmp_path / "r.docx")
    path = save_result(ranking, tmp_path / "r.json")
    for args in ([path], ["--compare", path, path]):
        assert "no report ends in .docx" in str(run(*args, "-o", "r.docx").exception)
    assert list(tmp_path.iterdir()) == [path]
    assert run(path, "-o", "r.docx", "--format", "md").exit_code == 0
    assert (tmp_path / "r.docx").read_text().startswith("# Which")
    for name in ("R.HTM", "plain"):
        assert ts.report(ranking, out=tmp_path / name).read_text().startswith("<!doctype html>")


def test_the_summary(ranking: Ranking, truth: Truth, tmp_path: Path, make: SimpleNamespace) -> None:
    text = ts.report([ranking, truth], out=tmp_path / "r.md").read_text()
    assert text.startswith("# Which pretrained model to start from\n\n## imagefolder:photos/train\n\n**timm:resnet18")
    assert "- **Transfer it by:** Full fine-tuning, the new head at layer blocks.3" in text
    assert f"| 1. {make.sources[0]} _(best)_ | 0.860\u00a0±\u00a00.020 |" in text
    assert "- failed: hf:someone/else: no network: put the model in a folder" in text


def test_the_summary_has_what_was_measured_whatever_the_measure(truth: Truth, tmp_path: Path) -> None:
    rows = tuple(replace(row, metric="R²") for row in truth.confirmed)
    numbers = replace(truth, target=replace(truth.target, task="regression"), confirmed=rows)
    text = ts.report(numbers, out=tmp_path / "r.md").read_text()
    assert "| Source | Strategy | Layer | R² | Test error | Time |" in text
    assert f"{100 * rows[0].accuracy:.1f}" in text.partition("### Confirmed")[2]


def test_names_are_no_markup_in_the_summary(hostile: Ranking, tmp_path: Path) -> None:
    text = ts.report(hostile, out=tmp_path / "r.md").read_text()
    assert "<" not in text
    assert not set("\x00\x1b\u202e") & set(text)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {rows[0].count("|")}
    assert escaped("a | b `c` *d* _e_ f_g [h](http://i) @j\n# k") == (
        "a \\| b \\`c\\` \\*d\\* \\_e\\_ f_g \\[h\\](http\\://i) &#64;j \\# k"
    )
    assert [escaped(text) for text in ("- a", "1. a", "1.5 a")] == ["\\- a", "1\\. a", "1.5 a"]


def test_the_card_is_yaml_that_says_what_was_selected(ranking: Ranking, truth: Truth, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    [card] = yaml.safe_load_all(ts.report([ranking, truth], out=tmp_path / "r.yaml").read_text())
    assert card["selected"]["source"] == "timm:resnet18.a1_in1k"
    assert card["selected"]["weights_sha256"] == "ef" * 32
    assert card["transfer"] | {"accuracy": 0.93, "strategy": "full", "learning_rates": [0.001]} == card["transfer"]
    assert card["cost"]["training_seconds"] == 21.7
    assert card["made_by"][0]["command"].startswith("transferscope rank")


def test_the_card_counts_what_the_target_asks_for(truth: Truth, tmp_path: Path) -> None:
    for task, name in (("classification", "classes"), ("multilabel", "labels"), ("regression", "numbers")):
        text = ts.report(replace(truth, target=replace(truth.target, task=task)), out=tmp_path / "r.yaml").read_text()
        assert f"\n  {name}: {len(truth.target.classes)}\n" in text


def test_hostile_names_are_strings_in_the_card(hostile: Ranking, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    [card] = yaml.safe_load_all(ts.report(hostile, out=tmp_path / "r.yaml").read_text())
    assert card["selected"]["source"] == next(c.source for c in hostile.best() if not c.control)
    assert card["target"]["name"] == hostile.target.name


def test_the_document_keeps_to_the_published_schema(
    ranking: Ranking, truth: Truth, evaluation: Evaluation, tmp_path: Path, run: Any
) -> None:
    text = ts.report([ranking, truth, evaluation], out=tmp_path / "r.json").read_text()
    back = TypeAdapter(document.Document).validate_json(text)
    assert (back.studies[0].ranking, back.studies[0].truths, back.evaluations) == (ranking, (truth,), (evaluation,))
    assert back.studies[0].answer["Use"] == ("timm:resnet18.a1_in1k.",)
    found = json.loads(text)
    published = json.loads(SCHEMA.read_text())
    assert published["$id"].endswith(f":{found['version']}")
    assert_valid(found, published, published)
    assert set(published["properties"]) == set(found)
    assert set(published["$defs"]["StudyDocument"]["properties"]) == set(found["studies"][0])
    made = run("--schema")
    assert made.stdout == SCHEMA.read_text(), "transferscope report --schema > transferscope/report/report.schema.json"


def test_the_sheet_has_a_row_per_candidate(ranking: Ranking, truth: Truth, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(ts.report([ranking, truth], out=tmp_path / "r.csv").read_text())))
    assert len(rows) == len(ranking.candidates)
    assert rows[0] | {"place": "1", "ridge_loo": "0.86", "accuracy full": "0.93", "path": "image->image"} == rows[0]
    assert [float(row["accuracy linear_probe"]) for row in rows if row["accuracy linear_probe"]] != []


def test_a_spreadsheet_runs_no_name(make: SimpleNamespace, tmp_path: Path) -> None:
    ranking = make.ranking([make.entrant('=HYPERLINK("x")', [(-0.8, 0.01)])], None)
    [row] = csv.DictReader(io.StringIO(ts.report(ranking, out=tmp_path / "r.csv").read_text()))
    assert row["source"] == '\'=HYPERLINK("x")'
    assert row["ridge_loo"] == "-0.8"


def stood(ranking: Ranking, held: str) -> Ranking:
    names = [c.source for c in ranking.best() if not c.control]
    standings = tuple(Standing(s, 0.0, 0.1, (1, 2), 0.9 if s == held else 0.05, s == held, None) for s in names)
    return replace(ranking, standings=standings)


def test_what_changed(make: SimpleNamespace, tmp_path: Path, run: Any) -> None:
    entrants = [make.entrant(name, [(value, 0.01)]) for name, value in (("a", 0.9), ("b", 0.8), ("gone", 0.5))]
    old = stood(make.ranking(entrants, checks=(Check("few samples", "caution", "Few."),)), "a")
    entrants = [make.entrant(name, [(value, 0.01)]) for name, value in (("a", 0.7), ("b", 0.81), ("new", 0.3))]
    new = stood(make.ranking(entrants, checks=(Check("duplicates", "veto", "Twice there."),)), "b")
    found = compare(old, new)
    assert found.headline == "b is first now; it was a."
    said = [text.replace("\u00a0", " ").replace("\u2212", "-") for text in found.sentences]
    assert said == [
        "New: new.", "Gone: gone.", "Places: b 2 to 1 and a 1 to 2.", "Scores beyond noise: a -0.200.",
        "The best set was a; it is b (90 %).", "New veto: Twice there.", "No longer: few samples (caution).",
    ]  # fmt: skip
    paths = [save_result(r, tmp_path / f"{name}.json") for name, r in (("old", old), ("new", new))]
    made = run("--compare", *paths)
    assert made.exit_code == 0
    assert made.stdout.startswith("b is first now; it was a.")
    assert not (tmp_path / "changes.html").exists()
    for name in ("c.html", "c.md", "c.json"):
        assert run("--compare", *paths, "-o", name).exit_code == 0
        assert "b is first now" in (tmp_path / name).read_text()


def test_changes_keep_to_the_published_schema(ranking: Ranking, make: SimpleNamespace, run: Any) -> None:
    entrants = [make.entrant(name, [(value, 0.01)]) for name, value in (("a", 0.7), ("new", None))]
    published = json.loads(CHANGES_SCHEMA.read_text())
    for old in (ranking, make.ranking(entrants)):
        found = json.loads(compare(old, ranking).write("c.json").read_text())
        assert_valid(found, published, published)
        assert published["$id"].endswith(f":{found['kind']}:{found['version']}")
        for broken in ({"version": 2}, {"sentences": "one"}, {"moves": [{"source": "a"}]}, {"strange": 1}):
            with pytest.raises(AssertionError):
                assert_valid(found | broken, published, published)
    made = run("--schema", "--compare")
    assert made.stdout == CHANGES_SCHEMA.read_text(), (
        "transferscope report --schema --compare > .../changes.schema.json"
    )


def test_nothing_changed(ranking: Ranking) -> None:
    assert compare(ranking, ranking).sentences == (
        "No source in both changed its place.", "No score changed beyond noise.",
    )  # fmt: skip


def test_only_two_rankings_of_one_target_compare(
    ranking: Ranking, truth: Truth, make: SimpleNamespace, run: Any
) -> None:
    other = replace(ranking, target=make.target("csv:other", content_sha256="1" * 64))
    with pytest.raises(ResultError, match="different targets"):
        compare(ranking, other)
    paths = [save_result(ranking, Path("r.json")), save_result(truth, Path("t.json"))]
    for args, says in (
        (paths[:1], "found 1"),
        (paths, "holds a truth"),
        ([paths[0]] * 2 + ["-o", "c.csv", "--format", "csv"], "found format 'csv'"),
    ):
        made = run("--compare", *args)
        assert says in str(made.exception)


def test_it_is_opened_when_asked_for(
    ranking: Ranking, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)
    made = run(save_result(ranking, tmp_path / "r.json"), "--open")
    assert made.exit_code == 0
    assert opened == [(tmp_path / "report.html").as_uri()]
