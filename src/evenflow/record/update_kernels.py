"""What an optimiser's step does to a weight, compiled by Numba: a sample before it and after it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit  # type: ignore[attr-defined]
from numpy.typing import NDArray

from evenflow.record.pointers import pointer
from evenflow.record.run_layout import Layout
from evenflow.record.run_sums import (
    SAFE,
    UNCHANGED,
    UPDATE_SQUARES,
    UPDATED,
    WEIGHT_SQUARES,
    WEIGHTS,
    Sums,
)

Values = NDArray[Any]


@njit(nogil=True, cache=True)
def keep_at(address: int, wide: bool, layout: Layout, room: int, sums: Sums, number: int) -> None:
    """``keep`` of the weight at an address; ``room`` is that of as many elements as are sampled.

    ``wide`` tells float64 from float32.
    """
    length = layout[3] * layout[5]
    if wide:
        kept = carray(pointer(room), length, np.float64)
        keep(carray(pointer(address), layout[8], np.float64), layout, kept, sums[number])
    else:
        found = carray(pointer(room), length, np.float32)
        keep(carray(pointer(address), layout[8], np.float32), layout, found, sums[number])


@njit(nogil=True, cache=True)
def moved_at(address: int, wide: bool, layout: Layout, room: int, sums: Sums, number: int) -> None:
    """``moved`` of the weight at an address, see ``keep_at``."""
    length = layout[3] * layout[5]
    if wide:
        kept = carray(pointer(room), length, np.float64)
        moved(carray(pointer(address), layout[8], np.float64), layout, kept, sums[number])
    else:
        found = carray(pointer(room), length, np.float32)
        moved(carray(pointer(address), layout[8], np.float32), layout, found, sums[number])


@njit(nogil=True, cache=True)
def keep(w: Values, layout: Layout, kept: Values, row: Sums) -> None:
    """Copy the sample of a weight to ``kept``, and add its Σw² to ``row``."""
    start, run, pitch = layout[0], layout[5], layout[4]
    for g in range(layout[3]):
        part = w[start + g * pitch : start + g * pitch + run]
        row[WEIGHT_SQUARES] += _copied(part, kept[g * run : (g + 1) * run])
    row[WEIGHTS] += layout[3] * run


@njit(nogil=True, cache=True)
def moved(w: Values, layout: Layout, kept: Values, row: Sums) -> None:
    """Add Σ(w − kept)² over the sample to ``row``, and how many elements stayed the same."""
    start, run, pitch = layout[0], layout[5], layout[4]
    for g in range(layout[3]):
        part = w[start + g * pitch : start + g * pitch + run]
        squares, same = _difference(part, kept[g * run : (g + 1) * run])
        row[UPDATE_SQUARES] += squares
        row[UNCHANGED] += same
    row[UPDATED] += layout[3] * run


@njit(nogil=True, cache=True, fastmath=SAFE)
def _copied(x: Values, to: Values) -> float:
    """Σx² of what is copied."""
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i] * x[i]
        to[i] = x[i]
    return total  # type: ignore[no-any-return]


@njit(nogil=True, cache=True, fastmath=SAFE)
def _difference(x: Values, y: Values) -> tuple[float, float]:
    """Σ(x − y)², and how many are equal."""
    nil, one = x.dtype.type(0), x.dtype.type(1)
    squares, same = nil, nil
    for i in range(x.size):
        d = x[i] - y[i]
        squares += d * d
        same += one if d == nil else nil
    return squares, same
