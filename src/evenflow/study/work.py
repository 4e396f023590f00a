"""One trial, or a few of one shape, from where they stand to their results."""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from evenflow.errors import EvenflowError
from evenflow.study.data import DataSet, load
from evenflow.study.folder import Folder
from evenflow.study.index import State
from evenflow.study.kinds import AnyTrial
from evenflow.study.support_vectors import SupportVectors, fit
from evenflow.study.training.run import Course
from evenflow.study.trial import Trial

Outcome = Literal["done", "failed", "stopped", "elsewhere"]

CHUNK = 20
"""Updates between two looks at the clock."""
TELL_EVERY, SAVE_EVERY = 2.0, 30.0
"""Seconds between two words to the index, and between two checkpoints."""


class Place(NamedTuple):
    """Where trials are worked on: the same for all trials of a run."""

    folder: Path
    data_dir: str | None
    device: str
    stop: Path
    """Once this file is there, trials save where they are and end."""
    runner: int
    """The process that started the work; should it die, local workers end too."""


def work(place: Place, trials: Sequence[AnyTrial]) -> Outcome:
    """Bring trials of one shape to their end, on one thread; other processes may do the same.

    Every number depends on the trial alone, not on where it ran or how often it was interrupted.
    Whatever goes wrong is noted in the index and goes no further.
    """
    if os.getpid() != place.runner:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process at once
    if _told_to_stop(place):
        return "stopped"
    folder = Folder(place.folder)
    with ExitStack() as claims:
        if not all(claims.enter_context(folder.claimed(trial)) for trial in trials):
            return "elsewhere"
        try:
            return _carry_out(place, folder, trials)
        except Exception as error:  # one bad trial must not stop the others
            kind = "" if isinstance(error, EvenflowError) else f"{type(error).__name__}: "
            _tell(folder, trials, "failed", 0, message=f"{kind}{error}")
            return "failed"


def _carry_out(place: Place, folder: Folder, trials: Sequence[AnyTrial]) -> Outcome:
    if all(folder.result(trial) is not None for trial in trials):
        _tell(folder, trials, "done", trials[0].updates)
        return "done"
    trainings = [trial for trial in trials if isinstance(trial, Trial)]
    if trainings:
        return _train(place, folder, trainings)
    for trial in trials:
        assert isinstance(trial, SupportVectors)  # there is no third kind
        _tell(folder, [trial], "running", 0)
        folder.finish(trial, fit(trial, _data(trial.data, place.data_dir, trial.seed)))
        _tell(folder, [trial], "done", trial.updates)
    return "done"


def _train(place: Place, folder: Folder, trials: Sequence[Trial]) -> Outcome:
    course = _course(place, folder, trials)
    told = kept = time.monotonic()
    since = course.update
    while not course.over:
        course.advance(CHUNK)
        now = time.monotonic()
        stopping = _told_to_stop(place)
        if stopping or now - kept > SAVE_EVERY:
            for trial, state in zip(trials, course.states(), strict=True):
                folder.save(trial, state)
            kept = now
        if stopping:
            _tell(folder, trials, "waiting", course.update)
            return "stopped"
        if now - told > TELL_EVERY:
            speed = (course.update - since) / (now - told)
            _tell(folder, trials, "running", course.update, speed)
            told, since = now, course.update
    for trial, seen in zip(trials, course.seen(), strict=True):
        folder.finish(trial, seen)
    _tell(folder, trials, "done", course.update)
    return "done"


def _course(place: Place, folder: Folder, trials: Sequence[Trial]) -> Course:
    """The trials' training, at the point where it was last saved."""
    torch.set_num_threads(1)
    data = [_data(trial.data, place.data_dir, trial.seed) for trial in trials]
    course = Course(trials, data, place.device)
    saved = [state for trial in trials if (state := folder.checkpoint(trial)) is not None]
    if len(saved) == len(trials):
        course.resume(saved)
    return course


@functools.lru_cache(maxsize=2)
def _data(name: str, folder: str | None, seed: int) -> DataSet:
    """The data set; the trials that one worker carries out after each other often share it."""
    return load(name, data_dir=folder, seed=seed)


def _tell(
    folder: Folder,
    trials: Sequence[AnyTrial],
    state: State,
    done: int,
    speed: float = 0.0,
    message: str = "",
) -> None:
    for trial in trials:
        folder.index.tell(trial.key, state, done, speed, message)


def _told_to_stop(place: Place) -> bool:
    """Whether the user asked to stop, or the process that started this worker is gone."""
    orphaned = os.getpid() != place.runner and os.getppid() == 1
    return orphaned or place.stop.exists()
