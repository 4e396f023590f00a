"""Levels: the second moment at each index of one axis, or of each pixel, over that of all.

Moments tell of all positions of a tensor together. Some networks make their positions unlike: a
class token stands beside patches, the first rows of a causal mask see few keys, a loss reads the
last state alone. What divides by the size of a position (a normalisation), multiplies two such
sizes, or picks a part of the positions then needs more than their mean.

An operation that keeps positions apart takes levels along; ``graph.levels`` has a rule for each
that does, and for those that make levels. Where none is known, levels are dropped, and the mean
over all positions stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import prod

import numpy as np
import numpy.typing as npt

from evenflow.graph.algebra.layout import dims_of
from evenflow.graph.moments import Array, Moments

_EVEN = 0.01
"""Levels that all lie this near to 1 are none."""
LONGEST = 64
"""Of more indices than this, how alike two of them are is told of all together."""


@dataclass(frozen=True, eq=False)
class Levels:
    """Relative second moments along one axis of a tensor, and how alike its indices are."""

    values: Array
    """One for each index; their mean is 1 but for what a rule has just found, whose mean then is
    what the tensor's Moments have to be multiplied with."""
    inner: int
    """Elements from one index to the next in row-major order, so that no view changes it."""
    kernel: Array | None = None
    """E[x·x′] of two indices of one example and unit, over the second moment of the whole tensor;
    ``values`` are its diagonal. None where only Moments tell how alike two indices are."""
    settled: bool = False
    """Whether the tensor's Moments already say the same, so that a move changes neither."""

    @classmethod
    def along(
        cls, values: Array, axis: int, shape: Sequence[int], kernel: Array | None = None
    ) -> Levels:
        """Levels of a tensor of this shape along one of its axes."""
        return cls(values, prod(shape[axis + 1 :]), kernel)

    @classmethod
    def of_factor(cls, factor: float) -> Levels:
        """The same everywhere: the tensor's Moments times ``factor``."""
        return cls(np.array([factor]), 1)

    def axis(self, shape: Sequence[int]) -> int | None:
        """The axis of a tensor of this shape that they are along; None if no single one is."""
        inner = 1
        for axis in reversed(range(len(shape))):
            if inner == self.inner and shape[axis] == self.values.size:
                return axis
            inner *= shape[axis]
        return None

    def span(self, shape: Sequence[int]) -> range | None:
        """Neighbouring axes that they are along together, as the pixels of images; None if there
        are no such."""
        inner = 1
        for last in reversed(range(len(shape))):
            if inner == self.inner and shape[last] > 1:
                first, size = last, shape[last]
                while first and size < self.values.size:
                    first -= 1
                    size *= shape[first]
                return range(first, last + 1) if size == self.values.size else None
            inner *= shape[last]
        return None

    def changed(self, values: Array, kernel: Array | None) -> Levels:
        """Others along the same axis."""
        return Levels(values, self.inner, kernel)

    def moved(self, axis: int, shape: Sequence[int]) -> Levels:
        """The same along an axis of another tensor, or along several of which it is the last."""
        return replace(self, inner=prod(shape[axis + 1 :]))

    def broadcast(self, before: Sequence[int], after: Sequence[int]) -> Levels | None:
        """Of a tensor that is broadcast from one shape to another, or summed back."""
        if tuple(before) == tuple(after):
            return self
        axis = self.axis(before)
        if axis is None:
            return None
        axis += len(after) - len(before)
        if axis < 0 or after[axis] != self.values.size:
            return None
        return self.moved(axis, after)

    @cached_property
    def unevenness(self) -> float:
        """How far they are from being all alike."""
        return float(np.square(self.values - self.values.mean()).mean())

    def like(self, other: Levels) -> bool:
        """Whether both are along the same axis."""
        return self.inner == other.inner and self.values.size == other.values.size


def kernel_of(
    x: Moments, levels: Levels | None, like: Levels, shape: Sequence[int]
) -> Array | None:
    """How alike two indices are along the axis that ``like`` has in a result of this shape, be it
    only by what the Moments of an operand tell; None if not even they do."""
    if levels is not None and levels.like(like) and levels.kernel is not None:
        return levels.kernel
    size, along = like.values.size, like.axis(shape)
    if size > LONGEST or along is None or x.second <= 0:
        return None
    axis = along + len(x.axes) - len(shape)
    if axis < 0 or not x.axes[axis]:
        return np.ones((size, size))
    flat = _by_distance(x, axis, size)
    if flat is None or levels is None or not levels.like(like):
        return flat
    return np.asarray(flat * spread_out(levels.values))


def spread_out(values: Array) -> Array:
    """√(v_i v_j): E[x·x′] of indices of these levels that are wholly alike."""
    root = np.sqrt(values)
    return np.outer(root, root)


def _by_distance(x: Moments, axis: int, size: int) -> Array | None:
    dims = dims_of(x, axis)
    if len(dims) != 1:
        return None
    pairs = x.pairs[tuple(slice(None) if d == dims[0] else 0 for d in range(x.pairs.ndim))]
    return np.asarray(pairs[np.minimum(_distances(size), pairs.size - 1)] / x.second)


@lru_cache(maxsize=64)
def _distances(size: int) -> npt.NDArray[np.int_]:
    return np.abs(np.subtract.outer(np.arange(size), np.arange(size)))


@lru_cache(maxsize=256)
def _entries(size: int, length: int) -> tuple[npt.NDArray[np.int_], Array]:
    """The entry of ``length`` that every two of ``size`` indices belong to, and how many each has;
    1 where it has none, so that one can divide by it."""
    entry = np.minimum(_distances(size), length - 1).ravel()
    return entry, np.maximum(np.bincount(entry, minlength=length), 1).astype(np.float64)


def corrected(moments: Moments, levels: Levels | None) -> tuple[Moments, Levels | None]:
    """Moments and levels as a rule found them, such that the levels have the mean 1."""
    if levels is None or levels.settled:
        return moments, levels
    factor = float(levels.values.mean())
    if not np.isfinite(factor) or factor <= 0:
        return moments, None
    if factor != 1.0:
        moments = moments.scaled(factor**0.5)
    kernel = None if levels.kernel is None else levels.kernel / factor
    levels = Levels(levels.values / factor, levels.inner, kernel, settled=True)
    even = float(np.abs(levels.values - 1).max()) < _EVEN
    if kernel is not None:
        moments = _alike_as(moments, levels, kernel)
        if even:
            flat = kernel_of(moments, None, levels, moments.shape)
            even = flat is not None and float(np.abs(kernel - flat).max()) < _EVEN
    return moments, None if even else levels


def by_parts(moments: Moments, levels: Levels | None) -> tuple[Moments, Levels | None]:
    """As ``corrected``, but what a tensor was joined of tells its levels along that axis, and its
    Moments have them already."""
    if moments.parts is None:
        return corrected(moments, levels)
    if levels is None or levels.axis(moments.shape) == moments.parts.axis:
        return moments, _of_parts(moments)
    return corrected(moments, levels)


def _of_parts(moments: Moments) -> Levels | None:
    if moments.parts is None or moments.second <= 0:
        return None
    axis, each = moments.parts
    levels = [part.second / moments.second for part in each]
    values = np.repeat(levels, [part.shape[axis] for part in each])
    even = float(np.abs(values - 1).max()) < _EVEN
    return None if even else Levels.along(values, axis, moments.shape)


def _alike_as(x: Moments, levels: Levels, kernel: Array) -> Moments:
    """Moments whose pairs of two indices are what the kernel says, by their distance."""
    axis = levels.axis(x.shape)
    dims = dims_of(x, axis) if axis is not None else []
    if len(dims) != 1:
        return x
    told = np.broadcast_to(
        x.pairs, [max(n, 2) if d == dims[0] else n for d, n in enumerate(x.pairs.shape)]
    )
    pairs = told.copy()
    length, size = pairs.shape[dims[0]], levels.values.size
    if length == 2 < size:
        others = float(kernel.sum() - kernel.trace()) / (size * (size - 1))
        means = np.array([1.0, others]) * x.second
    else:
        entry, count = _entries(size, length)
        means = np.bincount(entry, kernel.ravel(), minlength=length) / count * x.second
    place = tuple(slice(1, None) if d == dims[0] else 0 for d in range(pairs.ndim))
    pairs[place] = means[1:]
    return replace(x, pairs=pairs)


def together(
    parts: Sequence[tuple[float, Levels | None, Moments | None]], shape: Sequence[int]
) -> Levels | None:
    """Of a sum, of this shape, of independent tensors, each with its share of the second moment;
    one without Moments is the same at all indices.

    Levels along different axes cannot be told together: those that differ most are kept.
    """
    parts = [part for part in parts if part[0]]
    found = [(share, levels) for share, levels, _ in parts if levels is not None]
    if not found:
        return None
    if len(parts) == 1:
        return found[0][1]
    leading = max(found, key=lambda each: each[0] ** 2 * each[1].unevenness)[1]
    values = np.zeros_like(leading.values)
    for share, levels, _ in parts:
        same = levels is not None and levels.like(leading)
        values += share * levels.values if levels is not None and same else share
    if all(levels.kernel is None for _, levels in found):
        return leading.changed(values, None)
    kernels = [(share, _or_ones(levels, x, leading, shape)) for share, levels, x in parts]
    if any(kernel is None for _, kernel in kernels):
        return leading.changed(values, None)
    kernel = np.sum([share * each for share, each in kernels if each is not None], axis=0)
    return leading.changed(values, kernel)


def _or_ones(
    levels: Levels | None, x: Moments | None, like: Levels, shape: Sequence[int]
) -> Array | None:
    return np.ones((like.values.size,) * 2) if x is None else kernel_of(x, levels, like, shape)


def _unevenness(levels: Levels) -> float:
    return levels.unevenness


def product(
    factors: Sequence[tuple[Levels | None, Moments]], shape: Sequence[int]
) -> Levels | None:
    """Of a product, of this shape, of independent tensors."""
    found = [levels for levels, _ in factors if levels is not None]
    if not found:
        return None
    leading = found[0] if len(found) == 1 else max(found, key=_unevenness)
    values = np.ones_like(leading.values)
    for each in found:
        if each.like(leading):
            values = values * each.values
    if all(each.kernel is None for each in found):
        return leading.changed(values, None)
    kernels = [kernel_of(x, levels, leading, shape) for levels, x in factors]
    told = [kernel for kernel in kernels if kernel is not None]
    every = len(told) == len(kernels)
    return leading.changed(values, np.prod(told, axis=0) if every else None)
