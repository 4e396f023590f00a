"""A batch of CIFAR-10's Python version, read without running what a pickle can ask for.

Such a batch is a pickled dictionary of a NumPy array, lists and strings. The three names that it
uses of NumPy stand for inert notes here, any other name is refused, so nothing is ever called but
what this file has.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from evenflow.errors import InputError
from evenflow.study.data.dataset import Records


def read_python_batch(content: bytes, where: str) -> Records:
    """The examples of a batch: a label and its pixels a row.

    Raises:
        InputError: the pickle asks for anything but an array of bytes, or holds something else
            than as many labels as images.
    """
    try:
        batch = _Reader(io.BytesIO(content), encoding="bytes").load()
        data, labels = batch[b"data"], batch[b"labels"]
        rows, pixels = data.shape
        images = np.frombuffer(data.content, np.uint8).reshape(rows, pixels)
        column = np.array(labels, np.uint8).reshape(rows, 1)
    except _NOT_A_BATCH as error:
        raise InputError(f"the file is no batch of CIFAR-10: {error}", where=where) from error
    return np.hstack([column, images])


class _Refused(Exception):
    """The pickle asks for something that a batch has no use for."""


class _Array:
    """What a pickle says of an array of bytes: its shape and its content."""

    def __init__(self, *_: object) -> None:
        self.shape: tuple[int, ...] = ()
        self.content = b""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, kind, by_columns, self.content = state
        if not isinstance(kind, _Kind) or by_columns:
            raise _Refused("an array of another kind than rows of bytes")


class _Kind:
    """What a pickle says of an array's type: unsigned bytes, or it is refused."""

    def __init__(self, code: bytes, *_: object) -> None:
        if code != b"u1":
            raise _Refused(f"an array of type {code!r}")

    def __setstate__(self, state: object) -> None:
        """Byte order and the like, which bytes have no use for."""


class _Reader(pickle.Unpickler):
    """An unpickler that knows three names."""

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("numpy.core.multiarray", "_reconstruct"): _Array,
            ("numpy", "ndarray"): None,
            ("numpy", "dtype"): _Kind,
        }
        if (module, name) not in known:
            raise _Refused(f"it names {module}.{name}")
        return known[module, name]


_NOT_A_BATCH = (
    _Refused,
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a damaged or foreign pickle raises."""
