"""Data sets by name, all under one interface: ``load("shapeset").batch(step, size)``."""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path
from typing import cast

from evenflow.errors import InputError
from evenflow.sampling.contract import key
from evenflow.study.data.dataset import DataSet, Examples, Stream

__all__ = ["DataSet", "Examples", "Stream", "load", "names"]

_HOMES = {
    "shapeset": "shapeset",
    "shapeset-fixed": "shapeset",
    "mnist": "mnist",
    "fashion-mnist": "fashion_mnist",
    "cifar10": "cifar10",
    "small-imagenet": "small_imagenet",
    "small-imagenet-stand-in": "stand_in",
}
"""The module of each data set; its ``load(name, data_dir, seed)`` makes it."""


def names() -> tuple[str, ...]:
    """The names that ``load`` knows."""
    return tuple(_HOMES)


def load(name: str, *, data_dir: str | Path | None = None, seed: int = 0) -> DataSet:
    """The data set of that name; files are looked for, and fetched where they may be.

    Args:
        name: one of ``names()``.
        data_dir: a folder that has the files; without it, the one that EVENFLOW_DATA names. What is
            in neither comes from the cache, and what is not there either is downloaded into it.
        seed: of the order of training, or of an online set's training examples. Validation and test
            examples do not depend on it.

    Raises:
        InputError: there is no such name or folder; a file is missing and cannot be fetched; a file
            is damaged.
    """
    if name not in _HOMES:
        close = difflib.get_close_matches(name, _HOMES, n=1)
        raise InputError(
            f"there is no data set {name!r}",
            remedy=(f"did you mean {close[0]}? " if close else "") + f"Known: {', '.join(_HOMES)}",
        )
    key(seed, name)  # refuses what is no seed
    try:
        module = import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        raise InputError(
            f"the data set {name} needs {error.name}, which is not installed",
            remedy='pip install "evenflow[study]"',
        ) from error
    return cast("DataSet", module.load(name, None if data_dir is None else Path(data_dir), seed))
