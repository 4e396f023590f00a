"""The file of a Run: one SQLite database in its folder, in write-ahead mode.

A process may be killed at any moment: what was committed is there, and readers never wait.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from evenflow.errors import InputError

FILE = "run.sqlite"
"""Name of the file in the run's folder."""
APPLICATION = 0x45464C57
"""SQLite's own field for whose file it is."""
VERSION = 1
"""Version of the schema; a file of another version is refused."""

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE layer (number INTEGER PRIMARY KEY, description TEXT NOT NULL);
CREATE TABLE weight (number INTEGER PRIMARY KEY, description TEXT NOT NULL);
CREATE TABLE sample (
  number INTEGER PRIMARY KEY, step INTEGER NOT NULL,
  loss REAL, loss_low REAL, loss_high REAL,
  learning_rate REAL, norm_before REAL, norm_after REAL,
  forward BLOB NOT NULL, backward BLOB NOT NULL, gradients BLOB NOT NULL
);
CREATE TABLE event (
  number INTEGER PRIMARY KEY, step INTEGER NOT NULL,
  kind TEXT NOT NULL, place TEXT NOT NULL, detail TEXT NOT NULL
);
"""
SCALARS = ("loss", "loss_low", "loss_high", "learning_rate", "norm_before", "norm_after")
"""Columns of a sample that are plain numbers; NULL stands for NaN."""
READINGS = ("forward", "backward", "gradients")
"""Columns that hold readings: all values as float32, then all cells as uint16, both little-endian,
tensors in the order of their numbers."""


def file_of(folder: str | os.PathLike[str]) -> Path:
    """Where the run in ``folder`` is kept; a path to the file itself will do too."""
    path = Path(folder)
    return path if path.suffix == ".sqlite" else path / FILE


def is_run(folder: str | os.PathLike[str]) -> bool:
    """Whether there is the file of a run, as far as its name tells."""
    return file_of(folder).is_file()


def require_ours(connection: sqlite3.Connection, path: Path) -> None:
    """InputError for a database that is no run, or of another version of the schema."""
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        application = 0
    if application != APPLICATION:
        raise InputError(
            "this is no run of evenflow", where=str(path), remedy="give the folder of an ef.watch"
        )
    if version != VERSION:
        raise InputError(
            f"the run has schema version {version}, this evenflow reads {VERSION}",
            where=str(path),
            remedy="use the evenflow that wrote it",
        )
