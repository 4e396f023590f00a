"""Layout: which tensor lies where in which file of a checkpoint, known before a byte is written.

The form is that of Transformers: safetensors files ``model-00001-of-00003.safetensors`` and an
index beside them, or one ``model.safetensors``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate

from evenflow.checkpoint.safetensors_header import ITEM_BYTES, encode
from evenflow.errors import InputError
from evenflow.planning.distributions import Distribution
from evenflow.sampling.contract import VERSION, Dtype

INDEX = "model.safetensors.index.json"

CODES: dict[Dtype, str] = {
    "float32": "F32",
    "float64": "F64",
    "float16": "F16",
    "bfloat16": "BF16",
}
"""What safetensors calls the types that can be drawn."""


@dataclass(frozen=True)
class Drawn:
    """Values that are drawn from a distribution."""

    distribution: Distribution
    dtype: Dtype
    name: str
    """The parameter's canonical name, by which they are drawn."""


@dataclass(frozen=True)
class Item:
    """One tensor of a checkpoint: its key in the files and where its bytes come from."""

    key: str
    shape: tuple[int, ...]
    code: str
    """Its type as safetensors calls it: F32, BF16, I64 …"""
    source: Drawn | bytes

    @property
    def item_bytes(self) -> int:
        """Bytes of one element."""
        return ITEM_BYTES[self.code]

    @property
    def size(self) -> int:
        """Bytes of the whole tensor."""
        return math.prod(self.shape) * self.item_bytes


@dataclass(frozen=True)
class Part:
    """One file: its items in the order in which they lie, wide types first, so all are aligned."""

    name: str
    items: tuple[Item, ...]
    seed: int

    @property
    def ends(self) -> tuple[int, ...]:
        """Where each item ends, in bytes from the start of the data."""
        return tuple(accumulate(item.size for item in self.items))

    @property
    def size(self) -> int:
        """Bytes of data, the header not counted."""
        return self.ends[-1]

    def header(self, checksum: str) -> bytes:
        """The file's first bytes. They have the same length whatever the checksum."""
        metadata = {"format": "pt", "evenflow": self._origin(), "checksum": checksum}
        return encode([(item.key, item.code, item.shape) for item in self.items], metadata)

    def _origin(self) -> str:
        """What the values follow from: the contract's version, the seed, each tensor's source."""
        sources = [
            blake2b(item.source, digest_size=16).hexdigest()
            if isinstance(item.source, bytes)
            else [item.source.name, item.source.dtype, repr(item.source.distribution)]
            for item in self.items
        ]
        text = json.dumps([VERSION, self.seed, sources])
        return blake2b(text.encode(), digest_size=16).hexdigest()


def parts_of(items: Sequence[Item], largest: int, seed: int) -> tuple[Part, ...]:
    """Share tensors out to files of at most ``largest`` bytes of data, in their order.

    Raises ``InputError`` if a single tensor is larger: Transformers reads no divided tensors.
    """
    if not items:
        raise InputError("the model has no tensors to write")
    biggest = max(items, key=lambda item: item.size)
    if biggest.size > largest:
        raise InputError(
            f"a file of at most {said_bytes(largest)} cannot hold it: it has "
            f"{said_bytes(biggest.size)}, and a tensor is not divided between files",
            where=biggest.key,
            remedy=f"use --max-shard-size {math.ceil(biggest.size / 1e6)}MB or more",
        )
    groups: list[list[Item]] = [[]]
    filled = 0
    for item in items:
        if filled + item.size > largest:
            groups.append([])
            filled = 0
        groups[-1].append(item)
        filled += item.size
    return tuple(
        Part(
            f"model-{k:05}-of-{len(groups):05}.safetensors"
            if len(groups) > 1
            else "model.safetensors",
            tuple(sorted(group, key=lambda item: -item.item_bytes)),
            seed,
        )
        for k, group in enumerate(groups, 1)
    )


def index_of(parts: Sequence[Part]) -> bytes:
    """The index of several files, as JSON."""
    files = {item.key: part.name for part in parts for item in part.items}
    total = sum(part.size for part in parts)
    content = {"metadata": {"total_size": total}, "weight_map": files}
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def said_bytes(size: int) -> str:
    """A number of bytes in words: 13.5 GB."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return f"{size} bytes"
