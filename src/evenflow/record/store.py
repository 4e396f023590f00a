"""A Record as JSON: written atomically, read strictly, never executed."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from evenflow.atomic import write_bytes
from evenflow.errors import InputError
from evenflow.record.record import Record

VERSION = 1
"""Version of the schema; a file of another version is refused."""
_FORMAT = "evenflow-record"
_Kind = TypeVar("_Kind")


class _Head(msgspec.Struct):
    """What is read before all else: whether the file is ours, and of which version."""

    format: str = ""
    version: int = 0


class _File(_Head, kw_only=True):
    record: Record


def to_json(record: Record) -> bytes:
    """The record as indented JSON. NaN and infinities are the strings "NaN", "Infinity", …"""
    plain = msgspec.to_builtins(_File(format=_FORMAT, version=VERSION, record=record))
    return msgspec.json.format(msgspec.json.encode(_spelt(plain)), indent=1)


def from_json(data: bytes, where: str = "record") -> Record:
    """The record that ``to_json`` wrote.

    Raises InputError for what is no JSON, no record, of another version, or malformed; ``where``
    names the source in its message.
    """
    head = _decode(data, _Head, where)
    if head.format != _FORMAT:
        raise InputError(
            "this is no evenflow record", where=where, remedy="give the JSON file of a check"
        )
    if head.version != VERSION:
        raise InputError(
            f"the record has schema version {head.version}, this evenflow reads {VERSION}",
            where=where,
            remedy="run the check again, or use the evenflow that wrote the file",
        )
    return _decode(data, _File, where).record


def save(record: Record, path: str | os.PathLike[str]) -> None:
    """Write ``record`` to ``path`` as JSON; an existing file is replaced whole or not at all.

    Raises InputError where the folder cannot be written to or is full.
    """
    write_bytes(Path(path), to_json(record))


def load(path: str | os.PathLike[str]) -> Record:
    """Read a record that ``save`` wrote; InputError for anything else (see ``from_json``)."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"the record could not be read: {error.strerror or error}", where=str(path)
        ) from error
    return from_json(data, str(path))


def _decode(data: bytes, kind: type[_Kind], where: str) -> _Kind:
    try:
        # Not strict, for this alone: "NaN" is read where a float is due.
        return msgspec.json.decode(data, type=kind, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            f"the record is damaged: {error}", where=where, remedy="run the check again"
        ) from error


def _spelt(value: Any) -> Any:
    """The same plain value with floats that JSON cannot hold as strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {key: _spelt(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spelt(item) for item in value]
    return value
