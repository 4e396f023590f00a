"""Data sets in the IDX format of MNIST: big-endian arrays of bytes, gzipped or not."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import InputError
from evenflow.study.data.dataset import Examples
from evenflow.study.data.files import INTACT, Remote, check, fetch

NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
VALIDATION = 10_000
"""The last of the 60,000 training examples."""


class IdxFile(NamedTuple):
    """A published file and what its content, taken out of gzip, must hash to."""

    remote: Remote
    sha256: str


class IdxFiles(NamedTuple):
    """The four files of a data set."""

    train_images: IdxFile
    train_labels: IdxFile
    test_images: IdxFile
    test_labels: IdxFile

    @classmethod
    def published(cls, mirrors: tuple[str, ...], sums: tuple[tuple[str, str], ...]) -> IdxFiles:
        """The files below the addresses ``mirrors``, by sha256 of the download and its content."""
        return cls(
            *(
                IdxFile(Remote(name, tuple(mirror + name for mirror in mirrors), download), content)
                for name, (download, content) in zip(NAMES, sums, strict=True)
            )
        )


def splits(
    name: str, files: IdxFiles, folders: list[Path], remedy: str
) -> tuple[Examples, Examples, Examples]:
    """Training, validation and test examples from ``folders``, the cache or the network."""
    images, labels, test_images, test_labels = (
        parse(*_content(name, file, folders, remedy)) for file in files
    )
    flat = images.reshape(len(images), -1)
    held = len(flat) - VALIDATION
    return (
        Examples(flat[:held], labels[:held].astype(np.int64)),
        Examples(flat[held:], labels[held:].astype(np.int64)),
        Examples(test_images.reshape(len(test_images), -1), test_labels.astype(np.int64)),
    )


def parse(content: bytes, where: Path | str) -> NDArray[np.uint8]:
    """The array that an IDX file of bytes holds.

    Its header: two zero bytes, 8 for unsigned bytes, the number of axes, and 32 bits an axis.

    Raises:
        InputError: the header is no such header, or the length does not fit it.
    """
    axes = content[3] if len(content) > 3 else 0
    start = 4 + 4 * axes
    if content[:3] != b"\0\0\x08" or not axes or len(content) < start:
        raise InputError("the file is no IDX file of bytes", where=str(where))
    shape = struct.unpack(f">{axes}I", content[4:start])
    if math.prod(shape) != len(content) - start:
        raise InputError(
            f"the file should hold {' × '.join(map(str, shape))} bytes after its header, "
            f"but holds {len(content) - start}",
            where=str(where),
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _content(name: str, file: IdxFile, folders: list[Path], remedy: str) -> tuple[bytes, Path]:
    """The checked content of a file, and where it was found.

    MNIST and its heirs share the names of their files, so one of another data set is passed over
    where the right one lies in a later folder.
    """
    published = file.remote.name
    names = (published, published.removesuffix(".gz"))
    found = [path for folder in folders for n in names if (path := folder / n).is_file()]
    refusals: list[InputError] = []
    for path in found or [fetch(file.remote, name, remedy)]:
        try:
            return check(_unpacked(path), "sha256", file.sha256, path), path
        except InputError as error:
            refusals.append(error)
    raise refusals[0]


def _unpacked(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"the file cannot be read: {error}", where=str(path), remedy=INTACT
        ) from error
