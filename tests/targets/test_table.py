"""CSV, TSV and JSON Lines: every way a table can be wrong, with the line it is wrong in."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from transferscope.errors import CorruptSampleError, TargetError, TransferScopeError, UnknownNameError
from transferscope.targets import Target, load_target

QUERY = "?text=text&label=label"
GOOD = "text,label\na,x\nb,x\nc,y\nd,y\n"


def load(folder: Path, content: str | bytes, scheme: str = "csv", query: str = QUERY) -> Target:
    path = folder / f"table.{scheme}"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_target(f"{scheme}:{path}{query}")


def lines(*records: object) -> str:
    return "\n".join(map(json.dumps, records))


def labelled(*labels: object) -> str:
    return lines(*({"text": f"t{row}", "label": label, "more": [1]} for row, label in enumerate(labels)))


def test_csv(tmp_path: Path) -> None:
    target = load(tmp_path, '\ufefftext,n,label\r\n"a\r\n""b""",1,x\r\n\r\nb,2,y\r\n☃,3,x\r\nd,4,y')
    assert [target.samples[row] for row in range(4)] == ['a\r\n"b"', "b", "☃", "d"]
    assert target.classes == ("x", "y")
    assert target.labels.tolist() == [0, 1, 0, 1]
    assert [target.samples.describe(row).split()[-1] for row in range(4)] == ["2", "5", "6", "7"]


def test_tsv_has_no_quotes(tmp_path: Path) -> None:
    target = load(tmp_path, 'text\tlabel\n"d\tx\nsay "hi"\tx\nc, d\ty\nd\ty\n', "tsv")
    assert [target.samples[row] for row in range(3)] == ['"d', 'say "hi"', "c, d"]


def test_jsonl_labels_keep_their_type(tmp_path: Path) -> None:
    assert load(tmp_path, labelled(1, 1, 2, 2), "jsonl").classes == (1, 2)
    assert load(tmp_path, labelled(True, True, False, False), "jsonl").classes == (False, True)
    assert load(tmp_path, labelled(0.5, 0.5, 2, 2), "jsonl").classes == (0.5, 2)
    assert load(tmp_path, labelled("1", "1", 1, 1), "jsonl").classes == (1, "1")
    assert load(tmp_path, "\n\n" + labelled("a", "a", "b", "b"), "jsonl").samples.describe(0).endswith("line 3")


def test_groups(tmp_path: Path) -> None:
    target = load(tmp_path, "text,label,who\na,x,1\nb,x,2\nc,y,2\nd,y,1\n", query=QUERY + "&group=who")
    assert target.groups is not None
    assert target.groups.tolist() == [0, 1, 1, 0]


def test_long_texts_are_read_and_the_limit_of_the_csv_module_is_put_back(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    assert len(load(tmp_path, GOOD.replace("a,x", "a" * 300_000 + ",x")).samples[0]) == 300_000
    assert csv.field_size_limit() == before


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip), min_size=2, max_size=5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_texts_come_back_as_they_were_written(tmp_path: Path, texts: list[str]) -> None:
    path = tmp_path / "t.csv"
    with open(path, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("text", "label"), *((text, label) for label in "xy" for text in texts)])
    target = load_target(f"csv:{path}{QUERY}")
    assert [target.samples[row] for row in range(len(target))] == texts * 2
    (tmp_path / "t.jsonl").write_text(lines(*({"text": t, "label": label} for label in "xy" for t in texts)))
    same = load_target(f"jsonl:{tmp_path}/t.jsonl{QUERY}")
    assert same.content_sha256 == target.content_sha256


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty; expected a header line and rows"),
        ("text,label\n", "no samples found"),
        ("text,label\na,x\nb\n", "line 3 has 1 fields, the header has 2; quote fields"),
        ("text,label\na,x\nb,c,y\n", "line 3 has 3 fields, the header has 2"),
        ('text,label\n"a,x\nb,y\n', r"line 3 cannot be parsed \(unexpected end of data\)"),
        ('text,label\n"a"b,x\n', "line 2 cannot be parsed"),
        ("text,label\na,x\n ,x\n,y\n", r"column 'text' is empty in 2 row\(s\) \(line 3, 4\)"),
        ("text,label\n" + "a,\n" * 7, r"column 'label' is empty in 7 row\(s\) \(line 2, 3, 4, 5, 6 \.\.\.\)"),
        ("text,text,label\na,b,x\n", "2 columns are named 'text'; rename all but one"),
        ("text,label\na,x\ncafé,x\n".encode("latin-1"), "line 3 is not UTF-8; save the file as UTF-8"),
        (GOOD.encode("utf-16"), "line 1 is not UTF-8"),
    ],
)
def test_bad_csv_is_refused_with_its_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        load(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no samples found"),
        (lines({"text": "a", "label": 1}) + "\n\n{bad", "line 3 is not JSON"),
        ("[" * 100_000, "line 1 is not JSON"),
        ("[1]", "line 1 holds a list; expected one JSON object a line"),
        (lines({"text": "a", "label": 1}, {"text": "a"}), r"column 'label' is empty in 1 row\(s\) \(line 2\)"),
        (labelled(None, 1, 2, 2), r"column 'label' is empty in 1 row\(s\) \(line 1\)"),
        (labelled(1, float("nan"), 2, 2), "line 2 has no label"),
        (labelled(1, [1], 2, 2), "line 2 has a label of type list"),
        (labelled(True, True, 2, 2), "labels mix True/False with numbers"),
        (lines({"text": 5, "label": 1}), r"column 'text' is no string in 1 row\(s\) \(line 1\). Write it in quotes"),
    ],
)
def test_bad_jsonl_is_refused_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        load(tmp_path, content, "jsonl")


def test_unknown_columns_are_named_with_those_found(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"named 'text'. Did you mean 'tekst'\? Known: label, tekst"):
        load(tmp_path, "tekst,label\na,x\n")
    with pytest.raises(UnknownNameError, match="Known: text;label"):
        load(tmp_path, "text;label\na;x\n")
    with pytest.raises(UnknownNameError, match="Did you mean 'txt'"):
        load(tmp_path, lines({"txt": "a", "label": 1}), "jsonl")


@pytest.mark.parametrize(
    "query", ["", "?text=text", "?label=label", "?text=text&image=text&label=label", "?text=&label=label"]
)
def test_missing_options_are_told_with_an_example(tmp_path: Path, query: str) -> None:
    with pytest.raises(TargetError, match=r"exactly one of text=COLUMN, .* such as csv:.*\?text=review&label=stars"):
        load(tmp_path, GOOD, query=query)


def test_unknown_option_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TransferScopeError, match="no option of csv: named 'labels'. Did you mean 'label'"):
        load(tmp_path, GOOD, query="?text=text&labels=label")
    with pytest.raises(TargetError, match=r"nope.csv: cannot be read \(No such file or directory\)"):
        load_target(f"csv:{tmp_path}/nope.csv{QUERY}")
    with pytest.raises(TargetError, match=r"cannot be read \(Is a directory\)"):
        load_target(f"csv:{tmp_path}{QUERY}")


def test_half_a_surrogate_pair_is_a_corrupt_sample(tmp_path: Path) -> None:
    content = '{"text": "\\ud83d", "label": "x"}\n' + labelled("x", "y", "y")
    target = load(tmp_path, content, "jsonl")
    assert len(target.digests) == 4
    with pytest.raises(CorruptSampleError, match="line 1: cannot be read .it holds half a surrogate pair"):
        target.samples[0]


def test_columns_of_paths(tmp_path: Path) -> None:
    for name in "abcd":
        Image.new("L", (3, 2)).save(tmp_path / f"{name}.png")
    target = load(
        tmp_path, f"p,label\na.png,x\n{tmp_path}/b.png,x\nc.png,y\n./d.png,y\n", query="?image=p&label=label"
    )
    assert target.modality == "image"
    assert [target.samples[row].size for row in range(4)] == [(3, 2)] * 4
    sounds = load(tmp_path, "p,label\na.png,x\nb.png,x\nc.png,y\nd.png,y\n", query="?audio=p&label=label")
    with pytest.raises(CorruptSampleError, match="a.png: cannot be read .Format not recognised"):
        sounds.samples[0]
    with pytest.raises(TargetError, match=r"column 'p' names no file in 1 row\(s\) \(line 3\). The first is .*e.png"):
        load(tmp_path, "p,label\na.png,x\ne.png,x\n", query="?image=p&label=label")
