"""A data set: named splits of images and labels, and the training batches that they give."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from evenflow.sampling.contract import key
from evenflow.sampling.philox import words_at

Images = NDArray[np.float32]
"""Flat images (n, d), pixels from 0 to 1."""
Labels = NDArray[np.int64]
"""Indices into ``DataSet.classes``, (n,)."""
Records = NDArray[np.uint8]
"""Examples (n, 1 + d) as bytes: a row is a label and the pixels of its image."""


@dataclass(frozen=True, eq=False)
class Examples:
    """A finite split. Pixels are held as bytes, a quarter of what ``images`` takes."""

    pixels: NDArray[np.uint8]
    """Flat images (n, d), from 0 to 255."""
    labels: Labels

    @classmethod
    def of(cls, records: Records) -> Examples:
        """The examples whose labels and pixels are the rows of ``records``."""
        return cls(np.ascontiguousarray(records[:, 1:]), records[:, 0].astype(np.int64))

    @cached_property
    def images(self) -> Images:
        """All images (n, d), from 0 to 1."""
        return scaled(self.pixels)

    def batch(self, step: int, size: int, seed: int) -> tuple[Images, Labels]:
        """Batch ``step`` of one epoch after another, each in an order of its own.

        A batch that reaches over the end of an epoch goes on in the next, so that every example
        comes once an epoch whatever the size.
        """
        taken: list[NDArray[np.int64]] = []
        at, end = step * size, (step + 1) * size
        while at < end:
            epoch, first = divmod(at, len(self.labels))
            part = _order(seed, epoch, len(self.labels))[first : first + end - at]
            taken.append(part)
            at += len(part)
        rows = taken[0] if len(taken) == 1 else np.concatenate(taken)
        return scaled(self.pixels[rows]), self.labels[rows]


@dataclass(frozen=True, eq=False)
class Stream:
    """A split without end: example i is a pure function of i."""

    stream: Callable[[int, int], tuple[Images, Labels]]
    """``stream(start, count)`` makes the examples start, …, start + count − 1."""


@dataclass(frozen=True, eq=False)
class DataSet:
    """Images of known classes in three splits, with where they come from."""

    name: str
    title: str
    shape: tuple[int, ...]
    """Of one image: rows and columns of grey, or colours, rows and columns."""
    classes: tuple[str, ...]
    priors: tuple[float, ...]
    """How frequent each class is in training."""
    licence: str
    source: str
    """Who made it, and where it was taken from."""
    train: Examples | Stream
    validation: Examples
    test: Examples
    seed: int = 0
    """Of the order of training."""
    stand_in_for: str | None = None
    """The data set that this one takes the place of, where that one cannot be had."""

    @property
    def input_dim(self) -> int:
        """Pixels of a flat image."""
        return math.prod(self.shape)

    @cached_property
    def prior_error(self) -> float:
        """The error of always guessing the commonest class."""
        return 1 - max(self.priors)

    def batch(self, step: int, size: int) -> tuple[Images, Labels]:
        """Training batch number ``step``: images (size, d) and labels (size,).

        A pure function of (seed, step, size). An online set gives fresh examples, a finite one goes
        through shuffled epochs.
        """
        if isinstance(self.train, Stream):
            return self.train.stream(step * size, size)
        return self.train.batch(step, size, self.seed)


def scaled(pixels: NDArray[np.uint8]) -> Images:
    """Bytes as pixels from 0 to 1."""
    images: Images = np.divide(pixels, 255, dtype=np.float32)
    return images


def class_frequencies(labels: Labels, classes: int) -> tuple[float, ...]:
    """The share of each class among ``labels``."""
    return tuple((np.bincount(labels, minlength=classes) / len(labels)).tolist())


@lru_cache(maxsize=128)  # trainings of as many seeds may go on together
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order of the examples in an epoch: by random words, two of 32 bits each.

    NumPy's own permutations may change between its versions.
    """
    index, which = np.arange(count, dtype=np.uint64), key(seed, f"epoch {epoch}")
    high, low = (words_at(index, which, stream).astype(np.uint64) for stream in (0, 1))
    return np.argsort((high << np.uint64(32)) | low, kind="stable")
