"""The header of a safetensors file: eight bytes of length, then JSON that says what lies where.

A stranger may have written it: everything it says is checked against the file before it is used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from evenflow.errors import InputError

ITEM_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "I64": 8,
    "U64": 8,
    "F64": 8,
    "C64": 8,
}
"""Bytes of one element of each type."""
PAGE = 4096
"""Bytes: where we write, the data starts at a multiple of this."""
_LONGEST = 100_000_000
"""Bytes of the longest header that the safetensors library reads."""
_LARGEST = 2**62
"""Elements of the largest tensor that is believed in."""


class StoredTensor(NamedTuple):
    """Where a tensor lies in a file."""

    code: str
    shape: tuple[int, ...]
    begin: int
    """Its first byte, counted from the start of the file."""
    end: int


class Header(NamedTuple):
    """What a file's header says."""

    tensors: dict[str, StoredTensor]
    metadata: dict[str, str]
    begin: int
    """The first byte of the data, counted from the start of the file."""


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    data_offsets: tuple[Annotated[int, msgspec.Meta(ge=0)], Annotated[int, msgspec.Meta(ge=0)]]


def encode(tensors: Iterable[tuple[str, str, tuple[int, ...]]], metadata: dict[str, str]) -> bytes:
    """The header of a file that holds ``tensors`` (name, type, shape) one after the other."""
    content: dict[str, object] = {"__metadata__": metadata}
    begin = 0
    for name, code, shape in tensors:
        end = begin + math.prod(shape) * ITEM_BYTES[code]
        content[name] = {"dtype": code, "shape": list(shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % PAGE)  # so that the data lies on pages
    return len(text).to_bytes(8, "little") + text


def read(path: Path) -> Header:
    """The header of the file at ``path``.

    Raises ``InputError`` if the file cannot be read, or its header is malformed or disagrees with
    the file: tensors beyond its end, over one another, or of another size than their shapes.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= min(size - 8, _LONGEST):
                raise _damaged(path, "its header is cut short or absurdly long")
            text = file.read(length)
    except OSError as error:
        raise InputError(
            f"the file cannot be read: {error.strerror or error}", where=str(path)
        ) from error
    try:
        fields = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        raw = fields.pop("__metadata__", None)
        metadata = {} if raw is None else msgspec.json.decode(raw, type=dict[str, str])
        entries = {name: msgspec.json.decode(e, type=_Entry) for name, e in fields.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _damaged(path, f"its header is malformed: {error}") from error
    return Header(_placed(entries, 8 + length, size, path), metadata, 8 + length)


def _placed(
    entries: dict[str, _Entry], start: int, size: int, path: Path
) -> dict[str, StoredTensor]:
    """The entries with their places in the file, which they fill without gap or overlap."""
    at = 0
    for name, entry in sorted(entries.items(), key=lambda each: each[1].data_offsets):
        if not name.isprintable():
            raise _damaged(path, f"the name {name!r} holds control characters")
        begin, end = entry.data_offsets
        if entry.dtype not in ITEM_BYTES:
            raise _damaged(path, f"{name} has the unknown type {entry.dtype!r}")
        if math.prod(entry.shape) > _LARGEST or any(n > _LARGEST for n in entry.shape):
            raise _damaged(path, f"{name} has the absurd shape {_said(entry.shape)}")
        if end - begin != math.prod(entry.shape) * ITEM_BYTES[entry.dtype]:
            raise _damaged(
                path,
                f"{name} has {end - begin} bytes, which its shape {_said(entry.shape)} of "
                f"{entry.dtype} does not take",
            )
        if begin != at:
            raise _damaged(path, f"{name} {'overlaps' if begin < at else 'leaves a gap after'} "
                           "what lies before it")  # fmt: skip
        at = end
    if start + at != size:
        raise _damaged(path, f"it has {size} bytes where its header says {start + at}")
    return {
        name: StoredTensor(e.dtype, e.shape, start + e.data_offsets[0], start + e.data_offsets[1])
        for name, e in entries.items()
    }


def _said(shape: tuple[int, ...]) -> str:
    text = "×".join(map(str, shape))
    return text if len(text) < 60 else text[:57] + "…"


def _damaged(path: Path, fault: str) -> InputError:
    return InputError(
        f"this is no safetensors file that can be trusted: {fault}",
        where=str(path),
        remedy="write the checkpoint again, or copy it anew from where it came",
    )
