"""The page as a person reads it and as a browser parses it."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

import transferscope as ts
from transferscope.errors import ResultError
from transferscope.report.html import LARGEST
from transferscope.results import Evaluation, Ranking, Truth, save_result
from transferscope.scorers import SCORERS

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Checks that tags balance, and keeps what tests ask for."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"style", "script"} & set(self.open):
            return
        data = data.replace("\u00a0", " ").replace("\u202f", " ").replace("\u2212", "-")
        self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def headings(self) -> list[str]:
        return [tag for tag, _ in self.tags if re.fullmatch("h[1-6]", tag)]

    def cells(self, start: str) -> list[str]:
        """The first row whose head starts with `start`, spaces evened out."""
        row = next(row for row in self.rows if row and row[0].strip().startswith(start))
        return [" ".join(cell.split()) for cell in row]


def page(tmp_path: Path, *results: object) -> Page:
    return Page(ts.report(results, out=tmp_path / "r.html").read_text())


def test_verdict_comes_first_and_everything_has_its_place(
    ranking: Ranking, truth: Truth, evaluation: Evaluation, tmp_path: Path
) -> None:
    found = page(tmp_path, ranking, truth, evaluation)
    order = [
        "is among the best sources by ridge_loo (0.860 ± 0.020), and beats its controls beyond noise.",
        "500 images, 3 classes of 150 to 180. Split: 300 to score and train, 100 to validate, 100 to test.",
        "Failed", "no network: put the model in a folder", "full: out of memory",
        "Warnings", "2 unreadable samples were left out.", "photos/train/cat/9.png : truncated",
        "Best layer of each source, best first by ridge_loo", "All layers, from input to output",
        "Pictures", "Most alike:", "Weighted Kendall τ 0.83 [0.53, 1.00] over 6 sources.",
        "Adapter paths", "He et al., CVPR 2016", "pixels cropped: 3 522 355 of 15 052 800 pixels (23.4 %)",
        "Confirmed by training", "Agreement", "Source cards", "Distance from the sources' own data",
        "Data and environment", "transferscope rank -t imagefolder:photos", "rank 93.2 s",
        "transferscope confirm ranking.json", "How to read the numbers", "transferscope evaluate r.json t.json",
    ]  # fmt: skip
    at = 0
    for text in order:
        assert text in found.text[at:], f"{text!r} is missing or out of order"
        at = found.text.index(text, at) + 1


def test_ranking_table(ranking: Ranking, tmp_path: Path, make: SimpleNamespace) -> None:
    found = page(tmp_path, ranking)
    first, second, _ = make.sources
    assert found.cells("Source") == [
        "Source", "ridge_loo↑ higher is better", "Layer", "Adapter path", "Timeextraction", "Parameters",
        "FLOPsper sample", "Licence",
    ]  # fmt: skip
    assert found.cells("1") == [
        f"1 {first} best", "0.860 ± 0.020", "blocks.2", "image", "12.3 s", "11.7 M", "3.63 G", "Apache-2.0",
    ]  # fmt: skip
    every = [" ".join(cell.split()) for row in found.rows for cell in row if len(row) == 5]
    at = every.index("rank_distance↓ lower is better")
    assert every[at - 4 : at] == [
        "Source", "ridge_loo↑ higher is better", "logme↑ higher is better", "h_score↑ higher is better",
    ]  # fmt: skip
    assert every[at + 1 : at + 6] == [f"1 {first}", "0.860 ± 0.020", "-0.180 ± 0.031", "1.430", "0.140 ± 0.012"]
    assert found.cells(f"2 {second}".replace(" ", "  "))[0] == f"2 {second} tied"
    assert found.cells(f"2 {second}".replace(" ", "  "))[-1] == "not stated"
    assert found.cells(f"{first}?weights=random")[0] == f"{first}?weights=random random twin"
    assert found.cells("raw:image")[0] == "raw:image raw input"
    assert found.cells("raw:image")[-3:] == ["0", "–", "none needed"]
    assert found.cells("4")[1:3] == ["–", "blocks.0"]
    controls = [attrs for tag, attrs in found.tags if tag == "tr" and attrs.get("class") == "control"]
    assert len(controls) >= 4


def test_scores_that_failed_say_why(ranking: Ranking, tmp_path: Path) -> None:
    assert "ridge_loo: features are constant (timm:flat)" in page(tmp_path, ranking).text
    assert "h_score: fewer samples than features (7 sources)" in page(tmp_path, ranking).text


def test_confirmation_table(ranking: Ranking, truth: Truth, tmp_path: Path, make: SimpleNamespace) -> None:
    found = page(tmp_path, truth, ranking)
    rows = [[" ".join(cell.split()) for cell in row] for row in found.rows if len(row) == 11]
    confirmed = [row for row in rows if row[1] in ("full", "linear_probe")]
    assert [row[3] for row in confirmed] == [
        "93.0 ± 0.6 %",
        "88.0 ± 0.6 %",
        "86.0 ± 0.6 %",
        "70.0 %",
        "56.0 ± 0.6 %",
        "51.0 ± 0.6 %",
    ]
    assert confirmed[0] == [
        f"1 {make.sources[0]}", "full", "blocks.3", "93.0 ± 0.6 %", "2.6 %", "100", "2", "0.0001, 0.001", "0.001",
        "94.0 %", "21.7 s",
    ]  # fmt: skip
    assert confirmed[1][7:9] == ["none", "none"]
    assert confirmed[-1][0].endswith("control")


def test_without_an_evaluation_the_reader_is_told_how_to_get_one(
    ranking: Ranking, truth: Truth, tmp_path: Path
) -> None:
    assert "run transferscope evaluate" in page(tmp_path, ranking, truth).text


def test_agreement_and_its_holes(ranking: Ranking, evaluation: Evaluation, tmp_path: Path) -> None:
    found = page(tmp_path, ranking, evaluation)
    assert "0.61 [0.31, 0.81]" in found.text
    assert found.cells("n_parameters") == [
        "n_parameters", "linear_probe", "6", "–", "–", "–", "–", "1.2 [0.0, 5.0]", "the order is constant",
    ]  # fmt: skip
    alone = page(tmp_path, evaluation)
    assert "imagefolder:photos/train" in alone.cells("n_parameters")
    assert "Do scores agree with measured accuracy?" in alone.text


def test_empty_sections_are_omitted(make: SimpleNamespace, tmp_path: Path) -> None:
    found = page(tmp_path, make.ranking([make.entrant("a", [(0.8, 0.01)])], None))
    for heading in ("Failed", "Warnings", "Confirmed", "Agreement", "All layers", "Similarity", "Distance"):
        assert heading not in found.text
    assert "a is the only source scored (ridge_loo 0.800)" in found.text


def test_only_training(truth: Truth, tmp_path: Path) -> None:
    found = page(tmp_path, truth)
    assert "Best confirmed by training" in found.text
    assert "Ranking" not in found.text


def test_several_targets_have_an_overview(
    ranking: Ranking, truth: Truth, make: SimpleNamespace, tmp_path: Path
) -> None:
    other = replace(
        make.ranking([make.entrant("b", [(0.5, 0.05)], (0.5, 0.05))]),
        target=make.target("package:names-swahili", modality="text", content_sha256="99" * 32),
    )
    found = page(tmp_path, ranking, other, truth)
    links = [attrs["href"] for tag, attrs in found.tags if tag == "a"]
    assert links == ["#t1", "#t2"]
    assert found.text.count("No source adds anything measurable here") == 2  # in the overview and in the section
    assert found.text.count("Confirmed by training") == 1
    assert "500 texts" in found.text


def test_markup_is_sound(
    ranking: Ranking, truth: Truth, evaluation: Evaluation, large_ranking: Ranking, tmp_path: Path
) -> None:
    large = replace(large_ranking, target=replace(large_ranking.target, content_sha256="55" * 32))
    found = page(tmp_path, ranking, truth, evaluation, large)
    levels = [int(tag[1]) for tag in found.headings()]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    identifiers = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(identifiers) == len(set(identifiers))
    for tag, attrs in found.tags:
        if tag == "th":
            assert attrs["scope"] in ("col", "row", "rowgroup")
        if tag == "svg":
            assert attrs["role"] == "img"
            assert attrs["aria-label"]
        for name in ("href", "clip-path", "aria-labelledby"):
            for target in re.findall(r"#([\w-]+)", attrs.get(name) or ""):
                assert target in identifiers
    tables = sum(tag == "table" for tag, _ in found.tags)
    assert tables == sum(tag == "caption" for tag, _ in found.tags)


def test_nothing_is_fetched_and_only_its_own_script_runs(ranking: Ranking, truth: Truth, tmp_path: Path) -> None:
    html = ts.report([ranking, truth], out=tmp_path / "r.html").read_text()
    found = Page(html)
    assert not {"link", "img", "iframe", "object", "image"} & {tag for tag, _ in found.tags}
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'\"" in html
    for _, attrs in found.tags:
        assert not [name for name in attrs if name.startswith("on")]
        for name in ("href", "src", "xlink:href", "style"):
            assert not re.search(r"https?:|//|data:", attrs.get(name) or "")
    assert "http://" not in html
    assert "https://" not in html
    assert "@import" not in html


def test_same_results_give_the_same_bytes(
    ranking: Ranking, truth: Truth, evaluation: Evaluation, tmp_path: Path
) -> None:
    first = ts.report([ranking, truth, evaluation], out=tmp_path / "a.html").read_bytes()
    paths = [save_result(r, tmp_path / f"{r.kind}.json") for r in (ranking, truth, evaluation)]
    assert ts.report([paths[0], str(paths[1]), evaluation], out=tmp_path / "b.html").read_bytes() == first
    assert ts.report([ranking, ranking, truth, evaluation], out=tmp_path / "c.html").read_bytes() == first


def test_a_single_result_needs_no_list(ranking: Ranking, tmp_path: Path) -> None:
    path = save_result(ranking, tmp_path / "r.json")
    one = ts.report(ranking, out=tmp_path / "a.html")
    assert one == tmp_path / "a.html"
    assert ts.report(path, out=tmp_path / "deep" / "b.html").read_bytes() == one.read_bytes()


def test_hostile_names_are_text_everywhere(make: SimpleNamespace, hostile: Ranking, tmp_path: Path) -> None:
    names = hostile.warnings
    truth = replace(make.truth(*(make.confirmed(name, names[0], 0.5) for name in names)), target=hostile.target)
    html = ts.report([hostile, truth], out=tmp_path / "r.html").read_text()
    found = Page(html)
    pictures = [attrs for tag, attrs in found.tags if tag == "img"]
    assert {(attrs["src"] or "")[:22] for attrs in pictures} == {"data:image/png;base64,"}
    assert {*map(tuple, pictures)} == {("alt", "src", "width", "height", "class")}
    assert [tag for tag, _ in found.tags].count("script") == 1
    assert [tag for tag, _ in found.tags].count("style") == 1
    assert not [attrs for _, attrs in found.tags for name in attrs if name.startswith("on")]
    for name in names[:6]:
        assert name in "".join(found.words)
    assert "49" not in found.text.replace("0.49", "")
    assert not set("\x00\x1b\u202e") & set(html)


def test_large_studies_stay_below_two_megabytes(large_ranking: Ranking, tmp_path: Path) -> None:
    one = ts.report(large_ranking, out=tmp_path / "one.html")
    assert one.stat().st_size < LARGEST / 2
    assert len(Page(one.read_text()).rows) > 40 * 12 * 2
    card = large_ranking.target
    many = [replace(large_ranking, target=replace(card, content_sha256=f"{k:064}")) for k in range(5)]
    path = ts.report(many, out=tmp_path / "many.html")
    assert path.stat().st_size <= LARGEST
    assert "Some pictures and tables are left out to keep this file small" in Page(path.read_text()).text


@pytest.mark.parametrize("n_targets", [1, 6])
def test_layers_that_are_left_out_are_told_of(large_ranking: Ranking, tmp_path: Path, n_targets: int) -> None:
    """Six such targets have more layers than a page can hold whatever else goes."""
    card = large_ranking.target
    many = [replace(large_ranking, target=replace(card, content_sha256=f"{k:064}")) for k in range(n_targets)]
    text = page(tmp_path, *many).text
    assert text.count("Tables of all layers are left out to keep this file small") == (
        n_targets if n_targets > 1 else 0
    )
    assert ("All layers, from input to output" in text) is (n_targets == 1)


def test_scorers_of_plug_ins_are_shown_without_a_description(ranking: Ranking, tmp_path: Path) -> None:
    text = page(tmp_path, ranking).text
    assert "rank_distance Lower is better. This scorer is not installed here" in text
    assert "logme How plausible the labels are if they depend linearly on the features" in text
    assert "Higher is better; range any real number" in text


def test_every_score_of_a_source_says_what_it_means_and_when_it_misleads(ranking: Ranking, tmp_path: Path) -> None:
    found = page(tmp_path, ranking)
    for name in ("logme", "h_score"):
        spec = SCORERS[name]
        rows = [row for row in found.rows if row[0].split() == [name]]
        assert len(rows) == 3  # of the three sources that have a value
        for row in rows:
            assert row[2:4] == ["higher", spec.meaning]
            assert row[4].startswith(spec.misleads[:-1])


@pytest.mark.parametrize(
    ("results", "says"),
    [([], "no results were given"), ([3], "found a int among the results"), (["none.json"], "not a saved result")],
)
def test_wrong_results(results: list[object], says: str, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=says):
        ts.report(results, out=tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


def test_unwritable_place(ranking: Ranking, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="choose another --out"):
        ts.report(ranking, out=tmp_path / "file" / "r.html")


def test_no_model_library_is_loaded(ranking: Ranking, truth: Truth, tmp_path: Path) -> None:
    code = """
import sys
import transferscope as ts
import transferscope.report
early = {"matplotlib", "jinja2", "rich"} & set(sys.modules)
assert not early, early
ts.report(sys.argv[1:3], out=sys.argv[3])
heavy = {"torch", "timm", "transformers", "sklearn", "matplotlib.pyplot"} & set(sys.modules)
assert not heavy, heavy
"""
    paths = [save_result(r, tmp_path / f"{r.kind}.json") for r in (ranking, truth)]
    subprocess.run([sys.executable, "-c", code, *map(str, paths), str(tmp_path / "r.html")], check=True)


def test_a_persons_own_matplotlib_settings_change_nothing(ranking: Ranking, tmp_path: Path) -> None:
    import matplotlib

    first = ts.report(ranking, out=tmp_path / "a.html").read_bytes()
    settings = {"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path", "axes.grid": True}
    before = {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}
    with matplotlib.rc_context(settings):
        assert ts.report(ranking, out=tmp_path / "b.html").read_bytes() == first
    assert {name: matplotlib.rcParams[name] for name in before} == before


def luminance(color: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_colours_contrast_in_light_and_dark() -> None:
    """Text reaches 4.5, lines and marks of pictures 3 (WCAG 2 AA)."""
    css = (files("transferscope.report") / "templates" / "style.css").read_text()
    themes = [
        dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6});", block)) for block in re.findall(r":root \{(.*?)\}", css, re.S)
    ]
    assert len(themes) == 3  # light, dark, print
    for theme in themes:
        needed = [(text, ground, 4.5) for text in ("--ink", "--dim", "--accent") for ground in ("--paper", "--ground")]
        needed += [("--ink", "--soft", 4.5), ("--ink", "--warn-soft", 4.5)]
        needed += [(f"--series-{k}", "--paper", 3) for k in range(1, 8)]
        for front, back, ratio in needed:
            low, high = sorted((luminance(theme[front]), luminance(theme[back])))
            assert (high + 0.05) / (low + 0.05) >= ratio, (front, back)
