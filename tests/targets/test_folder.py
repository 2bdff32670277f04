"""Class folders: what counts as a sample, what is refused, and what is decoded when."""

from __future__ import annotations

import hashlib
import logging
import os
import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from transferscope.errors import CorruptSampleError, TargetError, TransferScopeError, UnknownNameError
from transferscope.targets import load_target
from transferscope.targets.audiofolder import read_sound
from transferscope.targets.imagefolder import SUFFIXES, gray_or_rgb, read_image

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PIXELS).save(path)
    return path


def sound(path: Path, rate: int = 8000, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    waves = np.sin(np.arange(rate)[:, None] / 20 * np.arange(1, channels + 1)) * 0.5
    soundfile.write(path, waves, rate)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        for number in range(2):
            picture(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def test_files_at_any_depth_and_of_any_case_belong_to_their_class(folder: Path) -> None:
    for number, suffix in enumerate(sorted(SUFFIXES)):
        picture(folder / "cat" / "deep" / "er" / f"x{number}{suffix.upper()}")
    (folder / "dog" / ".hidden.png").write_bytes(b"")
    (folder / ".cache" / "thumbs").mkdir(parents=True)
    target = load_target(f"imagefolder:{folder}")
    assert target.classes == ("cat", "dog")
    assert np.bincount(target.labels).tolist() == [2 + len(SUFFIXES), 2]
    for row in range(len(target)):
        image = target.samples[row]
        assert image.size == (60, 40)
        assert image.mode == "RGB"
    assert target.samples.describe(0) == str(folder / "cat" / "0.png")


def test_counting_and_hashing_decode_nothing(folder: Path) -> None:
    (folder / "cat" / "junk.jpg").write_bytes(b"junk")
    code = (
        "import sys; from transferscope.targets import load_target; target = load_target(sys.argv[1]); "
        "print(len(target), target.content_sha256, 'PIL' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, f"imagefolder:{folder}"], capture_output=True, text=True)
    target = load_target(f"imagefolder:{folder}")
    assert done.stdout.split() == ["5", target.content_sha256, "False"]
    assert target.samples.digest(2) == hashlib.sha256(b"junk").digest()


def test_hostile_class_names(folder: Path) -> None:
    for name in ('x "y"', "a\nb", "b'q", "☃", "?&=:#%20"):
        for number in range(2):
            picture(folder / name / f"{number}.png")
    target = load_target(f"imagefolder:{folder}")
    assert set(target.classes) == {"cat", "dog", 'x "y"', "a\nb", "b'q", "☃", "?&=:#%20"}
    assert target.card().class_counts == (2,) * 7


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_no_text_can_be_printed(folder: Path) -> None:
    odd = os.fsencode(folder) + b"/cl\xff"
    os.mkdir(odd)
    for number in b"12":
        with open(odd + b"/%c.png" % number, "wb") as stream:
            stream.write(b"")
    target = load_target(f"imagefolder:{folder}")
    assert target.card().classes == ("cat", "cl\\udcff", "dog")
    with pytest.raises(CorruptSampleError, match=r"cl\\xff/1.png: cannot be read \(the file is empty\)") as caught:
        target.samples[2]
    str(caught.value).encode()


def test_links_are_followed_but_not_in_circles(folder: Path, tmp_path: Path) -> None:
    elsewhere = picture(tmp_path / "elsewhere" / "birds" / "1.png").parent
    picture(elsewhere / "2.png")
    (folder / "bird").symlink_to(elsewhere)
    (folder / "cat" / "loop").symlink_to(folder / "cat")
    (folder / "dog" / "up").symlink_to(folder)
    (folder / "dog" / "dead.png").symlink_to("nowhere")
    (folder / "dog" / "self.png").symlink_to("self.png")
    target = load_target(f"imagefolder:{folder}")
    assert dict(zip(target.classes, np.bincount(target.labels).tolist(), strict=True)) == {
        "bird": 2,
        "cat": 2,
        "dog": 4,
    }
    assert len(target.digests) == 8
    for row, reason in ((6, "No such file"), (7, "symbolic links")):
        with pytest.raises(CorruptSampleError, match=reason):
            target.samples[row]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_without_permission_are_corrupt_samples_and_folders_an_error(folder: Path) -> None:
    (folder / "cat" / "0.png").chmod(0)
    target = load_target(f"imagefolder:{folder}")
    with pytest.raises(CorruptSampleError, match="Permission denied"):
        target.samples[0]
    (folder / "cat").chmod(0)
    with pytest.raises(TargetError, match="cannot be listed .Permission denied"):
        load_target(f"imagefolder:{folder}")
    (folder / "cat").chmod(0o700)


def test_group_is_found_in_the_path(folder: Path) -> None:
    target = load_target(f"imagefolder:{folder}?group=([0-9]+)[.]png$")
    assert target.groups is not None
    assert target.groups.tolist() == [0, 1, 0, 1]
    assert target.card().n_groups == 2


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("group=speaker(x)", r"cat/0.png: group=speaker\(x\) names no group for it"),
        ("group=(x)?cat", "cat/0.png: .* names no group for it"),
        ("group=cat", "it has no capture group; put parentheses around"),
        ("group=(cat", "not a regular expression"),
        ("grup=(cat)", "no option of imagefolder: named 'grup'. Did you mean 'group'"),
    ],
)
def test_bad_options_are_refused(folder: Path, query: str, message: str) -> None:
    with pytest.raises(TransferScopeError, match=message):
        load_target(f"imagefolder:{folder}?{query}")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda at: None, r"cannot be listed \(No such file or directory\); expected a folder with one subfolder"),
        (lambda at: at.write_text(""), r"cannot be listed \(Not a directory\)"),
        (lambda at: at.mkdir(), "holds 0 files and no subfolder"),
        (lambda at: [picture(at / f"{n}.png") for n in range(3)], "holds 3 image files and no subfolder"),
        (lambda at: picture(at / "a" / "0.heic.png").rename(at / "a" / "0.heic"), r"'a' \(found there: 1 .heic\)"),
        (lambda at: (at / "a").mkdir(parents=True), r"1 of 1 subfolders hold no sample: 'a' \(found there: nothing\)"),
        (lambda at: [picture(at / s / "a" / "0.png") for s in ("Train", "test")], "are splits, not classes"),
    ],
)
def test_folders_that_are_no_target_are_refused(tmp_path: Path, make, message: str) -> None:
    make(tmp_path / "data")
    with pytest.raises(TargetError, match=message):
        load_target(f"imagefolder:{tmp_path / 'data'}")


def test_files_left_out_are_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture(folder / "cover.png")
    (folder / "cat" / "notes.txt").write_text("")
    with caplog.at_level(logging.WARNING):
        assert len(load_target(f"imagefolder:{folder}")) == 4
    assert "1 files lie outside the class folders" in caplog.text
    assert "1 files of other kinds are left out (.txt)" in caplog.text


@pytest.mark.filterwarnings("ignore:Tag data larger than file")
@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_truncated_and_damaged_pictures_are_corrupt_samples(tmp_path: Path, suffix: str) -> None:
    path = picture(tmp_path / f"a{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptSampleError, match=str(path)):
        read_image(str(path))
    rng = np.random.default_rng(0)
    for _ in range(20):
        damaged = bytearray(whole)
        for at in rng.integers(len(whole), size=20):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        with suppress(CorruptSampleError):  # some damage changes pixels only
            assert read_image(str(path)).mode in ("L", "RGB")


def test_decompression_bomb_is_a_corrupt_sample(tmp_path: Path) -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b""))
    with pytest.raises(CorruptSampleError, match="DecompressionBombError"):
        read_image(str(path))


def test_other_formats_behind_a_known_ending_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(CorruptSampleError, match="it is none of JPEG, PNG"):
        read_image(str(path))


def test_orientation_of_exif_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (10, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(str(tmp_path / "a.jpg")).size == (20, 10)


def test_pictures_become_gray_or_rgb() -> None:
    color = Image.new("RGB", (2, 2), (10, 200, 30))
    for mode in ("RGB", "RGBA", "CMYK", "P", "RGBX", "RGBa"):
        start = color.convert("RGBA").convert("RGBa") if mode == "RGBa" else color.convert(mode)
        assert gray_or_rgb(start).mode == "RGB"
    assert gray_or_rgb(color.convert("CMYK")).getpixel((0, 0)) == (10, 200, 30)
    for mode in ("1", "L", "LA"):
        assert gray_or_rgb(color.convert(mode)).mode == "L"
    clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    assert gray_or_rgb(clear).getpixel((0, 0)) == (255, 255, 255)
    wide = np.full((2, 2), 65535 // 5, np.uint16)
    big_endian = Image.frombytes("I;16B", (2, 2), wide.astype(">u2").tobytes())
    for image in (Image.fromarray(wide), Image.fromarray(wide.astype(np.int32)), big_endian):
        assert gray_or_rgb(image).getpixel((0, 0)) == 51
    for unknown in (np.full((2, 2), 70_000, np.int32), np.full((2, 2), 0.5, np.float32)):
        with pytest.raises(ValueError, match="convert them to 8 bits"):
            gray_or_rgb(Image.fromarray(unknown))


@pytest.mark.parametrize("suffix", [".wav", ".FLAC", ".ogg", ".mp3", ".aiff"])
def test_sounds_are_read_with_their_own_rate_and_channels(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        for number in range(2):
            sound(tmp_path / name / f"{number}{suffix}", rate=16_000, channels=2)
    target = load_target(f"audiofolder:{tmp_path}")
    waves, rate = target.samples[3]
    assert target.modality == "audio"
    assert rate == 16_000
    assert waves.dtype == np.float32
    assert waves.shape[0] == 2
    assert waves.shape[1] == pytest.approx(16_000, abs=2500)  # mp3 pads
    assert np.abs(waves).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (np.zeros((0, 1)), "the sound is empty"),
        (np.array([[0.0], [np.nan]]), "NaN or infinite"),
        (np.array([[0.0], [1e300]]), "NaN or infinite"),  # too large for float32
        (b"junk", "Format not recognised"),
        (b"", "Format not recognised|empty"),
        (None, "No such file"),
    ],
)
def test_sounds_that_cannot_be_used_are_corrupt_samples(tmp_path: Path, content, reason: str) -> None:
    path = tmp_path / "a.wav"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        soundfile.write(path, content, 8000, subtype="DOUBLE")
    with np.errstate(over="ignore"), pytest.raises(CorruptSampleError, match=reason):
        read_sound(str(path))


def test_truncated_flac_is_a_corrupt_sample(tmp_path: Path) -> None:
    path = sound(tmp_path / "a.flac")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CorruptSampleError, match="flac decoder lost sync"):
        read_sound(str(path))


def test_audiofolder_knows_its_own_files(folder: Path) -> None:
    with pytest.raises(TargetError, match=r"expected .* audio files \(.aif, .aiff, .flac, .mp3, .ogg, .wav\)"):
        load_target(f"audiofolder:{folder}")
    with pytest.raises(UnknownNameError, match="option of audiofolder"):
        load_target(f"audiofolder:{folder}?rate=8000")
