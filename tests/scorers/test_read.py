"""Features out of files: what is read, and every way in which a file may be wrong."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

import transferscope as ts
from transferscope.errors import ScoreError
from transferscope.scorers.read import read_features

X = np.random.default_rng(0).normal(size=(12, 3))
Y = np.arange(12) % 3
P = np.full((12, 4), 0.25)


class Touching:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", ["npz", "npz compressed", "safetensors"])
def test_arrays_come_back_as_they_were(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"features.{kind.split()[0]}"
    arrays = {"features": X.astype(np.float32), "labels": Y, "source_probs": P, "more": np.zeros(2)}
    if kind == "safetensors":
        save_file(arrays, path)
    else:
        (np.savez_compressed if "compressed" in kind else np.savez)(path, **arrays)
    for place in (path, str(path)):
        found = read_features(place)
        for name in ("features", "labels", "source_probs"):
            np.testing.assert_array_equal(getattr(found, name), arrays[name])
            assert getattr(found, name).dtype == arrays[name].dtype
    assert ts.score(found.features, found.labels, source_probs=found.source_probs)["leep"].value is not None


def test_labels_of_text(tmp_path: Path) -> None:
    names = np.array(["bee", "ant", "cat"])[Y]
    np.savez(tmp_path / "f.npz", features=X, labels=names)
    np.testing.assert_array_equal(read_features(tmp_path / "f.npz").labels, names)
    assert read_features(tmp_path / "f.npz").source_probs is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn])
def test_types_that_numpy_lacks_are_widened(tmp_path: Path, dtype: torch.dtype) -> None:
    features = torch.tensor(X).to(dtype)
    save_tensors({"features": features, "labels": torch.tensor(Y, dtype=torch.int8)}, tmp_path / "f.safetensors")
    found = read_features(tmp_path / "f.safetensors")
    np.testing.assert_array_equal(found.features, features.float().numpy())
    assert found.labels is not None
    assert (found.features.dtype, found.labels.dtype) == (np.float32, np.int8)


def test_labels_may_be_left_out_where_none_are_needed(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", features=X)
    assert read_features(tmp_path / "f.npz", need_labels=False).labels is None
    with pytest.raises(ScoreError, match=r"f.npz: holds no array named 'labels' but features; name it so"):
        read_features(tmp_path / "f.npz")


def test_missing_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", embeddings=X, labels=Y)
    with pytest.raises(ScoreError, match=r"f.npz: holds no array named 'features' but embeddings, labels; name it so"):
        read_features(tmp_path / "f.npz", need_labels=False)
    save_file({}, tmp_path / "f.safetensors")
    with pytest.raises(ScoreError, match=r"f.safetensors: holds no array named 'features' but nothing; name it so"):
        read_features(tmp_path / "f.safetensors")


def test_files_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match=r"none.npz: there is no such file; expected .npz or .safetensors holding"):
        read_features(tmp_path / "none.npz")
    with pytest.raises(ScoreError, match="there is no such file"):
        read_features(tmp_path)
    (tmp_path / "f.csv").write_text("1,2\n")
    with pytest.raises(ScoreError, match=r"f.csv: unknown kind of file '.csv'; expected .npz or .safetensors"):
        read_features(tmp_path / "f.csv")


@pytest.mark.parametrize("content", [b"", b"1.0, 2.0\n", b"PK\x03\x04 and no more", pickle.dumps([1.0])])
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_that_are_no_such_thing(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"f{suffix}"
    path.write_bytes(content)
    with pytest.raises(ScoreError, match=rf"f{suffix}: cannot be read \(.*\); save "):
        read_features(path)


def test_a_single_array_is_no_archive(tmp_path: Path) -> None:
    with (tmp_path / "f.npz").open("wb") as file:
        np.save(file, X)
    with pytest.raises(ScoreError, match=r"f.npz: cannot be read \(one array without a name, .*\); save plain"):
        read_features(tmp_path / "f.npz")


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as archive:
        archive.writestr("features", "not an array")
        archive.writestr("labels", "nor this")
    with pytest.raises(ScoreError, match=r"f.npz: cannot be read \(features is no array\); save plain arrays"):
        read_features(tmp_path / "f.npz")


@pytest.mark.parametrize("where", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_cut_short(tmp_path: Path, suffix: str, where: float) -> None:
    path = tmp_path / f"f{suffix}"
    if suffix == ".npz":
        np.savez_compressed(path, features=X, labels=Y)
    else:
        save_file({"features": X, "labels": Y}, path)
    path.write_bytes(path.read_bytes()[: int(where * path.stat().st_size)])
    with pytest.raises(ScoreError, match=rf"f{suffix}: cannot be read \("):
        read_features(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_inside_is_noticed(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "f.npz"
    (np.savez_compressed if compressed else np.savez)(path, features=X, labels=Y)
    content = bytearray(path.read_bytes())
    content[250:260] = bytes(byte ^ 0xFF for byte in content[250:260])
    path.write_bytes(content)
    with pytest.raises(ScoreError, match=r"f.npz: cannot be read \("):
        read_features(path)


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    labels = np.array([Touching(touched)] * 12, dtype=object)
    np.savez(tmp_path / "f.npz", features=X, labels=labels)
    with pytest.raises(ScoreError, match=r"cannot be read \(Object arrays cannot be loaded .*\); save plain arrays"):
        read_features(tmp_path / "f.npz")
    (tmp_path / "g.npz").write_bytes(pickle.dumps(Touching(touched)))
    with pytest.raises(ScoreError, match=r"g.npz: cannot be read \(.*pickle"):
        read_features(tmp_path / "g.npz")
    assert not touched.exists()


def test_what_is_wrong_with_the_arrays_is_said_when_they_are_scored(tmp_path: Path) -> None:
    holed = X.copy()
    holed[3, 1] = np.nan
    np.savez(tmp_path / "f.npz", features=holed, labels=Y)
    found = read_features(tmp_path / "f.npz")
    with pytest.raises(ScoreError, match="score: features hold 1 NaN and 0 infinite values in 1 rows, the first at"):
        ts.score(found.features, found.labels)
    save_file({"features": X, "labels": Y[:-2]}, tmp_path / "f.safetensors")
    found = read_features(tmp_path / "f.safetensors")
    with pytest.raises(ScoreError, match="score: 12 rows of features but 10 labels; give one label per row"):
        ts.score(found.features, found.labels)
