"""Read a Run from its folder, while it is being written or later."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from evenflow.errors import InputError
from evenflow.record.run import Ending, Event, Readings, Run, RunLayer, RunWeight
from evenflow.record.run_schema import FILE, READINGS, SCALARS, file_of, require_ours
from evenflow.record.run_sums import CELLS, QUANTITIES

_Kind = TypeVar("_Kind")
_VALUE, _CELL = 4 * len(QUANTITIES), 2 * CELLS
"""Bytes of one tensor's values and cells."""


def read(folder: str | os.PathLike[str]) -> Run:
    """The run in ``folder``; nothing in it is changed, and its writer never waits.

    Raises InputError for a folder without a run, a file that is none or of another version, and a
    damaged one.
    """
    path = file_of(folder)
    if not path.is_file():
        raise InputError(
            "there is no run here", where=str(folder), remedy=f"a run's folder holds {FILE}"
        )
    try:
        with closing(_connected(path)) as connection:
            require_ours(connection, path)
            connection.execute("BEGIN")  # all tables as they were at one moment
            return _run(connection)
    except (sqlite3.Error, msgspec.MsgspecError, ValueError) as error:
        raise InputError(f"the run is damaged: {error}", where=str(path)) from error


def _connected(path: Path) -> sqlite3.Connection:
    """A connection that only reads; a log left by a killed process is honoured."""
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError:
        # Without a log beside it a file in a read-only folder opens in this way alone.
        connection.close()
        return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    except sqlite3.DatabaseError:
        pass  # what is no database at all is told by whoever asks whose it is
    return connection


def _run(connection: sqlite3.Connection) -> Run:
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    layers = _described(connection, "layer", RunLayer)
    weights = _described(connection, "weight", RunWeight)
    columns = ", ".join(("step", *SCALARS, *READINGS))
    rows = connection.execute(f"SELECT {columns} FROM sample ORDER BY number").fetchall()
    scalars: dict[str, Any] = {
        name: np.array([np.nan if row[i] is None else row[i] for row in rows], dtype=np.float64)
        for i, name in enumerate(SCALARS, start=1)
    }
    sizes = (len(layers), len(layers), len(weights))
    readings: dict[str, Any] = {
        name: _readings([row[1 + len(SCALARS) + i] for row in rows], size)
        for i, (name, size) in enumerate(zip(READINGS, sizes, strict=True))
    }
    events = connection.execute("SELECT step, kind, place, detail FROM event ORDER BY number")
    steps = np.array([row[0] for row in rows], dtype=np.int64)
    last = int(steps[-1]) + 1 if len(steps) else 0
    return Run(
        model=meta.get("model", ""),
        every=int(meta.get("every", 1)),
        layers=layers,
        weights=weights,
        steps=steps,
        **scalars,
        **readings,
        events=tuple(Event(*row) for row in events),
        optimiser=meta.get("optimiser", ""),
        ending=_decoded(meta.get("ending", "{}"), Ending),
        total_steps=max(int(meta.get("total_steps", 0)), last),
        finished=meta.get("finished") == "yes",
        versions=_decoded(meta.get("versions", "{}"), dict[str, str]),
    )


def _described(connection: sqlite3.Connection, table: str, kind: type[_Kind]) -> tuple[_Kind, ...]:
    rows = connection.execute(f"SELECT description FROM {table} ORDER BY number")
    return tuple(_decoded(text, kind) for (text,) in rows)


def _decoded(text: str, kind: Any) -> Any:
    return msgspec.json.decode(text.encode(), type=kind)


def _readings(blobs: list[bytes], tensors: int) -> Readings:
    """Samples from before a layer was first seen hold fewer tensors than there are in the end."""
    found = Readings.empty(len(blobs), tensors)
    for sample, blob in enumerate(blobs):
        there = len(blob) // (_VALUE + _CELL)
        if there > tensors or there * (_VALUE + _CELL) != len(blob):
            raise ValueError("a sample has another length than its layers have")
        values: NDArray[np.float32] = np.frombuffer(blob, "<f4", there * len(QUANTITIES))
        cells: NDArray[np.uint16] = np.frombuffer(blob, "<u2", there * CELLS, there * _VALUE)
        found.values[sample, :there] = values.reshape(there, -1)
        found.cells[sample, :there] = cells.reshape(there, -1)
    return found
