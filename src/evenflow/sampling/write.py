"""``fill`` and ``sample``: any part of a parameter's values, written in place or returned."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from evenflow.errors import InputError
from evenflow.planning.distributions import (
    Blocks,
    Constant,
    DeltaOrthogonal,
    Distribution,
    Normal,
    Orthogonal,
    TruncatedNormal,
    Uniform,
)
from evenflow.sampling.arguments import (
    Part,
    Shape,
    Window,
    check_place,
    dtype_of,
    parts_of,
    window_of,
)
from evenflow.sampling.contract import (
    STORAGE,
    Dtype,
    canonical_name,
    cast,
    key,
    recipe,
)
from evenflow.sampling.elements import Array, Pitches, pitches_of, write_elements
from evenflow.sampling.orthogonal import delta_orthogonal, orthogonal


class _Draw(NamedTuple):
    """What stays the same for all parts of one call."""

    seed: int
    dtype: Dtype
    threads: int | None


def sample(
    distribution: Distribution,
    shape: Shape,
    *,
    seed: int,
    name: str,
    dtype: Dtype = "float32",
    window: Window | None = None,
) -> Array:
    """Return the values of parameter ``name`` under ``seed``, or a part of them.

    Args:
        distribution: what they are drawn from.
        shape: of the full tensor.
        seed: from 0 to 2⁶⁴ − 1.
        name: the parameter's name; wrappers' additions do not count (see ``canonical_name``).
        dtype: bfloat16 comes as its bits, in an array of uint16.
        window: which part: one slice an axis, or (start, stop) of the flat elements; all if None.

    Raises:
        InputError: an argument that does not fit; it says which.
    """
    if dtype not in STORAGE:
        raise InputError(f"dtype must be one of {', '.join(STORAGE)}, not {dtype!r}", where=name)
    shape = tuple(shape)
    start, extent = window_of(window, shape, name)
    check_place(extent, shape, start, name)
    out = np.empty(extent, STORAGE[dtype])
    fill(out, distribution, seed=seed, name=name, shape=shape, start=start, dtype=dtype)
    return out


def fill(
    out: Array,
    distribution: Distribution,
    *,
    seed: int,
    name: str,
    shape: Shape | None = None,
    start: int | Shape = 0,
    dtype: Dtype | None = None,
    threads: int | None = None,
) -> None:
    """Write the values of parameter ``name`` under ``seed``, or a part of them, into ``out``.

    Args:
        out: float32, float64, float16, or uint16 with ``dtype="bfloat16"``; contiguous or strided.
        distribution: what the values are drawn from.
        seed: from 0 to 2⁶⁴ − 1.
        name: the parameter's name; wrappers' additions do not count (see ``canonical_name``).
        shape: of the full tensor; may be left out where ``out`` is all of it.
        start: where ``out`` lies in the full tensor: the flat index of its first element, the
            others following in C order, or the corner of the box that it is, one index an axis.
        dtype: needed for bfloat16 alone.
        threads: how many to use; by default as many as there are processors. The bits are the
            same for every number.

    Raises:
        InputError: an argument that does not fit; it says which, and nothing was written.
    """
    name = canonical_name(name)
    draw = _Draw(seed, dtype_of(out, dtype, name), threads)
    full = out.shape if shape is None else tuple(shape)
    check_place(out.shape, full, start, name)
    if threads is not None and threads < 1:
        raise InputError(f"threads must be at least 1, not {threads}", where=name)
    key(seed, name)  # refuses a bad seed
    if not full:  # a single number is a vector of one
        out, full, start = out.reshape(1), (1,), 0
    parts = parts_of(distribution, full, name, draw.dtype)
    if out.size == 0:
        return
    if isinstance(start, tuple):
        _write_box(out, parts, full, start, draw)
    elif isinstance(distribution, Blocks | Orthogonal | DeltaOrthogonal):
        _write_range(out, parts, full, start, draw)
    else:
        _write_each(out, parts[0], start, pitches_of(out.shape), draw)


def _write_range(out: Array, parts: list[Part], full: Shape, start: int, draw: _Draw) -> None:
    """Write a flat range by way of the box of whole rows that holds it."""
    row = math.prod(full[1:])
    first, last = start // row, -(-(start + out.size) // row)
    box = np.empty((last - first, *full[1:]), out.dtype)
    _write_box(box, parts, full, (first,) + (0,) * (len(full) - 1), draw)
    begin = start - first * row
    out[...] = box.reshape(-1)[begin : begin + out.size].reshape(out.shape)


class Box(NamedTuple):
    """What a box of the full tensor and one of its parts have in common."""

    part: Part
    where: tuple[slice, ...]
    """Its place in the box."""
    corner: Shape
    """Of the place in the part's own tensor that it begins at."""
    offset: int
    """The element of the full tensor that it begins with."""


def boxes(parts: list[Part], full: Shape, corner: Shape, extent: Shape) -> Iterator[Box]:
    """Cut the box of ``extent`` at ``corner`` of the ``full`` tensor where its parts end."""
    pitches = pitches_of(full)
    for part in parts:
        axis, low = part.axis, corner[part.axis]
        begin, end = max(low, part.begin), min(low + extent[axis], part.end)
        if begin < end:
            at = (*corner[:axis], begin, *corner[axis + 1 :])
            yield Box(
                part,
                (slice(None),) * axis + (slice(begin - low, end - low),),
                (*corner[:axis], begin - part.begin, *corner[axis + 1 :]),
                sum(map(operator.mul, at, pitches)),
            )


def _write_box(out: Array, parts: list[Part], full: Shape, corner: Shape, draw: _Draw) -> None:
    """Write the box of the full tensor that starts at ``corner``, part by part."""
    for part, where, inside, offset in boxes(parts, full, corner, out.shape):
        if isinstance(part.distribution, Orthogonal | DeltaOrthogonal):
            _write_matrix(out[where], part, part.distribution, inside, draw)
        else:
            _write_each(out[where], part, offset, pitches_of(full), draw)


def _write_each(out: Array, part: Part, offset: int, pitches: Pitches, draw: _Draw) -> None:
    """Write elements that are independent of each other, or all the same."""
    if isinstance(part.distribution, Uniform | Normal | TruncatedNormal):
        how = recipe(part.distribution, draw.dtype, part.name)
        which = key(draw.seed, part.name)
        write_elements(
            out, how, which, draw.dtype, offset=offset, pitches=pitches, threads=draw.threads
        )
    elif isinstance(part.distribution, Constant):
        out[...] = cast(np.array(part.distribution.value), draw.dtype)


def _write_matrix(
    out: Array,
    part: Part,
    distribution: Orthogonal | DeltaOrthogonal,
    corner: Shape,
    draw: _Draw,
) -> None:
    """Write a box of an orthogonal tensor; the whole of it has to be made for that."""
    make = orthogonal if isinstance(distribution, Orthogonal) else delta_orthogonal
    whole = make(part.shape, key(draw.seed, part.name), draw.threads)
    box = tuple(slice(low, low + n) for low, n in zip(corner, out.shape, strict=True))
    out[...] = cast(distribution.gain * whole[box], draw.dtype)
