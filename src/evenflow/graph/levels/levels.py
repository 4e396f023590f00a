"""Levels: the second moment at each index of one axis, over that of the whole tensor.

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
from math import prod

import numpy as np

from evenflow.graph.moments import Array, Moments

_EVEN = 0.01
"""Levels that all lie this near to 1 are none."""


@dataclass(frozen=True, eq=False)
class Levels:
    """Relative second moments along one axis of a tensor."""

    values: Array
    """One for each index; their mean is 1 but for what a rule has just found, whose mean then is
    what the tensor's Moments have to be multiplied with."""
    inner: int
    """Elements from one index to the next in row-major order, so that no view changes it."""

    @classmethod
    def along(cls, values: Array, axis: int, shape: Sequence[int]) -> Levels:
        """Levels of a tensor of this shape along one of its axes."""
        return cls(values, prod(shape[axis + 1 :]))

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
        return Levels.along(self.values, axis, after)

    def unevenness(self) -> float:
        """How far they are from being all alike."""
        return float(np.var(self.values))


def corrected(moments: Moments, levels: Levels | None) -> tuple[Moments, Levels | None]:
    """Moments and levels as a rule found them, such that the levels have the mean 1."""
    if levels is None:
        return moments, None
    factor = float(levels.values.mean())
    if not np.isfinite(factor) or factor <= 0:
        return moments, None
    if factor != 1.0:
        moments = moments.scaled(factor**0.5)
    values = levels.values / factor
    even = float(np.abs(values - 1).max()) < _EVEN
    return moments, None if even else replace(levels, values=values)


def together(parts: Sequence[tuple[float, Levels | None]]) -> Levels | None:
    """Of a sum of independent tensors of one shape, each with its share of the second moment.

    Levels along different axes cannot be told together: those that differ most are kept.
    """
    found = [(share, levels) for share, levels in parts if levels is not None]
    if not found:
        return None
    leading = max(found, key=lambda each: each[0] ** 2 * each[1].unevenness())[1]
    values = np.zeros_like(leading.values)
    for share, levels in parts:
        same = levels is not None and _alike(levels, leading)
        values += share * levels.values if levels is not None and same else share
    return replace(leading, values=values)


def product(*factors: Levels | None) -> Levels | None:
    """Of a product of independent tensors of one shape."""
    found = [levels for levels in factors if levels is not None]
    if not found:
        return None
    leading = max(found, key=Levels.unevenness)
    values = np.ones_like(leading.values)
    for levels in found:
        if _alike(levels, leading):
            values = values * levels.values
    return replace(leading, values=values)


def _alike(one: Levels, other: Levels) -> bool:
    return one.inner == other.inner and one.values.size == other.values.size
