"""CIFAR-10's own batches: the binary version and the Python version, unpacked or in their archives.

Each has five training batches and one test batch of 10,000 examples, with the same content.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np

from evenflow.errors import InputError
from evenflow.study.data.dataset import Records
from evenflow.study.data.files import INTACT, check
from evenflow.study.data.python_batch import read_python_batch

PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Version:
    """One of the published versions."""

    folder: str
    """That its archive unpacks to."""
    archive: str
    algorithm: str
    """Of the checksums."""
    batches: dict[str, str]
    """Each batch with its checksum, the test batch last."""
    read: Callable[[bytes, str], Records]


def find_batches(folders: list[Path]) -> tuple[Records, Records] | None:
    """Training and test examples of the first version that lies in one of ``folders``, if any."""
    for folder in folders:
        for version in (BINARY, PYTHON):
            for unpacked in (folder / version.folder, folder):
                if found := _unpacked(version, unpacked):
                    return _joined(version, found, unpacked)
            if (folder / version.archive).is_file():
                return read_archive(version, folder / version.archive)
    return None


def read_archive(version: Version, path: Path) -> tuple[Records, Records]:
    """Training and test examples from an archive, without unpacking it."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = Path(member.name).name
                if member.isfile() and name in version.batches:
                    contents[name] = cast("IO[bytes]", archive.extractfile(member)).read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise InputError(
            f"the archive cannot be read: {error}", where=str(path), remedy=INTACT
        ) from error
    return _joined(version, contents, path)


def binary_batch(content: bytes, where: str) -> Records:
    """The examples of a binary batch: a label and 3072 pixels a row."""
    if len(content) % (1 + PIXELS):
        raise InputError(
            f"a batch has rows of {1 + PIXELS} bytes, and {len(content)} bytes are none of that",
            where=where,
        )
    return np.frombuffer(content, np.uint8).reshape(-1, 1 + PIXELS)


def _unpacked(version: Version, folder: Path) -> dict[str, bytes]:
    found = {name: folder / name for name in version.batches}
    try:
        return {name: path.read_bytes() for name, path in found.items() if path.is_file()}
    except OSError as error:
        raise InputError(f"the batches cannot be read: {error}", where=str(folder)) from error


def _joined(version: Version, contents: dict[str, bytes], where: Path) -> tuple[Records, Records]:
    """The five training batches in one, and the test batch."""
    missing = [name for name in version.batches if name not in contents]
    if missing:
        raise InputError(f"there is no {', '.join(missing)}", where=str(where), remedy=INTACT)
    *train, test = (
        version.read(
            check(contents[name], version.algorithm, checksum, where / name), str(where / name)
        )
        for name, checksum in version.batches.items()
    )
    return np.concatenate(train), test


BINARY = Version(
    folder="cifar-10-batches-bin",
    archive="cifar-10-binary.tar.gz",
    algorithm="sha256",
    batches={
        "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    },
    read=binary_batch,
)
PYTHON = Version(
    folder="cifar-10-batches-py",
    archive="cifar-10-python.tar.gz",
    algorithm="md5",
    batches={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
    read=read_python_batch,
)
