"""The runner: all trials of a study, on this machine or on a Ray cluster.

What is wanted may depend on what is known (the best learning rate decides which seeds follow), so
that a study says again and again what it wants until nothing new comes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from evenflow.study.arrays import Arrays
from evenflow.study.engines import engine
from evenflow.study.folder import Folder
from evenflow.study.kinds import AnyTrial
from evenflow.study.training.run import DONE
from evenflow.study.trial import Trial
from evenflow.study.work import Place

Lookup = Callable[[AnyTrial], Arrays | None]
"""What a finished trial measured; None while it is not finished."""
Wanted = Callable[[Lookup], Iterable[AnyTrial]]
"""The trials that a study wants, given what is known so far."""

TOGETHER = 64
"""Networks that advance together on a GPU."""
_PAUSE = 2.0
"""Seconds until trials that another process works on are looked at again."""


class Settings(NamedTuple):
    """How a run is carried out; no number of its results depends on it."""

    jobs: int = 1
    """Trials worked on at once."""
    engine: str = "local"
    address: str | None = None
    """Of a Ray cluster; None starts Ray on this machine."""
    data_dir: str | None = None
    device: str = "cpu"


class Stopped(Exception):
    """The user asked to stop; every trial under way is saved."""


def run_trials(path: Path, wanted: Wanted, settings: Settings) -> None:
    """Carry out every trial that is wanted and not done, in the result folder ``path``.

    Failed trials are noted in the index and tried once a run. Several processes may run on the same
    folder at once, and share the work.

    Raises:
        Stopped: the user pressed Ctrl-C.
        InputError: the folder cannot be used, or the engine is unknown or not installed.
    """
    folder = Folder(path)
    spread = engine(settings.engine, settings.jobs, settings.address)
    tried: set[str] = set()
    with _stop_file(path) as stop:
        place = Place(path.resolve(), settings.data_dir, settings.device, stop, os.getpid())
        while open_ := _open(folder, wanted, tried):
            elsewhere = 0
            for key, outcome in spread(place, units(folder, open_, settings.device)):
                elsewhere += outcome == "elsewhere"
                if outcome == "failed":
                    tried.add(key)
            if stop.exists():
                raise Stopped
            if elsewhere == len(open_):
                time.sleep(_PAUSE)


def units(folder: Folder, trials: Sequence[AnyTrial], device: str) -> list[Sequence[AnyTrial]]:
    """Trials in groups that one worker carries out together.

    One by one on a processor, where a network alone fills the cache. On a GPU those of one shape
    that stand at the same place, ``TOGETHER`` at most: they differ in scheme, rate and seed alone.
    """
    if device == "cpu":
        return [(trial,) for trial in trials]
    groups: dict[object, list[AnyTrial]] = {}
    for trial in trials:
        groups.setdefault(_shape(folder, trial), []).append(trial)
    return [
        group[start : start + TOGETHER]
        for group in groups.values()
        for start in range(0, len(group), TOGETHER)
    ]


def _shape(folder: Folder, trial: AnyTrial) -> object:
    """What trials that advance together have in common."""
    if not isinstance(trial, Trial):
        return trial.key
    saved = folder.checkpoint(trial)
    place = () if saved is None else tuple(saved[DONE].tolist())
    network = msgspec.structs.replace(trial.network, scheme="")
    return msgspec.structs.replace(trial, network=network, rate=1.0, seed=0), place


def _open(folder: Folder, wanted: Wanted, tried: set[str]) -> list[AnyTrial]:
    """Wanted trials without a result; all that are wanted are entered in the index."""
    trials = list(dict.fromkeys(wanted(folder.result)))
    folder.index.add((trial.key, trial.label, trial.updates) for trial in trials)
    finished = {row.key for row in folder.index.rows() if row.state == "done"}
    for trial in trials:
        if trial.key not in finished and folder.result(trial) is not None:
            folder.index.tell(trial.key, "done", trial.updates)
    return [t for t in trials if t.key not in tried and folder.result(t) is None]


@contextlib.contextmanager
def _stop_file(path: Path) -> Iterator[Path]:
    """A file that the first Ctrl-C makes; the second interrupts at once."""
    stop = path.resolve() / f"stop.{os.getpid()}"
    stop.unlink(missing_ok=True)

    def ask(_number: int, _frame: object) -> None:
        if stop.exists():
            raise KeyboardInterrupt
        stop.touch()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
        stop.unlink(missing_ok=True)
