"""Arrays by name in one file: written whole or not at all, read without executing anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from evenflow.atomic import write_bytes
from evenflow.errors import InputError

Arrays = dict[str, NDArray[np.generic]]


def write_arrays(path: Path, arrays: Mapping[str, NDArray[np.generic]], **notes: str) -> None:
    """Replace ``path`` by these arrays, with notes beside them.

    Raises InputError where the folder cannot be written or is full; ``path`` is then as it was.
    """
    plain = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
    write_bytes(path, save(plain, metadata=notes))


def read_arrays(path: Path) -> tuple[Arrays, dict[str, str]]:
    """The arrays and the notes that ``write_arrays`` wrote; InputError for a damaged file."""
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return arrays, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"the file is damaged: {error}",
            where=str(path),
            remedy="delete it and run the study again: what it held is computed anew",
        ) from error
