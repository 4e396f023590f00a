"""MNIST's format and its two data sets."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from evenflow.errors import InputError
from evenflow.study.data import DataSet, Examples, fashion_mnist, idx, load, mnist
from evenflow.study.data.idx import IdxFile, IdxFiles, parse, splits

BESIDE = Path(__file__).parents[4] / "shared" / "data"
DATA = Path(os.environ.get("EVENFLOW_DATA", BESIDE))


def written(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def sizes(data: DataSet) -> list[int]:
    assert isinstance(data.train, Examples)
    return [len(split.labels) for split in (data.train, data.validation, data.test)]


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IdxFiles:
    """A data set of 7 + 3 training and 4 test images in ``tmp_path``: two files gzipped."""
    monkeypatch.setattr(idx, "VALIDATION", 3)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    files = []
    for published, count in zip(mnist.FILES, (10, 10, 4, 4), strict=True):
        shape = (count, 2, 2) if "images" in published.remote.name else (count,)
        content = written(rng.integers(0, 10, shape, np.uint8))
        name = published.remote.name
        if count == 4:
            (tmp_path / name).write_bytes(gzip.compress(content))
        else:
            (tmp_path / name.removesuffix(".gz")).write_bytes(content)
        files.append(IdxFile(published.remote, hashlib.sha256(content).hexdigest()))
    return IdxFiles(*files)


def test_splits_of_files_gzipped_or_not(tiny: IdxFiles, tmp_path: Path) -> None:
    train, validation, test = splits("mnist", tiny, [tmp_path / "absent", tmp_path], "")
    assert train.pixels.shape == (7, 4)
    assert validation.pixels.shape == (3, 4)
    assert test.pixels.shape == (4, 4)
    images = np.random.default_rng(0).integers(0, 10, (10, 2, 2), np.uint8).reshape(10, 4)
    np.testing.assert_array_equal(np.vstack([train.pixels, validation.pixels]), images)
    assert train.labels.dtype == np.int64


def test_a_damaged_file_is_named_with_both_checksums(tiny: IdxFiles, tmp_path: Path) -> None:
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(InputError) as caught:
        splits("mnist", tiny, [tmp_path], "")
    for part in (str(path), found, tiny.train_labels.sha256, "Remedy: put an intact copy"):
        assert part in str(caught.value)


def test_a_truncated_gzip_file(tiny: IdxFiles, tmp_path: Path) -> None:
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte.gz: the file cannot be read"):
        splits("mnist", tiny, [tmp_path], "")


def test_another_data_set_of_the_same_names_is_passed_over(tiny: IdxFiles, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "train-labels-idx1-ubyte").write_bytes(written(np.zeros(10, np.uint8)))
    train, _, _ = splits("mnist", tiny, [other, tmp_path], "")
    assert train.labels.any()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no IDX file"),
        (b"\0\0\x08", "no IDX file"),
        (b"\0\0\x08\0", "no IDX file"),
        (b"\0\0\x0d\1\0\0\0\1\0\0\0\0", "no IDX file"),
        (b"\0\0\x08\2\0\0\0\1", "no IDX file"),
        (b"\0\0\x08\1\0\0\0\5abcd", "should hold 5 bytes .* but holds 4"),
        (b"\0\0\x08\2\xff\xff\xff\xff\xff\xff\xff\xffab", "4294967295 × 4294967295"),
    ],
)
def test_what_is_no_idx_file(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(content, "file")


@pytest.mark.skipif(not (DATA / "mnist").is_dir(), reason="needs MNIST's files")
def test_mnist() -> None:
    data = load("mnist", data_dir=DATA)
    assert [len(s.labels) for s in (data.train, data.validation, data.test)] == [
        50000,
        10000,
        10000,
    ]
    assert data.input_dim == data.test.images.shape[1] == 784
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.priors[1] == max(data.priors)
    assert data.prior_error == pytest.approx(0.886, abs=0.001)
    assert data.test.images.max() == 1


@pytest.mark.skipif(
    not any(p.is_dir() for p in (DATA / "fashion-mnist", fashion_mnist.DEBIAN)),
    reason="needs Fashion-MNIST's files",
)
def test_fashion_mnist() -> None:
    data = load("fashion-mnist", data_dir=DATA if DATA.is_dir() else None)
    assert [len(s.labels) for s in (data.train, data.validation, data.test)] == [
        50000,
        10000,
        10000,
    ]
    assert data.classes[data.train.labels[0]] == "ankle boot"
    assert data.prior_error == pytest.approx(0.9, abs=0.003)
