"""The one pass over a tensor of a training, compiled by Numba: sums that can be added up.

Each call adds to a row of sums (``SUMS``), so that several forward passes of a step, and several
processes, merge by addition (minimum and maximum by taking the lesser and the greater).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit  # type: ignore[attr-defined]
from numpy.typing import NDArray

from evenflow.record.pointers import pointer
from evenflow.record.run_layout import Layout
from evenflow.record.run_sums import (
    COUNT,
    DEAD,
    HIGH,
    LOOKED,
    LOW,
    MAXIMUM,
    MINIMUM,
    NONFINITE,
    PAIRS,
    PLACES,
    PRODUCTS,
    SAFE,
    SATURATED,
    SIZE,
    SQUARES,
    TOTAL,
    UNITS,
    WHOLE,
    ZEROS,
    Sums,
)

_PART = 2**12

Values = NDArray[Any]
Edges = NDArray[np.float64]
"""Four bounds of pre-activations, see ``tails``."""
NO_EDGES: Edges = np.array([-np.inf, np.inf, -np.inf, np.inf])


@njit(nogil=True, cache=True)
def reset(sums: Sums) -> None:
    """Rows as ``run_sums.empty_sums`` makes them."""
    sums[:] = 0
    for row in sums:
        row[MINIMUM], row[MAXIMUM] = np.inf, -np.inf
        row[LOW] = row[HIGH] = np.nan


@njit(nogil=True, cache=True)
def signal_at(
    address: int, wide: bool, layout: Layout, edges: Edges, sums: Sums, number: int
) -> None:
    """``tally`` and ``tails`` of the tensor at an address, added to the row ``sums[number]``.

    ``wide`` tells float64 from float32; the memory has to be there, contiguous and of that type.
    Making an array of it first would take as long as the pass itself.
    """
    row = sums[number]
    if wide:
        x = carray(pointer(address), layout[8], np.float64)
        tally(x, layout, row)
        tails(x, layout, edges, row)
    else:
        y = carray(pointer(address), layout[8], np.float32)
        tally(y, layout, row)
        tails(y, layout, edges, row)


@njit(nogil=True, cache=True)
def gradient_at(address: int, wide: bool, layout: Layout, sums: Sums, number: int) -> None:
    """``tally`` of a parameter's gradient at an address, and Σx² of the whole of it."""
    row = sums[number]
    if wide:
        x = carray(pointer(address), layout[8], np.float64)
        row[WHOLE] += _whole(x)
        tally(x, layout, row)
    else:
        y = carray(pointer(address), layout[8], np.float32)
        row[WHOLE] += _whole(y)
        tally(y, layout, row)


@njit(nogil=True, cache=True)
def whole_at(address: int, wide: bool, size: int, sums: Sums, number: int) -> None:
    """Σx² alone of a gradient at an address."""
    if wide:
        sums[number, WHOLE] += _whole(carray(pointer(address), size, np.float64))
    else:
        sums[number, WHOLE] += _whole(carray(pointer(address), size, np.float32))


@njit(nogil=True, cache=True)
def whole_of(sums: Sums) -> float:
    """Σx² of all gradients together."""
    return sums[:, WHOLE].sum()  # type: ignore[no-any-return]


@njit(nogil=True, cache=True)
def tails_at(
    address: int, wide: bool, layout: Layout, edges: Edges, sums: Sums, number: int
) -> None:
    """``tails`` alone of the tensor at an address."""
    if wide:
        tails(carray(pointer(address), layout[8], np.float64), layout, edges, sums[number])
    else:
        tails(carray(pointer(address), layout[8], np.float32), layout, edges, sums[number])


@njit(nogil=True, cache=True)
def tally(x: Values, layout: Layout, row: Sums) -> None:
    """Add the sample that ``layout`` names of the flat array ``x`` to ``row``."""
    start, examples, example_pitch, groups, group_pitch, run = layout[:6]
    width = groups * run
    # Sums over examples tell what they have in common; a single one has nobody to share with.
    step = run if examples > 1 else 0
    columns = np.zeros(width if examples > 1 else run, x.dtype)
    low, high = np.full(run, np.inf, x.dtype), np.full(run, -np.inf, x.dtype)
    squares_before, nonfinite_before = row[SQUARES], row[NONFINITE]
    for e in range(examples):
        for g in range(groups):
            at = start + e * example_pitch + g * group_pitch
            part = x[at : at + run]
            s, ss, zeros = _run_sums(part, columns[g * step : g * step + run], low, high)
            if np.isfinite(ss):
                row[COUNT] += run
                row[TOTAL] += s
                row[SQUARES] += ss
                row[ZEROS] += zeros
            else:
                _finite_sums(part, row)
    if row[NONFINITE] == nonfinite_before:
        row[MINIMUM] = min(row[MINIMUM], low.min())
        row[MAXIMUM] = max(row[MAXIMUM], high.max())
        if examples > 1:
            row[PRODUCTS] += _squares(columns) - (row[SQUARES] - squares_before)
            row[PAIRS] += examples * (examples - 1) * width
    row[SIZE] += layout[8]
    if row[COUNT] > 0:
        _count_cells(x, layout, row)


@njit(nogil=True, cache=True, fastmath=SAFE)
def _run_sums(x: Values, columns: Values, low: Values, high: Values) -> tuple[float, float, float]:
    """Σx, Σx² and the number of zeros of a run; it is added to ``columns``, and ``low`` and
    ``high`` are moved by it, place by place: extremes of places are vectorised, of a whole not.
    """
    nil, one = x.dtype.type(0), x.dtype.type(1)
    s, ss, zeros = nil, nil, nil
    for i in range(x.size):
        v = x[i]
        s += v
        ss += v * v
        zeros += one if v == nil else nil  # counted as floats, which keeps the loop in one type
        columns[i] += v
        low[i] = v if v < low[i] else low[i]
        high[i] = v if v > high[i] else high[i]
    return s, ss, zeros


@njit(nogil=True, cache=True)
def _finite_sums(x: Values, row: Sums) -> None:
    """The sums of a run that holds NaN or infinity, which are counted and left out."""
    for i in range(x.size):
        v = np.float64(x[i])
        if not np.isfinite(v):
            row[NONFINITE] += 1
            continue
        row[COUNT] += 1
        row[TOTAL] += v
        row[SQUARES] += v * v
        row[ZEROS] += v == 0
        row[MINIMUM] = min(row[MINIMUM], v)
        row[MAXIMUM] = max(row[MAXIMUM], v)


@njit(nogil=True, cache=True)
def _whole(x: Values) -> float:
    """Σx², in parts so that float32 does for each."""
    total = 0.0
    for start in range(0, x.size, _PART):
        total += _squares(x[start : start + _PART])
    return total


@njit(nogil=True, cache=True, fastmath=SAFE)
def _squares(x: Values) -> float:
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i] * x[i]
    return total  # type: ignore[no-any-return]


@njit(nogil=True, cache=True)
def _count_cells(x: Values, layout: Layout, row: Sums) -> None:
    """Count a part of the sample in equal cells over its range, no further than 4 σ from its mean.

    The range is that of the first tensor of the step; what lies outside is in the end cells.
    """
    start, _, example_pitch, groups, group_pitch, run = layout[:6]
    if np.isnan(row[LOW]):
        mean = row[TOTAL] / row[COUNT]
        reach = 4 * np.sqrt(max(row[SQUARES] / row[COUNT] - mean * mean, 0.0))
        row[LOW] = max(row[MINIMUM], mean - reach)
        row[HIGH] = min(row[MAXIMUM], mean + reach)
    cells, found = row[PLACES:], np.empty(run, np.int32)
    span = row[HIGH] - row[LOW]
    low = x.dtype.type(row[LOW])
    scale = x.dtype.type(cells.size / span if span > 0 else 0.0)
    for r in range(0, layout[1] * groups, layout[9]):
        at = start + (r // groups) * example_pitch + (r % groups) * group_pitch
        part = x[at : at + run]
        _cells_of(part, low, scale, cells.size - 1, found)
        for i in range(run):
            if row[NONFINITE] == 0 or np.isfinite(part[i]):
                cells[found[i]] += 1


@njit(nogil=True, cache=True)
def _cells_of(x: Values, low: float, scale: float, last: int, found: Values) -> None:
    nil, top = np.int32(0), np.int32(last)
    for i in range(x.size):
        cell = np.int32((x[i] - low) * scale)
        cell = cell if cell > nil else nil
        found[i] = cell if cell < top else top


@njit(nogil=True, cache=True)
def tails(z: Values, layout: Layout, edges: Edges, row: Sums) -> None:
    """Add to ``row`` how many of the sample are saturated, and how many units are dead.

    Saturated: z < edges[0] or z > edges[1]. Dead: not once edges[2] < z < edges[3]. Where both of
    a pair are infinite there is no such thing.
    """
    if np.isinf(edges).all():
        return
    start, examples, example_pitch, groups, group_pitch, run, units, unit_step = layout[:8]
    bounds = edges.astype(z.dtype)
    living = np.zeros(groups * run, z.dtype)
    inside = 0.0
    for e in range(examples):
        for g in range(groups):
            at = start + e * example_pitch + g * group_pitch
            inside += _inside(z[at : at + run], bounds, living[g * run : (g + 1) * run])
    if np.isfinite(edges[0]) or np.isfinite(edges[1]):
        row[LOOKED] += examples * groups * run
        row[SATURATED] += inside
    if np.isfinite(edges[2]) or np.isfinite(edges[3]):
        row[UNITS] += units
        row[DEAD] += _never(living, units, run, unit_step)


@njit(nogil=True, cache=True, fastmath=SAFE)
def _inside(z: Values, bounds: Values, living: Values) -> float:
    """How many of a run are saturated; places that live are marked by 1."""
    below, above, floor, ceiling = bounds[0], bounds[1], bounds[2], bounds[3]
    nil, one = z.dtype.type(0), z.dtype.type(1)
    inside = nil
    for i in range(z.size):
        v = z[i]
        inside += one if (v < below) | (v > above) else nil
        living[i] = one if (v > floor) & (v < ceiling) else living[i]
    return inside  # type: ignore[no-any-return]


@njit(nogil=True, cache=True)
def _never(living: Values, units: int, run: int, unit_step: int) -> int:
    """Units of which no place is marked."""
    dead = 0
    for u in range(units):
        some = False
        if unit_step == 1:
            for i in range(u, living.size, units):
                some |= living[i] > 0
        else:
            for i in range(u * run, (u + 1) * run):
                some |= living[i] > 0
        dead += not some
    return dead
