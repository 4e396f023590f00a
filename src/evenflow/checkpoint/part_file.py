"""One file of a checkpoint: filled piece by piece by several threads, checksummed, and checked.

Pieces lie on a grid of 16 MiB over the file's data. Each is made in a buffer, counted into the
checksum and written to its place, so that neither their order nor the number of threads leaves a
trace in the file. They go to the disk directly where the system allows it: by way of its cache they
would be copied once more, and push out what others have there.
"""

from __future__ import annotations

import mmap
import os
import threading
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenflow.atomic import replacing
from evenflow.checkpoint.layout import Drawn, Item, Part
from evenflow.checkpoint.safetensors_header import PAGE
from evenflow.planning.distributions import Blocks, DeltaOrthogonal, Orthogonal
from evenflow.sampling import fill, sample
from evenflow.sampling.contract import STORAGE

PIECE = 1 << 24
"""Bytes of a piece: what a thread has in memory."""
_BLANK = "0" * 16
"""Stands in the header for a checksum that is not yet known."""

Bytes = NDArray[np.uint8]
Progress = Callable[[int], None]
"""Told of bytes as they are done."""


def write_part(path: Path, part: Part, jobs: int, progress: Progress) -> None:
    """Write the file whole or not at all. It is on the disk when this returns."""
    start = len(part.header(_BLANK))
    make = Maker(part)
    with replacing(path) as temporary, _opened(temporary) as target:
        os.truncate(target, _whole_pages(start + part.size))

        def write(begin: int, room: Bytes, length: int) -> int:
            make(begin, room[:length])
            _write_all(target, room[: _whole_pages(length)].data, start + begin)
            return zlib.crc32(room[:length].data)

        checksum = _checksum(part.size, jobs, write, progress)
        head = _pages(start)
        head[:] = np.frombuffer(part.header(checksum), np.uint8)
        _write_all(target, head.data, 0)
        os.truncate(target, start + part.size)


def is_part(path: Path, part: Part) -> bool:
    """Whether the file at ``path`` was written for ``part``, going by its header alone."""
    expected = part.header(_BLANK)
    try:
        with path.open("rb") as file:
            found = file.read(len(expected))
    except OSError:
        return False
    checksum = _stated(found, part)
    return found == part.header(checksum)


def is_sound(path: Path, part: Part, jobs: int, progress: Progress) -> bool:
    """Whether the file, which ``is_part``, holds the data that its checksum was taken of."""
    start = len(part.header(_BLANK))
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size != start + part.size:
            return False

        def read(begin: int, room: Bytes, length: int) -> int:
            os.preadv(file.fileno(), [room[:length].data], start + begin)
            return zlib.crc32(room[:length].data)

        found = _checksum(part.size, jobs, read, progress)
        return found == _stated(os.pread(file.fileno(), start, 0), part)


def _stated(header: bytes, part: Part) -> str:
    """The checksum that a header states, by its place; whatever stands there in any other file."""
    place = part.header(_BLANK).index(f'"checksum":"{_BLANK}"'.encode()) + len('"checksum":"')
    return header[place : place + len(_BLANK)].decode(errors="replace")


def _checksum(
    size: int, jobs: int, handle: Callable[[int, Bytes, int], int], progress: Progress
) -> str:
    """Have ``jobs`` threads handle every piece; the digest of the CRC-32 that each one gives.

    ``handle`` is given where the piece begins, room for it in whole pages, and its length.
    """
    begins = range(0, size, PIECE)
    found = np.zeros(len(begins), "<u4")
    queue, stop = iter(list(enumerate(begins))), threading.Event()

    def work() -> None:
        room = _pages(min(PIECE, size))
        for number, begin in queue:  # a list's iterator can be shared
            if stop.is_set():
                return
            length = min(PIECE, size - begin)
            found[number] = handle(begin, room, length)
            progress(length)

    with ThreadPoolExecutor(jobs, thread_name_prefix="evenflow-checkpoint") as pool:
        running = [pool.submit(work) for _ in range(min(jobs, len(begins)))]
        try:
            for each in running:
                each.result()
        except BaseException:
            stop.set()
            raise
    return blake2b(found.tobytes(), digest_size=8).hexdigest()


class Maker:
    """Makes any range of bytes of a part's data."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._ends = part.ends
        self._kept: dict[str, Bytes] = {}
        self._lock = threading.Lock()

    def __call__(self, begin: int, out: Bytes) -> None:
        """Write the bytes from ``begin`` on into ``out``."""
        for item, low, high, piece in self._overlaps(begin, out):
            if isinstance(item.source, bytes):
                piece[:] = np.frombuffer(item.source, np.uint8)[low:high]
            elif _needs_all(item.source):
                piece[:] = self._whole(item, item.source)[low:high]
            else:
                self._draw(item, item.source, low, piece)

    def _overlaps(self, begin: int, out: Bytes) -> Iterator[tuple[Item, int, int, Bytes]]:
        """Each item that lies in the range: its bytes [low, high), and where they go."""
        end = begin + len(out)
        for k in range(bisect_right(self._ends, begin), len(self._ends)):
            item = self._part.items[k]
            first = self._ends[k] - item.size
            if first >= end:
                return
            low, high = max(begin, first), min(end, self._ends[k])
            yield item, low - first, high - first, out[low - begin : high - begin]

    def _draw(self, item: Item, source: Drawn, low: int, out: Bytes) -> None:
        fill(
            out.view(STORAGE[source.dtype]),
            source.distribution,
            seed=self._part.seed,
            name=source.name,
            shape=item.shape,
            start=low // item.item_bytes,
            dtype=source.dtype,
            threads=1,
        )

    def _whole(self, item: Item, source: Drawn) -> Bytes:
        """A tensor that can only be made as a whole; the last two made are kept.

        One at a time: the decomposition takes several times the memory of its result.
        """
        with self._lock:
            if item.key not in self._kept:
                while len(self._kept) > 1:
                    del self._kept[next(iter(self._kept))]
                made = sample(
                    source.distribution,
                    item.shape,
                    seed=self._part.seed,
                    name=source.name,
                    dtype=source.dtype,
                )
                self._kept[item.key] = np.ascontiguousarray(made).reshape(-1).view(np.uint8)
            return self._kept[item.key]


def _needs_all(source: Drawn) -> bool:
    distribution = source.distribution
    kinds = distribution.parts if isinstance(distribution, Blocks) else (distribution,)
    return any(isinstance(kind, Orthogonal | DeltaOrthogonal) for kind in kinds)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A descriptor to write to, past the system's cache where the file's disk can do that."""
    try:
        descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_DIRECT", 0))
    except OSError:  # no direct writing here: file systems in memory, some on networks
        descriptor = os.open(path, os.O_WRONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _pages(size: int) -> Bytes:
    """Memory of its own for ``size`` bytes, in whole pages, as direct writing asks for."""
    return np.frombuffer(mmap.mmap(-1, max(_whole_pages(size), PAGE)), np.uint8)


def _whole_pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    while len(data):
        done = os.pwrite(descriptor, data, offset)
        data, offset = data[done:], offset + done
