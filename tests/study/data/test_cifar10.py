"""CIFAR-10 in each of its forms, from tiny sets of the same build; pickles that must not run."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evenflow.errors import InputError
from evenflow.study.data import cifar10, cifar_batches, load
from evenflow.study.data.cifar_batches import BINARY, PYTHON, Version
from evenflow.study.data.python_batch import read_python_batch

DATA = Path(os.environ.get("EVENFLOW_DATA", Path(__file__).parents[4] / "shared" / "data"))
ROWS = 10
"""Of a tiny batch."""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("EVENFLOW_DATA", raising=False)


@pytest.fixture
def batches() -> list[np.ndarray]:
    """Six batches; each has an example of every class."""
    rng = np.random.default_rng(0)
    labels = [rng.permutation(10) for _ in range(6)]
    pixels = [rng.integers(0, 256, (ROWS, 3072)) for _ in range(6)]
    return [np.column_stack(both).astype(np.uint8) for both in zip(labels, pixels, strict=True)]


def pickled(batch: np.ndarray, kind: bytes = b"u1") -> bytes:
    """A batch as Python 2 pickled it: protocol 2, strings of bytes, a NumPy array of old."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    def name(module: bytes, thing: bytes) -> bytes:
        return b"c" + module + b"\n" + thing + b"\n"

    content = batch[:, 1:].tobytes()
    dtype = name(b"numpy", b"dtype") + text(kind) + b"K\0K\1\x87R"
    dtype += b"(K\3" + text(b"|") + b"NNN" + 2 * b"J\xff\xff\xff\xff" + b"K\0tb"
    array = name(b"numpy.core.multiarray", b"_reconstruct") + name(b"numpy", b"ndarray")
    array += b"K\0\x85" + text(b"b") + b"\x87R(K\1"
    array += b"".join(b"M" + struct.pack("<H", n) for n in (len(batch), 3072)) + b"\x86"
    array += dtype + b"\x89T" + struct.pack("<I", len(content)) + content + b"tb"
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in batch[:, 0]) + b"e"
    return (
        b"\x80\2}(" + text(b"batch_label") + text(b"training batch 1 of 5")
        + text(b"labels") + labels + text(b"data") + array + b"u."
    )  # fmt: skip


def tiny(version: Version, contents: list[bytes]) -> Version:
    """``version`` with the checksums of ``contents``."""
    sums = (hashlib.new(version.algorithm, content).hexdigest() for content in contents)
    return dataclasses.replace(version, batches=dict(zip(version.batches, sums, strict=True)))


def put(folder: Path, version: Version, contents: list[bytes], archived: bool) -> None:
    folder.mkdir(exist_ok=True)
    named = [(f"{version.folder}/{n}", c) for n, c in zip(version.batches, contents, strict=True)]
    if archived:
        with tarfile.open(folder / version.archive, "w:gz") as archive:
            for name, content in named:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    else:
        (folder / version.folder).mkdir()
        for name, content in named:
            (folder / name).write_bytes(content)


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("form", ["BINARY", "PYTHON"])
def test_published_batches(
    batches: list[np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    archived: bool,
) -> None:
    version = {"BINARY": BINARY, "PYTHON": PYTHON}[form]
    contents = [batch.tobytes() if version is BINARY else pickled(batch) for batch in batches]
    monkeypatch.setattr(cifar_batches, form, tiny(version, contents))
    put(tmp_path / "cifar10", version, contents, archived)
    data = load("cifar10", data_dir=tmp_path)
    assert data.title == "CIFAR-10"
    for split, rows in (
        (data.train, np.concatenate(batches[:4])),
        (data.validation, batches[4]),
        (data.test, batches[5]),
    ):
        np.testing.assert_array_equal(split.labels, rows[:, 0])
        np.testing.assert_array_equal(split.pixels, rows[:, 1:])
    assert data.prior_error == pytest.approx(0.9)


def test_a_damaged_batch_is_named(
    batches: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [batch.tobytes() for batch in batches]
    version = tiny(BINARY, contents)
    monkeypatch.setattr(cifar_batches, "BINARY", version)
    put(tmp_path, BINARY, [*contents[:5], contents[0]], archived=False)
    with pytest.raises(InputError) as caught:
        load("cifar10", data_dir=tmp_path)
    for part in ("test_batch.bin", *(version.batches[f"{n}.bin"] for n in NAMES)):
        assert part in str(caught.value)
    (tmp_path / BINARY.folder / "data_batch_2.bin").unlink()
    with pytest.raises(InputError, match=r"there is no data_batch_2\.bin"):
        load("cifar10", data_dir=tmp_path)


NAMES = ("test_batch", "data_batch_1")


def test_a_damaged_archive(tmp_path: Path) -> None:
    (tmp_path / BINARY.archive).write_bytes(b"\x1f\x8b, but no archive")
    with pytest.raises(InputError, match="the archive cannot be read"):
        load("cifar10", data_dir=tmp_path)


class Hostile:
    """Asks the reader of its pickle to make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_a_hostile_pickle_does_nothing(tmp_path: Path) -> None:
    content = pickle.dumps({"data": Hostile(tmp_path / "made")}, protocol=2)
    with pytest.raises(InputError, match=r"batch: .*it names (posix|nt|os)\.mkdir"):
        read_python_batch(content, "batch")
    pickle.loads(content)
    assert (tmp_path / "made").is_dir(), "it would have"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        pickle.dumps([1, 2]),
        pickle.dumps({b"data": 1, b"labels": [1]}),
        pickle.dumps({b"labels": [1]}),
        pickle.dumps({b"data": np.zeros(2)}, protocol=2),
        b"\x80\2cbuiltins\neval\nU\0031+1\x85R.",
        b"\x80\2cnumpy\ndtype\nU\1O\x85R.",
    ],
)
def test_pickles_that_are_no_batch(content: bytes) -> None:
    with pytest.raises(InputError, match="no batch of CIFAR-10"):
        read_python_batch(content, "batch")


def test_a_batch_of_other_numbers_is_refused(batches: list[np.ndarray]) -> None:
    assert read_python_batch(pickled(batches[0]), "batch").shape == (ROWS, 3073)
    with pytest.raises(InputError, match="type b'f8'"):
        read_python_batch(pickled(batches[0], b"f8"), "batch")
    with pytest.raises(InputError, match="no batch"):
        read_python_batch(pickled(batches[0]).replace(b"](K", b"](K\1K", 1), "batch")


def make_tree(folder: Path, suffix: str, each: int = 5) -> None:
    """``each`` images of every class to train and one to test, of one colour each."""
    for split, count in (("train", each), ("test", 1)):
        for label, kind in enumerate(cifar10.CLASSES):
            (folder / split / kind).mkdir(parents=True)
            for number in range(count):
                image = Image.new("RGB", (32, 32), (label * 20, number * 40, 7))
                image.save(folder / split / kind / f"{number:04}{suffix}")


@pytest.mark.parametrize("packed", ["", ".tar", ".tar.gz"])
def test_a_tree_of_images(tmp_path: Path, packed: str) -> None:
    folder = tmp_path / "cifar10"
    make_tree(folder, ".png")
    if packed:
        mode = "w:gz" if packed == ".tar.gz" else "w"
        with tarfile.open(tmp_path / f"cifar-10-png{packed}", mode) as archive:
            archive.add(folder, "data")
        folder.rename(tmp_path / "elsewhere")
    data = load("cifar10", data_dir=tmp_path)
    assert data.title == "CIFAR-10"
    assert data.train.labels.tolist() == np.repeat(np.arange(10), 4).tolist()
    assert data.validation.labels.tolist() == list(range(10))
    reds, greens, blues = data.validation.pixels.reshape(10, 3, 1024).transpose(1, 0, 2)
    np.testing.assert_array_equal(reds, np.repeat(np.arange(10) * 20, 1024).reshape(10, -1))
    assert (greens == 160).all()  # the last of the five
    assert (blues == 7).all()


def test_a_changed_image_is_seen_in_spite_of_the_cache(tmp_path: Path) -> None:
    make_tree(tmp_path / "cifar10", ".png")
    load("cifar10", data_dir=tmp_path)
    cat = tmp_path / "cifar10" / "test" / "cat"
    Image.new("RGB", (32, 32), (1, 2, 3)).save(cat / "9.png")
    assert len(load("cifar10", data_dir=tmp_path).test.labels) == 11
    size, modified = (cat / "9.png").stat().st_size, (cat / "9.png").stat().st_mtime_ns
    Image.new("RGB", (32, 32), (2, 2, 3)).save(cat / "9.png")
    os.utime(cat / "9.png", ns=(modified + 1, modified + 1))
    assert (cat / "9.png").stat().st_size == size
    assert load("cifar10", data_dir=tmp_path).test.pixels[4, 0] == 2


def test_losses_are_told(tmp_path: Path) -> None:
    make_tree(tmp_path, ".jpg")
    assert load("cifar10", data_dir=tmp_path).title == "CIFAR-10, from lossy JPEG files"


def test_images_that_do_not_fit(tmp_path: Path) -> None:
    make_tree(tmp_path, ".png")
    odd = tmp_path / "train" / "dog" / "0003.png"
    Image.new("RGB", (31, 32)).save(odd)
    with pytest.raises(InputError, match=r"dog/0003\.png: .*31 × 32 pixels instead of 32 × 32"):
        load("cifar10", data_dir=tmp_path)
    odd.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"dog/0003\.png: the picture cannot be decoded"):
        load("cifar10", data_dir=tmp_path)
    odd.unlink()
    for image in (tmp_path / "test" / "ship").iterdir():
        image.unlink()
    with pytest.raises(InputError, match="no images in test/ship"):
        load("cifar10", data_dir=tmp_path)


def test_the_stand_in_says_so(tmp_path: Path) -> None:
    make_tree(tmp_path, ".png")
    data = load("small-imagenet-stand-in", data_dir=tmp_path)
    assert data.stand_in_for == "Small-ImageNet"
    assert "stand-in for Small-ImageNet" in data.title
    assert data.shape == (37, 37)
    assert data.train.pixels.shape == (40, 37 * 37)
    red, green, blue = 9 * 20, 0, 7
    grey = round(0.299 * red + 0.587 * green + 0.114 * blue)
    assert abs(int(data.test.pixels[9].mean()) - grey) <= 1
    assert load("cifar10", data_dir=tmp_path).stand_in_for is None


@pytest.mark.skipif(not (DATA / "cifar10-jpeg").is_dir(), reason="needs CIFAR-10's images")
def test_the_archive_of_images_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it takes a dozen seconds: only that it is looked for in the right place."""
    read: list[Path] = []

    def note(_: str, tree: cifar10.Tree) -> tuple[np.ndarray, np.ndarray]:
        read.append(tree.path)
        return (np.zeros((10, 3073), np.uint8),) * 2

    monkeypatch.setattr(cifar10, "read_tree", note)
    assert "JPEG" in load("cifar10", data_dir=DATA).title
    assert read[0].name == "cifar10-jpeg.tar.gz"
