"""Kills a worker process of a running study from within its own process."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROC = Path("/proc")


class Killer(threading.Thread):
    """Kills the first process below this one whose command line has ``mark``, once ``ready()``."""

    def __init__(self, mark: bytes, ready: Callable[[], bool]) -> None:
        if not PROC.is_dir():
            pytest.skip("needs /proc")
        super().__init__(daemon=True)
        self.mark, self.ready, self.killed = mark, ready, False
        self.start()

    def run(self) -> None:
        while not self.ready():
            time.sleep(0.005)
        for worker in _below(os.getpid()):
            if self.mark in _read(worker, "cmdline"):
                os.kill(worker, signal.SIGKILL)
                self.killed = True
                return


def _below(parent: int) -> Iterator[int]:
    """Processes whose parent's parent's … parent is ``parent``."""
    for folder in PROC.iterdir():
        if folder.name.isdigit() and _parent(int(folder.name)) == parent:
            yield int(folder.name)
            yield from _below(int(folder.name))


def _parent(process: int) -> int:
    after_name = _read(process, "stat").rpartition(b")")[2].split()
    return int(after_name[1]) if after_name else 0


def _read(process: int, name: str) -> bytes:
    try:
        return (PROC / str(process) / name).read_bytes()
    except OSError:  # it has ended meanwhile
        return b""
