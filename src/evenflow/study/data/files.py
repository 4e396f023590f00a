"""Where a data set's files come from: the user's folder, the cache, the network; all checked."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pooch
import requests
from filelock import FileLock

from evenflow.atomic import make_folder, replacing
from evenflow.errors import InputError
from evenflow.study.data.dataset import Records

VARIABLE = "EVENFLOW_DATA"
"""The environment variable that names the user's folder of data sets."""

INTACT = "put an intact copy there, or take it away so that one is downloaded"


@dataclass(frozen=True)
class Remote:
    """A file that can be fetched, with what it must hash to."""

    name: str
    urls: tuple[str, ...]
    """The same file at one address or more."""
    sha256: str


def places(name: str, data_dir: Path | None) -> list[Path]:
    """The user's folders that may hold the data set ``name``: its own one first, then the whole.

    Raises ``InputError`` when the folder that the user named is not there.
    """
    value = data_dir or os.environ.get(VARIABLE)
    if not value:
        return []
    named = Path(value).expanduser()
    if not named.is_dir():
        raise InputError(
            "there is no such folder of data sets",
            where=str(named),
            remedy=f"name the folder that holds them by data_dir or {VARIABLE}",
        )
    return [folder for folder in (named / name, named) if folder.is_dir()]


def cache(name: str) -> Path:
    """The folder in the user's cache that holds files of the data set ``name``."""
    return Path(pooch.os_cache("evenflow")) / name


def check(content: bytes, algorithm: str, expected: str, where: Path | str) -> bytes:
    """Return ``content`` if its hash is the one expected, or say which it is."""
    found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    if found != expected:
        raise InputError(
            f"the file is damaged or another one: its {algorithm} is {found}, not {expected}",
            where=str(where),
            remedy=INTACT,
        )
    return content


def fetch(remote: Remote, name: str, remedy: str) -> Path:
    """The file ``remote`` of the data set ``name`` in the cache, downloaded if it is not there.

    A download that breaks off goes on at its next call from where it stopped; until it is whole and
    has the right checksum it does not bear the file's name. ``remedy`` says what to do without a
    network.
    """
    folder = cache(name)
    make_folder(folder)
    part = folder / f".{remote.name}.part"
    failures: list[str] = []
    try:
        with FileLock(folder / f".{remote.name}.lock"):
            for url in remote.urls:
                try:
                    return _retrieve(url, remote, folder, part)
                except (requests.RequestException, ValueError) as error:
                    failures.append(f"{url}: {_told(error)}")
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(
            f"{remote.name} cannot be written to the cache: {error.strerror or error}",
            where=str(folder),
            remedy="make room, or set XDG_CACHE_HOME to a folder that has some",
        ) from error
    kept = f" ({part.stat().st_size:,} bytes are kept to go on from)" if part.exists() else ""
    raise InputError(
        f"{remote.name} is not here and could not be downloaded{kept}: {'; '.join(failures)}",
        where=name,
        remedy=remedy,
    )


def decoded(
    name: str, key: str, make: Callable[[], tuple[Records, Records]]
) -> tuple[Records, Records]:
    """What ``make`` returns, kept in the cache of the data set ``name`` under ``key``.

    For what takes long to make from the user's files; ``key`` must change when they do.
    """
    path = cache(name) / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return kept["train"], kept["test"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        train, test = make()
    # A cache that cannot be written is done without.
    with suppress(InputError), replacing(path) as temporary, temporary.open("wb") as new:
        np.savez(new, train=train, test=test)
    return train, test


def _retrieve(url: str, remote: Remote, folder: Path, part: Path) -> Path:
    """The file in ``folder`` if it has the right checksum, or downloaded to there and checked."""

    def download(url: str, output: str, _: object) -> None:
        _resume(url, Path(output), part)

    checksum = f"sha256:{remote.sha256}"
    return Path(pooch.retrieve(url, checksum, remote.name, folder, downloader=download))


def _resume(url: str, output: Path, part: Path) -> None:
    """Download ``url`` to ``output`` by way of ``part``, from where an earlier try left it."""
    had = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={had}-"} if had else {})
    with requests.get(url, headers=headers, stream=True, timeout=30) as response:
        if had and response.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink()  # longer than the file is: not a part of it
            _resume(url, output, part)
            return
        response.raise_for_status()
        whole = response.status_code != requests.codes.partial_content
        with part.open("wb" if whole else "ab") as file:
            for chunk in response.iter_content(1 << 16):
                file.write(chunk)
    os.replace(part, output)


def _told(error: Exception) -> str:
    """What stopped a download, without the depths of the network's libraries."""
    if isinstance(error, requests.Timeout):
        return "the server does not answer"
    if isinstance(error, requests.ConnectionError):
        return "no connection to the server"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    return str(error)
