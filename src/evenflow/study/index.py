"""The index of a result folder: which trials there are and how far each has come.

One SQLite file in write-ahead mode, so that several processes may write at once. It is there to be
looked at: what counts as done is decided by the result files alone, and a lost index is built anew
by the next run.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from evenflow.errors import InputError

VERSION = 1
"""Of the folder's form; a folder of another version is refused."""
State = Literal["waiting", "running", "done", "failed"]

_PATIENCE = 60.0
"""Seconds that a writer waits for another."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS trials (
    key TEXT PRIMARY KEY,
    label TEXT NOT NULL,
    state TEXT NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    of INTEGER NOT NULL,
    rate REAL NOT NULL DEFAULT 0,
    changed REAL NOT NULL,
    message TEXT NOT NULL DEFAULT ''
);
"""


class Row(NamedTuple):
    """One trial as the index knows it."""

    key: str
    label: str
    state: State
    done: int
    """Updates made …"""
    of: int
    """… of so many."""
    rate: float
    """Updates a second, lately."""
    changed: float
    """When it last said something, in seconds since 1970."""
    message: str
    """Why it failed."""


class Failure(NamedTuple):
    """One thing that went wrong, and the trials that it made fail."""

    message: str
    trials: list[str]
    """Their labels."""

    @property
    def whose(self) -> str:
        """The trials in a few words."""
        others = len(self.trials) - 1
        return self.trials[0] + (f" and {others} more" if others else "")


def failures(rows: Iterable[Row]) -> list[Failure]:
    """What went wrong, each thing once: a missing file fails every trial on its data set."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.state == "failed":
            found.setdefault(row.message, []).append(row.label)
    return [Failure(*item) for item in found.items()]


class Index:
    """The index of the result folder ``folder``, which must exist."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "index.sqlite"
        with self._open() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(_SCHEMA)
            connection.execute("INSERT OR IGNORE INTO about VALUES ('version', ?)", (str(VERSION),))
        found = self.about("version")
        if found != str(VERSION):
            raise InputError(
                f"the result folder has version {found}, this evenflow writes {VERSION}",
                where=str(folder),
                remedy="name another folder, or use the evenflow that made this one",
            )

    def about(self, name: str) -> str | None:
        """What is noted under ``name``."""
        with self._open() as connection:
            row = connection.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def note(self, name: str, value: str) -> None:
        """Note something about the whole folder."""
        with self._open() as connection:
            connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))

    def add(self, trials: Iterable[tuple[str, str, int]]) -> None:
        """Enter trials (key, label, updates) that are not known yet, as waiting."""
        with self._open() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO trials (key, label, state, of, changed) "
                "VALUES (?, ?, 'waiting', ?, ?)",
                [(*trial, time.time()) for trial in trials],
            )

    def tell(self, key: str, state: State, done: int, rate: float = 0.0, message: str = "") -> None:
        """Say how far a trial has come."""
        with self._open() as connection:
            connection.execute(
                "UPDATE trials SET state = ?, done = ?, rate = ?, changed = ?, message = ? "
                "WHERE key = ?",
                (state, done, rate, time.time(), message, key),
            )

    def rows(self) -> list[Row]:
        """Every trial, in the order in which they were entered."""
        with self._open() as connection:
            found = connection.execute(
                "SELECT key, label, state, done, of, rate, changed, message FROM trials "
                "ORDER BY rowid"
            ).fetchall()
        return [Row(*row) for row in found]

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction: processes and threads share nothing else."""
        try:
            connection = sqlite3.connect(self.path, timeout=_PATIENCE)
            try:
                with connection:
                    yield connection
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise InputError(
                f"the index of the results cannot be used: {error}",
                where=str(self.path),
                remedy="see that the folder may be written and has room; a damaged index may be "
                "deleted, the results stay and the next run builds it anew",
            ) from error
