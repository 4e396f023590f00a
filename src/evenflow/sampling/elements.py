"""Write elements of one distribution into any array: cut to pieces, shared out to threads.

Which elements of the full tensor an array holds is told by an offset and one pitch an axis: the
element at (j₀, j₁, …) of the array is element offset + Σ jₐ·pitchₐ of the tensor.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from evenflow.sampling.contract import Dtype, Key, Recipe

SMALLEST_PIECE, LARGEST_PIECE = 1 << 18, 1 << 20
"""Elements that one call of a kernel makes: worth a thread, and even shares for all of them."""

Array = NDArray[Any]
T = TypeVar("T", bound=Any)
"""Anything that slices: an array of NumPy's, or a tensor of torch's on a GPU."""
Pitches = tuple[int, ...]


class Piece(NamedTuple):
    """A part of the target and where it lies in the full tensor."""

    out: Array
    offset: int
    pitches: Pitches


def pitches_of(shape: tuple[int, ...]) -> Pitches:
    """Return how many elements one step along each axis of a tensor in C order skips."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def write_elements(
    out: Array,
    recipe: Recipe,
    key: Key,
    dtype: Dtype,
    *,
    offset: int,
    pitches: Pitches,
    threads: int | None = None,
) -> None:
    """Write the elements that ``offset`` and ``pitches`` choose into ``out``, strided or not.

    Every number of ``threads`` (default: as many as the process has processors) gives the same
    bits.
    """
    if dtype == "float16":
        out = out.view(np.uint16)  # the kernel makes the bits
    workers = threads or _processors()
    size = min(LARGEST_PIECE, max(SMALLEST_PIECE, out.size // (4 * workers)))
    pieces = list(_cut(Piece(out, offset, pitches), size))
    queue = iter(pieces)  # a list's iterator can be shared: each thread takes the next piece

    def work() -> None:
        for piece in queue:
            _write_piece(piece, recipe, key, dtype)

    helpers = min(workers, len(pieces)) - 1
    running = [_pool(helpers).submit(work) for _ in range(helpers)]
    work()
    for helper in running:
        helper.result()


@cache
def _pool(helpers: int) -> ThreadPoolExecutor:
    """Threads that stay: a new one needs milliseconds to find an idle processor."""
    return ThreadPoolExecutor(helpers, thread_name_prefix="evenflow-fill")


if hasattr(os, "register_at_fork"):  # threads do not live on in a forked process
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _cut(piece: Piece, size: int) -> Iterator[Piece]:
    """Cut along the first axis, and further in where one step along it is still too large."""
    out, offset, pitches = piece
    if out.size <= size:
        if out.size:
            yield piece
        return
    step = size * len(out) // out.size
    for begin in range(0, len(out), max(step, 1)):
        at = offset + begin * pitches[0]
        if step:
            yield Piece(out[begin : begin + step], at, pitches)
        else:
            yield from _cut(Piece(out[begin], at, pitches[1:]), size)


def _write_piece(piece: Piece, recipe: Recipe, key: Key, dtype: Dtype) -> None:
    """Run the kernel on a piece, by way of a buffer where it cannot write in place."""
    from evenflow.sampling.kernels import KERNELS  # imports Numba: when it is needed, not before

    out, kernel = piece.out, KERNELS[dtype]
    in_place = out.flags.c_contiguous and out.flags.aligned and out.dtype == kernel.storage
    values = out.reshape(-1) if in_place else np.empty(out.size, kernel.storage)
    for rows, offset, columns, pitch in rows_of(values, out.shape, piece.offset, piece.pitches):
        kernel.fill(
            rows, offset, columns, pitch, tuple(key), recipe.uniform, recipe.low, recipe.scale
        )
    if not in_place:
        out[...] = values.reshape(out.shape)


def rows_of(
    values: T, shape: tuple[int, ...], offset: int, pitches: Pitches
) -> Iterator[tuple[T, int, int, int]]:
    """Yield the parts that a kernel takes: rows of neighbouring elements, evenly apart.

    ``values`` holds the elements of ``shape`` one after another. A part is a slice of it, the
    element that the first row begins with, the length of a row, and how far apart rows begin.

    Axes that follow each other without a gap count as one; of what remains, the last two go to the
    kernel and any others are looped over here.
    """
    lengths, steps = [1], [0]
    for length, pitch in zip(shape, pitches, strict=True):
        if length == 1:
            continue
        if lengths[-1] == 1 or steps[-1] == pitch * length:
            lengths[-1], steps[-1] = lengths[-1] * length, pitch
        else:
            lengths.append(length)
            steps.append(pitch)
    if steps[-1] > 1:  # no two elements are neighbours
        lengths.append(1)
        steps.append(1)
    columns, rows, apart = lengths.pop(), lengths.pop() if lengths else 1, 0
    if len(steps) > 1:
        apart = steps[-2]
    for part, outer in enumerate(np.ndindex(*lengths)):
        first = offset + sum(j * step for j, step in zip(outer, steps, strict=False))
        yield values[part * rows * columns : (part + 1) * rows * columns], first, columns, apart


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
