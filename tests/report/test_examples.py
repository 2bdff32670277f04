"""Samples as the sources get to see them: what stands on the page, and what does not."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import transferscope as ts
from transferscope.examples import Look, Picture
from transferscope.report.html import LARGEST
from transferscope.results import Ranking, TargetCard, load_result


@pytest.fixture
def shown(ranking: Ranking, make: SimpleNamespace) -> Ranking:
    return replace(ranking, examples=make.examples("a", "b", "c", "d"))


def text_of(html: str) -> str:
    return " ".join(re.sub("<[^>]*>", "", html).replace("&nbsp;", " ").replace("\u00a0", " ").split())


def test_every_sample_stands_beside_what_the_sources_are_given(shown: Ranking, tmp_path: Path) -> None:
    html = ts.report(shown, out=tmp_path / "r.html").read_text()
    part = html[html.index("What the sources get to see") : html.index("Adapter paths")]
    assert part.count('<figure class="look">') == 3 * 4  # as it is, and three sources
    assert part.count("<img") == 1 + 3
    assert part.count("<svg") == 1 + 3
    alt = "Sample 12, class cat, as given to a: 2 × 2 pixelsnaïve 🙂; 25.0\u00a0% of the picture cropped away; resized"
    assert f'alt="{alt}"' in part
    assert 'aria-label="Sample 13, class dog, as it is: 1.00 s at 16 kHz"' in part
    assert "<mark>[UNK]&nbsp;?</mark> <del>naïve 🙂</del> <small>… 7 more cut off</small> <i>[SEP]</i>" in part
    text = text_of(part)
    assert "… 90 more letters" in text
    assert "4 of 6 tokens; 50.0 % of the tokens unknown to the tokenizer" in text
    assert "Not shown for d: no font has its letters naïve 🙂" in text
    assert "3 more sources of the ranking get yet other inputs" in text
    assert "transferscope rank --no-examples keeps them out." in text
    assert part.count("<details") == part.count("</details>") == 3
    assert part.count('<details class="sample" open>') == 1


def test_tiny_pictures_are_enlarged_alike(shown: Ranking, tmp_path: Path) -> None:
    assert shown.examples is not None
    data = base64.b64encode(b"any").decode()
    for width, height, shows in (
        (2, 2, 'width="160" height="160" class="tiny"'),
        (28, 14, 'width="160" height="80" class="tiny"'),
        (120, 60, 'width="160" height="80">'),
        (1, 999, 'width="1" height="999">'),
        (300, 20, 'width="300" height="20">'),
    ):
        look = Look("", Picture(data, width, height, "webp"))
        examples = replace(shown.examples, examples=(replace(shown.examples.examples[0], look=look),))
        html = ts.report(replace(shown, examples=examples), out=tmp_path / "r.html").read_text()
        assert f'src="data:image/webp;base64,{data}" {shows}' in html


def test_without_examples_there_is_no_such_section(ranking: Ranking, tmp_path: Path) -> None:
    assert ranking.examples is None
    html = ts.report(ranking, out=tmp_path / "r.html").read_text()
    assert "What the sources get to see" not in html
    assert "<img" not in html


def test_the_same_bytes_from_a_saved_ranking(shown: Ranking, tmp_path: Path) -> None:
    path = shown.to_json(tmp_path / "r.json")
    assert load_result(path) == shown
    assert (
        ts.report(path, out=tmp_path / "a.html").read_bytes() == ts.report(shown, out=tmp_path / "b.html").read_bytes()
    )


def test_samples_are_left_out_before_the_page_is_too_large(
    shown: Ranking, make: SimpleNamespace, tmp_path: Path
) -> None:
    heavy = make.examples(*"abcdefghi", picture="A" * 60_000)
    card: TargetCard = shown.target
    many = [replace(shown, examples=heavy, target=replace(card, content_sha256=f"{k:064}")) for k in range(4)]
    path = ts.report(many, out=tmp_path / "r.html")
    html = path.read_text()
    assert LARGEST / 2 < path.stat().st_size <= LARGEST
    assert "Some samples are left out to keep this file small" in html
    assert html.count("What the sources get to see") == 4
    assert 4 <= html.count('<details class="sample"') < 12


def test_a_pictures_data_cannot_leave_its_attribute(ranking: Ranking, make: SimpleNamespace, tmp_path: Path) -> None:
    harm = '"><script>alert(1)</script>'
    html = ts.report(
        replace(ranking, examples=make.examples(*"ab", text=harm, picture=harm)), out=tmp_path / "r.html"
    ).read_text()
    assert html.count("<script") == 1
    assert 'src="data:image/png;base64,&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;" width="160"' in html
