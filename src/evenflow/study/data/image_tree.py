"""Images by split and class, as in train/cat/0001.png: a folder, or a tar archive of one."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from evenflow.errors import InputError
from evenflow.study.data.dataset import Records
from evenflow.study.data.files import INTACT, decoded
from evenflow.study.data.images import decode

SUFFIXES = (".png", ".jpg", ".jpeg")
SPLITS = ("train", "test")


class Tree(NamedTuple):
    """A folder or an archive with images of the same classes in both splits."""

    path: Path
    classes: tuple[str, ...]
    side: int
    """Pixels of an image, in both directions."""


class _Image(NamedTuple):
    split: str
    kind: str
    file: str
    content: bytes


def find_tree(
    folders: list[Path], archives: str, classes: tuple[str, ...], side: int
) -> Tree | None:
    """The first of ``folders`` that is such a tree, or has an archive named like ``archives``."""
    for folder in folders:
        if all((folder / split / name).is_dir() for split in SPLITS for name in classes):
            return Tree(folder, classes, side)
        for archive in sorted(folder.glob(archives)):
            return Tree(archive, classes, side)
    return None


def is_lossy(tree: Tree) -> bool:
    """Whether its images are JPEG files."""
    return next(_images(tree)).file.lower().endswith((".jpg", ".jpeg"))


def read_tree(name: str, tree: Tree) -> tuple[Records, Records]:
    """Training and test examples by class and file name, kept in the cache of data set ``name``.

    The planes of an image's colours follow each other, red first.

    Raises:
        InputError: an image is damaged or of another size, or a class has none.
    """
    return decoded(name, _key(tree.path), lambda: _read(tree))


def _read(tree: Tree) -> tuple[Records, Records]:
    rows: dict[tuple[str, str], dict[str, bytes]] = {
        (split, kind): {} for split in SPLITS for kind in tree.classes
    }
    for split, kind, file, content in _images(tree):
        where = f"{tree.path}/{split}/{kind}/{file}"
        image = decode(content, where)
        if image.size != (tree.side, tree.side):
            raise InputError(
                f"the image has {image.width} × {image.height} pixels instead of "
                f"{tree.side} × {tree.side}",
                where=where,
            )
        planes = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
        rows[split, kind][file] = bytes([tree.classes.index(kind)]) + planes.tobytes()
    for (split, kind), images in rows.items():
        if not images:
            raise InputError(
                f"there are no images in {split}/{kind}",
                where=str(tree.path),
                remedy="put PNG or JPEG files there, a folder for each class",
            )
    train, test = (
        b"".join(row for kind in tree.classes for _, row in sorted(rows[split, kind].items()))
        for split in SPLITS
    )
    length = 1 + 3 * tree.side**2
    return _records(train, length), _records(test, length)


def _records(rows: bytes, length: int) -> Records:
    return np.frombuffer(rows, np.uint8).reshape(-1, length)


def _key(path: Path) -> str:
    """Of what the tree holds: changes when a file does."""
    if path.is_dir():
        stats = ((file, file.stat()) for file in sorted(path.rglob("*")))
        return "\n".join(f"{file} {stat.st_size} {stat.st_mtime_ns}" for file, stat in stats)
    with path.open("rb") as archive:
        return hashlib.file_digest(archive, "sha256").hexdigest()


def _images(tree: Tree) -> Iterator[_Image]:
    """The images of the splits and classes; other files are passed over."""
    for name, content in _files(tree.path):
        *_, split, kind, file = ("", "", *PurePath(name).parts)
        if split in SPLITS and kind in tree.classes and file.lower().endswith(SUFFIXES):
            yield _Image(split, kind, file, content())


def _files(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file():
                yield str(file.relative_to(path)), file.read_bytes
        return
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and (content := archive.extractfile(member)):
                    yield member.name, content.read
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise InputError(
            f"the archive cannot be read: {error}", where=str(path), remedy=INTACT
        ) from error
