"""A result folder: the trials' results, their checkpoints, and the index over them.

index.sqlite            how far each trial has come
trials/<key>/
  checkpoint.safetensors  the state of a trial under way
  result.safetensors      all that is kept of a finished one
  lock                    held by the process that works on it, and freed with its death
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import msgspec

from evenflow.atomic import make_folder
from evenflow.errors import InputError
from evenflow.study.arrays import Arrays, read_arrays, write_arrays
from evenflow.study.index import Index
from evenflow.study.kinds import AnyTrial


class Folder:
    """The result folder at ``path``, made if need be; refused if another version wrote it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        make_folder(path / "trials")
        self.index = Index(path)

    def result(self, trial: AnyTrial) -> Arrays | None:
        """What a finished trial measured; None while it is not finished."""
        path = self._of(trial) / "result.safetensors"
        return _read(path, path.stat().st_mtime_ns) if path.exists() else None

    def finish(self, trial: AnyTrial, arrays: Arrays, **notes: str) -> None:
        """Keep what a trial measured; its checkpoint is no longer needed."""
        spec = msgspec.json.encode(trial).decode()
        write_arrays(self._of(trial) / "result.safetensors", arrays, trial=spec, **notes)
        (self._of(trial) / "checkpoint.safetensors").unlink(missing_ok=True)

    def checkpoint(self, trial: AnyTrial) -> Arrays | None:
        """The state that a trial was last saved in; None where it never was."""
        path = self._of(trial) / "checkpoint.safetensors"
        return read_arrays(path)[0] if path.exists() else None

    def save(self, trial: AnyTrial, state: Arrays) -> None:
        """Replace the trial's checkpoint."""
        write_arrays(self._of(trial) / "checkpoint.safetensors", state)

    @contextmanager
    def claimed(self, trial: AnyTrial) -> Iterator[bool]:
        """Whether the trial is ours while the block runs; False if another process has it.

        The claim is a lock of the operating system, which ends with its holder however that dies.
        """
        make_folder(self._of(trial))
        lock = filelock.FileLock(self._of(trial) / "lock", blocking=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            yield False
            return
        except OSError as error:
            raise InputError(
                f"the trial cannot be locked: {error.strerror or error}", where=str(self.path)
            ) from error
        try:
            yield True
        finally:
            lock.release()

    def _of(self, trial: AnyTrial) -> Path:
        return self.path / "trials" / trial.key


@functools.lru_cache(maxsize=512)
def _read(path: Path, _written: int) -> Arrays:
    return read_arrays(path)[0]
