"""Visible: how many keys each row of a softmax sees, and how many two rows see in common.

Two rows of n and n′ keys, o of them in common, enter the calculus by their mean over pairs of rows
of o/(n n′) times a function of the number of keys at which they compete; for rows of a causal mask
that is a sum over a few numbers of keys, whatever the function is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from evenflow.graph.moments import Array
from evenflow.graph.numbers.constants import core_of
from evenflow.graph.remembered import Remembered

Mask = npt.NDArray[np.bool_]
_ROWS = {1: 256, 2: 20}
"""Rows by which an axis is told, where a mask differs along one axis or along two."""
_FEW = 8
_NODES = 48


class Keys(NamedTuple):
    """Numbers of keys, and the weight of each: a mean over pairs of rows of o/(n n′)·f is
    ``weights @ f(number)``."""

    number: Array
    weights: Array


@dataclass(frozen=True, eq=False)
class Visible:
    """What the rows of one softmax see."""

    size: int
    """Length of the softmax's axis."""
    keys: Mapping[frozenset[int], Keys]
    """By the axes in which two rows differ; axes along which all rows see the same count for
    nothing."""

    @property
    def axes(self) -> frozenset[int]:
        """Axes along which rows see different keys."""
        return frozenset().union(*self.keys)


def everything(size: int) -> Visible:
    """All rows see all keys."""
    return Visible(size, {frozenset(): Keys(np.array([float(size)]), np.array([1.0 / size]))})


@lru_cache(maxsize=64)
def causal(rows: int, size: int, axis: int) -> Visible:
    """Row t sees the keys up to t."""
    every = np.minimum(np.arange(rows) + 1.0, size)
    some = every[_places(rows, _ROWS[1])]
    common = np.minimum.outer(some, some)
    apart = ~np.eye(len(some), dtype=bool)
    own = _gathered(every, 1 / every)
    if rows == 1:
        return Visible(size, {frozenset(): own})
    pairs = _met(some, common, apart)
    return Visible(size, {frozenset(): own, frozenset({axis}): pairs})


_told: Remembered[Visible] = Remembered(_NODES)
"""Masks told so far, by identity: all layers of a network use the same one."""


def visible(hidden: Mask, rank: int, axis: int, size: int) -> Visible:
    """What a mask of ``rank`` axes leaves of ``size`` keys along ``axis``."""
    return _told.of((hidden,), lambda: _visible(hidden, rank, axis, size), rank, axis)


_complements: Remembered[Mask] = Remembered(_NODES)


def complement(mask: npt.NDArray[Any]) -> Mask:
    """Where a mask does not hold: of the same one always the same array."""
    return _complements.of((mask,), lambda: ~core_of(mask)[0].astype(bool))


def _visible(hidden: Mask, rank: int, axis: int, size: int) -> Visible:
    hidden = hidden.reshape((1,) * (rank - hidden.ndim) + hidden.shape)
    seen = ~np.moveaxis(hidden, axis, -1)
    # Expanded axes are the same memory over and over.
    seen = seen[tuple(slice(0, 1) if s == 0 else slice(None) for s in seen.strides[:-1])]
    seen = np.broadcast_to(seen, (*seen.shape[:-1], size))
    others = [a for a in range(rank) if a != axis]
    varying = [place for place, n in enumerate(seen.shape[:-1]) if n > 1]
    every = seen.sum(axis=-1, dtype=np.float64).ravel()
    every[every == 0] = size  # a row that sees nothing is told to see all alike
    keys = {frozenset[int](): _gathered(every, 1 / every)}
    most = _ROWS.get(len(varying), _FEW)
    places = [_places(n, most) if n > 1 else np.zeros(1, int) for n in seen.shape[:-1]]
    rows = seen[np.ix_(*places)].reshape(-1, size).astype(np.float32)
    rows[rows.sum(axis=1) == 0] = 1.0
    count, common = rows.sum(axis=1).astype(float), (rows @ rows.T).astype(float)
    where = np.array(np.unravel_index(np.arange(len(rows)), [len(p) for p in places]))
    differ = where[:, :, None] != where[:, None, :]
    for length in range(1, len(varying) + 1):
        for chosen in combinations(varying, length):
            each = [differ[v] == (v in chosen) for v in varying]
            apart = np.asarray(np.all(each, axis=0))
            keys[frozenset(others[v] for v in chosen)] = _met(count, common, apart)
    return Visible(size, keys)


def _places(size: int, most: int) -> npt.NDArray[np.int_]:
    """At most so many indices, spread evenly."""
    if size <= most:
        return np.arange(size)
    return ((np.arange(most) + 0.5) * size / most).astype(int)


def _met(count: Array, common: Array, apart: Mask) -> Keys:
    """Pairs of rows that are ``apart``. They compete as rows of n keys do for which 1 − 1/n is the
    mean of u_s − ū times u′_s − ū′ over the keys in common: 1 − 1/n − 1/n′ + o/(n n′)."""
    n, other = np.broadcast_to(count[:, None], apart.shape)[apart], count[None, :]
    other = np.broadcast_to(other, apart.shape)[apart]
    share = common[apart] / (n * other)
    competing = 1 / np.maximum(1 / n + 1 / other - share, 1e-12)
    return _gathered(np.maximum(competing, 1.0), share)


def _gathered(count: Array, weights: Array) -> Keys:
    """Mean weights at a few numbers of keys, between which functions are taken as straight."""
    low, high = float(count.min()), float(count.max())
    if high - low < 1e-9:
        return Keys(np.array([low]), np.array([weights.mean()]))
    nodes = np.geomspace(low, high, _NODES)
    place = np.interp(np.log(count), np.log(nodes), np.arange(_NODES))
    left = np.minimum(place.astype(int), _NODES - 2)
    found = np.bincount(left, weights * (left + 1 - place), _NODES)
    found += np.bincount(left + 1, weights * (place - left), _NODES)
    return Keys(nodes, found / prod(count.shape))
