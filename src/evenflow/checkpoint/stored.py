"""What a checkpoint says it holds: tensors by name, each in one or several chunks of a file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenflow.errors import InputError

Array = NDArray[Any]

STORAGE: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}
"""The NumPy type that holds each floating-point type; BF16 stands as its bits."""


@dataclass(frozen=True)
class Chunk:
    """A box of a tensor, as it lies in a file."""

    file: Path
    begin: int
    """Its first byte in the file."""
    start: tuple[int, ...]
    """The box's corner in the full tensor."""
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None
    """In elements, where the box is not laid out in C order."""

    def pieces(self, code: str, most: int) -> Iterator[Array]:
        """The values in matrices of whole rows along the first axis, about ``most`` bytes each.

        float64 and float32 as they are, the 16-bit types as float32.
        """
        storage = STORAGE[code]
        rows, columns = (self.shape[0], math.prod(self.shape[1:])) if self.shape else (1, 1)
        if rows == 0 or columns == 0:
            return
        step = max(1, most // (columns * storage.itemsize))
        for first in range(0, rows, step):
            count = min(step, rows - first)
            if self.strides is None:
                values = self._read(storage, first * columns, count * columns)
            else:
                values = self._gathered(storage, first, count)
            yield widened(values.reshape(count, columns), code)

    def _read(self, storage: np.dtype[Any], first: int, count: int) -> Array:
        with self.file.open("rb") as file:
            file.seek(self.begin + first * storage.itemsize)
            values = np.fromfile(file, storage, count)
        if values.size != count:
            raise InputError("the file ends before its tensor does", where=str(self.file))
        return values

    def _gathered(self, storage: np.dtype[Any], first: int, count: int) -> Array:
        """Rows of a box that is laid out otherwise, by way of a read-only map of the file."""
        assert self.strides is not None
        reach = 1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        mapped = np.memmap(self.file, storage, "r", self.begin, (reach,))
        view = np.lib.stride_tricks.as_strided(
            mapped, self.shape, [s * storage.itemsize for s in self.strides], writeable=False
        )
        return np.ascontiguousarray(view[first : first + count])


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a checkpoint."""

    name: str
    code: str
    """Its type as safetensors calls it."""
    shape: tuple[int, ...]
    chunks: tuple[Chunk, ...]

    @property
    def is_float(self) -> bool:
        """Whether its values can be measured."""
        return self.code in STORAGE


def widened(values: Array, code: str) -> Array:
    """float64 and float32 as they are, the 16-bit types as the float32 of the same value."""
    if code == "BF16":
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values.astype(np.float32) if code == "F16" else values


def file_beside(index: Path, name: str) -> Path:
    """The file ``name`` in the folder of ``index``, which may name no other place."""
    plain = name.isprintable() and name not in ("", ".", "..") and not set(name) & set("/\\:")
    if not plain:
        raise InputError(
            f"it names the file {name!r}, which is not in its own folder",
            where=str(index),
            remedy="do not trust this checkpoint: files of one lie side by side",
        )
    path = index.parent / name
    if not path.is_file():
        raise InputError(
            f"it names the file {name}, which is not there",
            where=str(index),
            remedy="copy the whole checkpoint, or finish the command that writes it",
        )
    return path


def require_tiled(tensor: StoredTensor) -> None:
    """Raise ``InputError`` unless the chunks cover the tensor without gap or overlap."""
    fault = _fault(tensor)
    if fault:
        where = str(tensor.chunks[0].file.parent) if tensor.chunks else tensor.name
        raise InputError(
            f"the parts of {tensor.name} {fault}",
            where=where,
            remedy="save the checkpoint again, with all ranks taking part",
        )


def _fault(tensor: StoredTensor) -> str:
    boxes = [(chunk.start, chunk.shape) for chunk in tensor.chunks]
    for start, shape in boxes:
        inside = len(start) == len(shape) == len(tensor.shape) and all(
            a >= 0 and a + n <= whole
            for a, n, whole in zip(start, shape, tensor.shape, strict=True)
        )
        if not inside:
            return f"lie outside its shape {tensor.shape}"
    if sum(math.prod(shape) for _, shape in boxes) != math.prod(tensor.shape):
        return f"do not add up to its shape {tensor.shape}"
    filled = [(a, n) for a, n in sorted(boxes) if math.prod(n)]
    for k, (start, shape) in enumerate(filled):
        for other, size in filled[k + 1 :]:
            if start and other[0] >= start[0] + shape[0]:
                break  # sorted by the first axis: all further ones begin behind this one
            if all(a < b + m and b < a + n
                   for a, n, b, m in zip(start, shape, other, size, strict=True)):  # fmt: skip
                return "overlap"
    return ""
