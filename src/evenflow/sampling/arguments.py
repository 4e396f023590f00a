"""What ``fill`` and ``sample`` were asked for, checked before anything is written."""

from __future__ import annotations

import math
from itertools import accumulate
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
    Simple,
    TruncatedNormal,
    Uniform,
)
from evenflow.sampling.contract import LARGEST, STORAGE, Dtype, recipe
from evenflow.sampling.elements import Array

Shape = tuple[int, ...]
Window = tuple[slice, ...] | tuple[int, int]


class Part(NamedTuple):
    """A slab of the tensor with one distribution: [begin, end) along ``axis``.

    Element by element, a block is made of the whole tensor's own words. A block that is
    orthogonal within itself is a tensor of its own, of ``shape`` and ``name``.
    """

    distribution: Simple
    axis: int
    begin: int
    end: int
    shape: Shape
    name: str


def parts_of(distribution: Distribution, shape: Shape, name: str, dtype: Dtype) -> list[Part]:
    """Return the slabs of a tensor and their distributions, each of which can be drawn.

    An orthogonal block k of parameter ``name`` is drawn under ``name#k``.

    Raises:
        InputError: the blocks do not fill the axis, or a part has no such values in ``dtype``.
    """
    if isinstance(distribution, Blocks):
        axis, sizes = distribution.axis, distribution.sizes
        if axis >= len(shape) or sum(sizes) != shape[axis]:
            raise InputError(
                f"blocks of {sizes} along axis {axis} do not make up the shape {shape}", where=name
            )
        ends = list(accumulate(sizes))
        parts = []
        for k, (block, size, end) in enumerate(zip(distribution.parts, sizes, ends, strict=True)):
            slab = (*shape[:axis], size, *shape[axis + 1 :])
            own = f"{name}#{k}" if isinstance(block, Orthogonal | DeltaOrthogonal) else name
            parts.append(Part(_without_width(block), axis, end - size, end, slab, own))
    else:
        parts = [Part(_without_width(distribution), 0, 0, shape[0], shape, name)]
    for part in parts:
        _check_drawable(part, dtype)
    return parts


def _without_width(distribution: Simple) -> Simple:
    """Return the constant 0 for a distribution of width 0, and any other as it is."""
    if isinstance(distribution, Uniform):
        return distribution if distribution.bound else Constant(0.0)
    if isinstance(distribution, Normal | TruncatedNormal):
        return distribution if distribution.std else Constant(0.0)
    return distribution


def _check_drawable(part: Part, dtype: Dtype) -> None:
    distribution = part.distribution
    if isinstance(distribution, Uniform | Normal | TruncatedNormal):
        recipe(distribution, dtype, part.name)
        return
    largest = distribution.value if isinstance(distribution, Constant) else distribution.gain
    if abs(largest) > LARGEST[dtype]:
        raise InputError(f"{distribution} overflows {dtype}", where=part.name)
    axes = {"constant": 0, "orthogonal": 2, "delta_orthogonal": 3}[distribution.kind]
    if len(part.shape) < axes:
        raise InputError(
            f"{distribution} has no meaning for the shape {part.shape}",
            where=part.name,
            remedy="orthogonal needs at least two axes, delta-orthogonal a convolution's three",
        )


def dtype_of(out: Array, dtype: Dtype | None, name: str) -> Dtype:
    """Return the dtype to write into ``out``.

    Raises:
        InputError: ``out`` is not an array that can be written to, or of another type.
    """
    if not isinstance(out, np.ndarray) or not out.flags.writeable:
        raise InputError("the target must be a NumPy array that can be written to", where=name)
    fitting = [kind for kind, storage in STORAGE.items() if storage == out.dtype]
    if dtype is None and fitting and fitting != ["bfloat16"]:
        return fitting[0]
    if dtype is not None and dtype in fitting:
        return dtype
    raise InputError(
        f"an array of {out.dtype} cannot hold {dtype or 'values of a known dtype'}",
        where=name,
        remedy='use float32, float64, float16, or uint16 with dtype="bfloat16"',
    )


def check_place(extent: Shape, shape: Shape, start: int | Shape, name: str) -> None:
    """Check that an array of shape ``extent`` lies within the full tensor from ``start`` on.

    Raises:
        InputError: it does not.
    """
    if isinstance(start, tuple):
        inside = len(start) == len(extent) == len(shape) and all(
            0 <= low <= low + length <= whole
            for low, length, whole in zip(start, extent, shape, strict=True)
        )
    else:
        inside = 0 <= start <= start + math.prod(extent) <= math.prod(shape)
    if not inside:
        raise InputError(
            f"a part of shape {extent} at {start} does not lie within the full shape {shape}",
            where=name,
            remedy="give the full tensor's shape and where the part starts in it",
        )


def window_of(window: Window | None, shape: Shape, name: str) -> tuple[int | Shape, Shape]:
    """Return where a window starts and the shape of what it holds.

    Raises:
        InputError: it is neither one slice an axis, with steps of 1, nor (start, stop).
    """
    if window is None:
        return 0, shape
    slices = [axis for axis in window if isinstance(axis, slice)]
    ends = [end for end in window if isinstance(end, int)]
    if len(slices) == len(shape) == len(window):
        ranges = [range(n)[axis] for axis, n in zip(slices, shape, strict=True)]
        if all(axis.step == 1 for axis in ranges):
            return tuple(axis.start for axis in ranges), tuple(len(axis) for axis in ranges)
    if len(ends) == len(window) == 2 and 0 <= ends[0] <= ends[1]:
        return ends[0], (ends[1] - ends[0],)
    raise InputError(
        f"the window {window} does not fit the shape {shape}",
        where=name,
        remedy="use one slice an axis, with steps of 1, or (start, stop) of the flat elements",
    )
