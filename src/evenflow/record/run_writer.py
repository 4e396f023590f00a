"""Write a Run while the training goes on: every sample is committed as it comes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from evenflow.atomic import make_folder
from evenflow.errors import InputError
from evenflow.record.run import Event, RunLayer, RunWeight
from evenflow.record.run_schema import (
    APPLICATION,
    READINGS,
    SCALARS,
    TABLES,
    VERSION,
    file_of,
    require_ours,
)
from evenflow.record.run_thinning import dropped

Reading = tuple[NDArray[np.float32], NDArray[np.uint16]]
"""Values and cells of some tensors at one step."""

_ADD = f"INSERT INTO sample VALUES ({', '.join('?' * (2 + len(SCALARS) + len(READINGS)))})"
_THIN = "DELETE FROM sample WHERE number >= ? AND number < ? AND number % ? != 0"


@dataclass(frozen=True)
class Sample:
    """One sampled step, as it is written."""

    step: int
    scalars: Mapping[str, float]
    """Some of ``SCALARS``; what is missing or NaN was not measured."""
    readings: Mapping[str, Reading]
    """All of ``READINGS``."""


class RunWriter:
    """The open file of a run. Every method raises InputError where it cannot be written.

    An earlier run in the folder is kept as ``run.before.sqlite``.
    """

    def __init__(self, folder: str | os.PathLike[str], meta: Mapping[str, str]) -> None:
        self.path = file_of(folder)
        self._samples = 0
        make_folder(self.path.parent)
        try:
            _set_aside(self.path)
            self._connection = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            # In this mode what was committed survives the process, if not always the power.
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("BEGIN IMMEDIATE")
            for statement in TABLES.strip().split(";\n"):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA application_id = {APPLICATION}")
            self._connection.execute(f"PRAGMA user_version = {VERSION}")
            self._connection.execute("COMMIT")
            self.tell(meta)
        except (sqlite3.Error, OSError) as error:
            raise _refused(self.path, error) from error

    def tell(self, meta: Mapping[str, str]) -> None:
        """Set facts about the whole run."""
        self._write("INSERT OR REPLACE INTO meta VALUES (?, ?)", [(key, meta[key]) for key in meta])

    def add_layer(self, number: int, layer: RunLayer) -> None:
        """Describe the layer whose readings stand at ``number``."""
        self._write("INSERT INTO layer VALUES (?, ?)", [(number, _json(layer))])

    def add_weight(self, number: int, weight: RunWeight) -> None:
        """Describe the parameter whose readings stand at ``number``."""
        self._write("INSERT INTO weight VALUES (?, ?)", [(number, _json(weight))])

    def add_event(self, event: Event) -> None:
        """Keep an event."""
        row = (event.step, event.kind, event.place, event.detail)
        self._write("INSERT INTO event (step, kind, place, detail) VALUES (?, ?, ?, ?)", [row])

    def add_sample(self, sample: Sample) -> None:
        """Append a sample, and thin out older ones."""
        scalars = [sample.scalars.get(name) for name in SCALARS]  # SQLite writes NaN as NULL
        readings = [_packed(sample.readings[name]) for name in READINGS]
        thinned = list(dropped(self._samples + 1))
        try:
            with self._connection:
                if thinned:  # one statement alone is committed as it ends
                    self._connection.execute("BEGIN")
                self._connection.execute(_ADD, (self._samples, sample.step, *scalars, *readings))
                self._connection.executemany(_THIN, thinned)
        except sqlite3.Error as error:
            raise _refused(self.path, error) from error
        self._samples += 1

    def close(self) -> None:
        """Fold the write-ahead log into the file."""
        self._connection.close()

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        try:
            self._connection.execute("BEGIN")
            self._connection.executemany(statement, rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise _refused(self.path, error) from error


def _set_aside(path: Path) -> None:
    """Keep an earlier run under another name; what is no run is left alone and refused."""
    if not path.exists():
        return
    earlier = sqlite3.connect(path)
    try:
        require_ours(earlier, path)
        earlier.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        earlier.close()
    os.replace(path, path.with_suffix(".before.sqlite"))
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _packed(reading: Reading) -> bytes:
    values, cells = reading
    return values.astype("<f4", copy=False).tobytes() + cells.astype("<u2", copy=False).tobytes()


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _refused(path: Path, error: Exception) -> InputError:
    return InputError(
        f"the run cannot be written: {error}",
        where=str(path),
        remedy="choose a folder that you may write to and that has room",
    )
