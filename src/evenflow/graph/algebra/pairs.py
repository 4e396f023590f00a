"""Arrays of E[x·x′] by where two elements differ: how often each case occurs, split, join, extend.

Along one dimension entry 0 stands for the same index, entry d for two indices at distance d, the
last entry for all greater distances too; a dimension of length 2 tells only same from different,
one of length 1 not even that.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import gcd, prod

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_FEW = 4
"""Entries up to which terms are added one by one, which is faster than a product of matrices."""


@lru_cache(maxsize=4096)
def _counts(size: int, length: int) -> tuple[float, ...]:
    if length == 1:
        return (float(size) ** 2,)
    near = [float(size)] + [2.0 * max(size - d, 0) for d in range(1, length - 1)]
    return (*near, max(float(size) ** 2 - sum(near), 0.0))


def counts(size: int, length: int) -> Array:
    """How many of the size² ordered pairs of indices belong to each entry."""
    return np.array(_counts(size, length))


def total(pairs: Array, dim: int, size: int) -> Array:
    """E[x·x′] of sums over one dimension: that of each pair, times how often it occurs."""
    occurs = _counts(size, pairs.shape[dim])
    if len(occurs) > _FEW:
        return np.tensordot(pairs, np.array(occurs), axes=(dim, 0))
    found: Array = occurs[0] * entry(pairs, dim, 0)
    for place in range(1, len(occurs)):
        found = found + occurs[place] * entry(pairs, dim, place)
    return np.asarray(found)


def entry(pairs: Array, dim: int, *places: int) -> Array:
    """One entry of the dimensions from ``dim`` on; NumPy's ``take`` is far slower."""
    index: tuple[slice | int, ...] = (slice(None),) * dim + places
    return np.asarray(pairs[index])


def average(pairs: Array, dim: int, size: int) -> Array:
    """Mean over all pairs along one dimension, which is kept at length 1."""
    return np.expand_dims(total(pairs, dim, size), dim) / float(size) ** 2


def lengthened(pairs: Array, dim: int, length: int) -> Array:
    """With more distances told apart: all beyond the last one were alike."""
    have = pairs.shape[dim]
    if have >= length or have == 1:
        return pairs
    return np.asarray(np.take(pairs, np.minimum(np.arange(length), have - 1), axis=dim))


def spaced(pairs: Array, dim: int, step: int) -> Array:
    """Of every ``step``-th index: distance d was step·d."""
    length = pairs.shape[dim]
    if length <= 2 or step == 1:
        return pairs
    kept = max(2, -(-(length - 1) // step) + 1)
    return np.asarray(np.take(pairs, np.minimum(np.arange(kept) * step, length - 1), axis=dim))


def split(pairs: Array, dim: int, size: int, inner: int) -> Array:
    """One dimension of ``size`` indices as two: size/inner outer ones, and inner ones."""
    length = pairs.shape[dim]
    if length == 1:
        return np.expand_dims(pairs, dim)
    cases = np.tensordot(_blocks(size, inner, length), pairs, axes=(2, dim))
    return np.moveaxis(cases, (0, 1), (dim, dim + 1))


@lru_cache(maxsize=1024)
def _blocks(size: int, inner: int, length: int) -> Array:
    """Of two indices in blocks of ``inner``, by the distance of the blocks and by the distance of
    their places inside them: the share of each entry of ``length``."""
    outer = size // inner
    rows = min(outer, -(-(length - 2) // inner) + 2)
    columns = min(inner, length)
    block, place = np.arange(outer)[:, None], np.arange(1 - inner, inner)
    often = (outer - block) * (inner - np.abs(place))
    entry = np.ravel_multi_index(
        np.broadcast_arrays(
            np.minimum(block, rows - 1),
            np.minimum(np.abs(place), columns - 1),
            np.minimum(np.abs(block * inner + place), length - 1),
        ),
        (rows, columns, length),
    )
    found = np.bincount(entry.ravel(), often.ravel(), minlength=rows * columns * length)
    found = found.reshape(rows, columns, length)
    return np.asarray(found / found.sum(axis=2, keepdims=True))


def joined(pairs: Array, dim: int, sizes: Sequence[int]) -> Array:
    """Several dimensions from ``dim`` on as one, which tells only same from different."""
    size = prod(sizes)
    same = entry(pairs, dim, *(0,) * len(sizes))
    everything = pairs
    for each in reversed(range(len(sizes))):
        everything = total(everything, dim + each, sizes[each])
    other = (everything - size * same) / max(float(size) ** 2 - size, 1.0)
    return np.stack([same, other], axis=dim)


def common_parts(ours: Sequence[int], theirs: Sequence[int]) -> list[int] | None:
    """The coarsest factors of which both lists are products, in order; None if there are none."""
    left, right, parts = list(ours), list(theirs), []
    while left and right:
        part = gcd(left[-1], right[-1])
        if part not in (left[-1], right[-1]) or part == 1:
            return None
        parts.append(part)
        for side in (left, right):
            side[-1] //= part
            if side[-1] == 1:
                side.pop()
    return None if left or right else parts[::-1]
