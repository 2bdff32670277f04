"""The command line as people run it: its exit code and what it prints.

Every outcome is seen once in a process of its own; the many kinds of wrong input share this one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from transferscope.cli import main
from transferscope.results import load_result

Run = Callable[..., subprocess.CompletedProcess[str]]


def run(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "transferscope", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=240)


def run_here(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The same in this process."""
    command = ["transferscope", *map(str, words)]
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", command)
        patch.chdir(cwd or Path.cwd())
        with pytest.raises(SystemExit) as left:
            main()
    return subprocess.CompletedProcess(command, int(left.value.code or 0), out.getvalue(), err.getvalue())


def refused(*words: str | Path, cwd: Path, says: str, run: Run = run_here) -> None:
    """One clear line, exit code 2, nothing on stdout, no traceback, nothing written."""
    before = sorted(p.name for p in cwd.iterdir())
    done = run(*words, cwd=cwd)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert sorted(p.name for p in cwd.iterdir()) == before


def test_help_answers_within_half_a_second() -> None:
    times = []
    for _ in range(3):
        started = time.perf_counter()
        done = run("--help")
        times.append(time.perf_counter() - started)
        assert done.returncode == 0
    assert "rank" in done.stdout
    assert min(times) < 0.5


def test_the_whole_road(picture_folder: Path, tiny_models: str, tmp_path: Path) -> None:
    target, names = f"imagefolder:{picture_folder}", ["python:tiny_models:edges", "python:tiny_models:deep"]
    done = run("rank", "--target", target, "--source", names[0], "--source", names[1], "--out", "r.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "python:tiny_models:edges" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    done = run(
        "confirm", "r.json", "--top", "2", "--learning-rate", "0.01", "--seeds", "1", "--epochs", "2",
        "--out", "t.json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "full" in done.stdout
    done = run("evaluate", "r.json", "t.json", "--out", "e.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run("report", "r.json", "t.json", "e.json", "--out", "report.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    html = (tmp_path / "report.html").read_text()
    assert "python:tiny_models:edges" in html
    assert load_result(tmp_path / "r.json").stamp.command.startswith("transferscope rank --target imagefolder:")


def test_examples_stay_out_where_that_is_asked(picture_folder: Path, tiny_models: str, tmp_path: Path) -> None:
    words = ("rank", "-t", f"imagefolder:{picture_folder}", "-s", "python:tiny_models:edges", "--no-twins", "--json")
    assert len(json.loads(run_here(*words, cwd=tmp_path).stdout)["examples"]["examples"]) == 3
    assert json.loads(run_here(*words, "--no-examples", cwd=tmp_path).stdout)["examples"] is None


def test_a_race_within_a_budget(picture_folder: Path, tiny_models: str, tmp_path: Path) -> None:
    target, names = f"imagefolder:{picture_folder}", ["python:tiny_models:edges", "python:tiny_models:deep"]
    done = run_here("rank", "-t", target, "-s", names[0], "-s", names[1], "--out", "r.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    words = ("confirm", "r.json", "--learning-rate", "0.01", "--epochs", "4", "--out", "t.json")
    refused(*words, "--budget", "5m", "--no-race", cwd=tmp_path, says="a budget ends a race early")
    done = run_here(*words, "--top", "6", "--budget", "5m", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    for text in (
        "Without epochs: 2 arms",
        "Until epoch 2: 4 arms",
        "Winner on the validation rows",
        "training everything",
    ):
        assert text in said
    assert max(map(len, done.stdout.splitlines())) <= 100
    race = load_result(tmp_path / "t.json").race
    assert race.budget == 300
    assert {one.source for one in race.entrants} == set(names)


def test_strategies_are_listed_without_loading_torch() -> None:
    code = (
        "import sys; sys.argv = ['transferscope', 'confirm', '--help']\n"
        "from transferscope.cli import main\n"
        "try: main()\nfinally: assert not {'torch', 'peft', 'accelerate', 'sklearn'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    words = done.stdout.replace(",", " ").split()
    assert {"linear_probe", "full", "lp_ft", "partial", "bias_norm", "lora", "l2_sp", "joint", "aligned"} <= set(words)


def test_quick_training_beside_the_sources_own_data(picture_folder: Path, tiny_models: str, tmp_path: Path) -> None:
    target, name = f"imagefolder:{picture_folder}", "python:tiny_models:deep"
    done = run_here("rank", "-t", target, "-s", name, "--no-twins", "--no-store", "--out", "r.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    words = ("confirm", "r.json", "--strategy", "joint", "--no-store")
    refused(*words, cwd=tmp_path, says="joint: no data of the source's own for python:tiny_models:deep; give")
    done = run_here(*words, "--quick", "--source-data", f"{name}={target}", "--out", "t.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (found,) = load_result(tmp_path / "t.json").confirmed
    assert found.quick
    assert len(found.runs[-1].epochs) <= 30


def test_json_is_all_that_is_printed(picture_folder: Path, tiny_models: str, tmp_path: Path) -> None:
    words = ("rank", "-t", f"imagefolder:{picture_folder}", "-s", "python:tiny_models:edges", "--json", "--no-twins")
    done = run_here(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kind"] == "ranking"


def test_a_failing_source_is_listed_and_exits_with_1(picture_folder: Path, tiny_models: str, tmp_path: Path) -> None:
    words = ["rank", "-t", f"imagefolder:{picture_folder}", "-s", "python:tiny_models:edges"]
    done = run(*words, "-s", "python:tiny_models:broken", cwd=tmp_path)
    assert done.returncode == 1
    assert "these weights are for another machine" in done.stdout
    assert "Traceback" not in done.stderr
    assert (tmp_path / "ranking.json").exists()


def test_scores_of_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(["cat", "dog"], 30)
    features = rng.normal(size=(60, 5)) + (labels == "cat")[:, None]
    np.savez(tmp_path / "f.npz", features=features, labels=labels)
    done = run("score", "--features", "f.npz", "--scorer", "logme", "--scorer", "knn", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    assert set(scores) == {"logme", "knn"}
    assert 0.5 < scores["knn"]["value"] <= 1
    assert run_here("score", "--features", "f.npz", cwd=tmp_path).stdout.count("h_score") == 1
    everything = run_here("score", "--features", "f.npz", "--all", "--json", cwd=tmp_path)
    assert set(json.loads(everything.stdout)) >= {"logme", "transrate", "lda_loo", "parc", "nleep"}
    both = ("score", "--features", "f.npz", "--all", "--scorer", "knn")
    refused(*both, cwd=tmp_path, says="--all and --scorer were both given")
    plain = run_here("score", "--features", "f.npz", "--standard-errors", "none", "--json", cwd=tmp_path)
    assert {score["standard_error"] for score in json.loads(plain.stdout).values()} == {None}


def test_similarity_of_two_files(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(30, 4))
    np.savez(tmp_path / "a.npz", features=features, labels=np.arange(30) % 2)
    done = run_here("similarity", "--features", "a.npz", "--features", "a.npz", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["value"] == pytest.approx(1)
    two = ("similarity", "--features", "a.npz", "--features", "a.npz")
    assert json.loads(run_here(*two, "--measure", "otdd", "--json", cwd=tmp_path).stdout)["value"] == pytest.approx(0)
    refused("similarity", "--features", "a.npz", cwd=tmp_path, says="expected exactly 2 files")


def test_layers_of_two_sources(picture_folder: Path, tiny_models: str, tmp_path: Path) -> None:
    words = ("similarity", "-t", f"imagefolder:{picture_folder}", "-s", "python:tiny_models:deep")
    done = run_here(*words, "-s", "python:tiny_models:edges", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "cka_minibatch on 18 samples" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    done = run_here(*words, "-s", "python:tiny_models:edges", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["sources"] == ["python:tiny_models:deep", "python:tiny_models:edges"]
    refused(*words, cwd=tmp_path, says="expected two source specs")


def test_listings() -> None:
    assert "package:minilm-l6" in run_here("sources").stdout
    scorers = json.loads(run_here("scorers", "--json").stdout)
    assert {row["scorer"] for row in scorers} >= {"logme", "h_score", "leep", "ncti"}
    assert all(row["meaning"].endswith(".") for row in scorers)
    converters = {row["converter"]: row for row in json.loads(run_here("converters", "--json").stdout)}
    assert converters["waveform->image"]["waveform->image?channels="].split(" | ")[:2] == ["repeat", "deltas"]
    assert "waveform->image?channels=: repeat | deltas" in run_here("converters").stdout
    assert {row["measure"] for row in json.loads(run_here("measures", "--json").stdout)} >= {"cka_linear", "otdd"}
    assert "misleads: " in run_here("measures").stdout
    done = run_here("doctor")
    assert done.returncode == 0, done.stdout
    assert "torchvision operators" in done.stdout
    assert run_here("--version").stdout.strip() == "0.1.0"


def test_ctrl_c_says_that_nothing_is_lost(
    picture_folder: Path, tiny_models: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transferscope.ranking.rank as room

    def stop(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "judge", stop)
    done = run_here("rank", "-t", f"imagefolder:{picture_folder}", "-s", "python:tiny_models:edges", cwd=tmp_path)
    assert done.returncode == 130
    assert "the same command goes on where this one stopped" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "ranking.json").exists()


WRONG = {
    "missing folder": ("imagefolder:nowhere", "nowhere"),
    "empty folder": ("imagefolder:empty", "empty"),
    "one class": ("imagefolder:one", "one class"),
    "a class with one sample": ("imagefolder:single", "one sample"),
    "unknown loader": ("imagefoldr:pictures", "Did you mean 'imagefolder'"),
    "no scheme": ("pictures", "SCHEME:LOCATION"),
    "missing column": ("csv:table.csv?text=txt&label=label", "Did you mean 'text'"),
}


def test_wrong_input_in_a_process_of_its_own(tmp_path: Path) -> None:
    refused("rank", "-t", "imagefolder:nowhere", "-s", "timm:resnet18", cwd=tmp_path, says="nowhere", run=run)


@pytest.mark.parametrize("case", WRONG)
def test_wrong_targets(case: str, picture_folder: Path, tiny_models: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, kinds in (("one", {"a": 3}), ("single", {"a": 3, "b": 1})):
        for kind, count in kinds.items():
            (tmp_path / name / kind).mkdir(parents=True)
            for i in range(count):
                (tmp_path / name / kind / f"{i}.png").write_bytes((picture_folder / "top" / f"{i}.png").read_bytes())
    (tmp_path / "table.csv").write_text("text,label\nx,1\ny,1\nz,2\nw,2\n")
    target, says = WRONG[case]
    refused("rank", "-t", target, "-s", "python:tiny_models:edges", cwd=tmp_path, says=says)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("tim:resnet18", "Did you mean 'timm'"),
        ("timm:resnet1800", "timm"),
        ("python:tiny_models:edgy", "edgy"),
        ("python:no_such_module:f", "no_such_module"),
        ("package:minilm", "Did you mean 'minilm-l6'"),
        ("hf:someone/some-model", "local"),
        ("file:none.pt?arch=timm:resnet10t", "none.pt"),
        ("python:tiny_models:broken", "these weights are for another machine"),
    ],
)
def test_wrong_sources(source: str, says: str, picture_folder: Path, tiny_models: str, tmp_path: Path) -> None:
    refused("rank", "-t", f"imagefolder:{picture_folder}", "-s", source, cwd=tmp_path, says=says)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (("--scorer", "logmee"), "Did you mean 'logme'"),
        (("--layer", "nowhere"), "nowhere"),
        (("--pooling", "men"), "Did you mean 'mean'"),
        (("--precision", "half"), "no precision named 'half'"),
        (("--source-data", "x"), "SOURCE=TARGET"),
        (("--device", "tpu"), "no device named 'tpu'. Did you mean 'cpu'?"),
        (("--device", "cuda:99"), "device 'cuda:99' is not here"),
        (("--out", "pictures"), "pictures: is a folder; name a file"),
        (("--out", "tiny_models.py/r.json"), "tiny_models.py/r.json: cannot be written"),
    ],
)
def test_wrong_options(
    option: tuple[str, str], says: str, picture_folder: Path, tiny_models: str, tmp_path: Path
) -> None:
    words = ("rank", "-t", f"imagefolder:{picture_folder}", "-s", "python:tiny_models:edges", *option)
    refused(*words, cwd=tmp_path, says=says)


def test_unwritable_cache(
    picture_folder: Path, tiny_models: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRANSFERSCOPE_CACHE", str(tmp_path / "file"))
    words = ("rank", "-t", f"imagefolder:{picture_folder}", "-s", "python:tiny_models:edges")
    refused(*words, cwd=tmp_path, says="TRANSFERSCOPE_CACHE")


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"features": np.full((4, 2), np.nan), "labels": [0, 0, 1, 1]}, "NaN"),
        ({"features": np.full((4, 2), np.inf), "labels": [0, 0, 1, 1]}, "inf"),
        ({"features": np.zeros((4, 2)), "labels": [0, 1]}, "4"),
        ({"features": np.zeros((4, 2)), "labels": [1, 1, 1, 1]}, "class"),
        ({"labels": [1, 1, 1, 1]}, "features"),
    ],
)
def test_wrong_features(arrays: dict, says: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", **arrays)
    refused("score", "--features", "f.npz", cwd=tmp_path, says=says)


def test_layers_poolings_and_adapters_by_name(picture_folder: Path, tiny_models: str, tmp_path: Path) -> None:
    deep = "python:tiny_models:deep"
    words = ("rank", "-t", f"imagefolder:{picture_folder}", "-s", deep, "--no-twins", "--json")
    whole = json.loads(run_here(*words, cwd=tmp_path).stdout)
    names = next(card["layers"] for card in whole["sources"] if card["name"] == deep)

    def layers(*more: str) -> set[str]:
        done = run_here(*words, *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return {c["layer"] for c in json.loads(done.stdout)["candidates"] if c["source"] == deep}

    assert layers() == layers("--layers", "all") == set(names)
    assert layers("--layers", "last") == layers("--layers", "-1") == {names[-1]}
    assert layers("--layers", "every:2") == set(names[::-1][::2])
    assert layers("--layer", names[1], "--layers", "0") == {names[0], names[1]}
    assert layers("--pooling", "mean", "--pooling", "last", "--adapter", "all") == set(names)
    (tmp_path / "ranking.json").unlink()
    refused(*words, "--layers", "every:none", cwd=tmp_path, says="expected every:N")
    refused(*words, "--pooling", "max", cwd=tmp_path, says="no pooling named 'max'")
    refused(*words, "--adapter", "image->imag?x=y", cwd=tmp_path, says="no converter named 'image->imag'")


def test_options_before_a_history_command_are_not_lost_in_silence(tmp_path: Path) -> None:
    done = run_here("history", "--store", "other.db", "list", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: give options after `history list`, not before it.\n"
    assert not (tmp_path / "other.db").exists()
