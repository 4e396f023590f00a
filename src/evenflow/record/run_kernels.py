"""The one pass over a tensor of a training, compiled by Numba: sums that can be added up.

Each call adds to a row of sums (``SUMS``), so that several forward passes of a step, and several
processes, merge by addition (minimum and maximum by taking the lesser and the greater).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evenflow.record.run_layout import Layout
from evenflow.record.run_sums import (
    COUNT,
    HIGH,
    LOW,
    MAXIMUM,
    MINIMUM,
    NONFINITE,
    PAIRS,
    PLACES,
    PRODUCTS,
    SIZE,
    SQUARES,
    TOTAL,
    UNCHANGED,
    UPDATED,
    ZEROS,
)

# Sums may be reassociated, which lets them be vectorised; NaN and infinity keep their meaning.
_SAFE = {"reassoc", "nsz", "contract"}

Values = NDArray[Any]
Sums = NDArray[np.float64]
Counts = NDArray[np.int32]


@njit(nogil=True, cache=True)
def tally(x: Values, layout: Layout, room: Values, found: Counts, row: Sums) -> None:
    """Add the sample that ``layout`` names of the flat array ``x`` to ``row``.

    The rest is room to work in: three times as long as an example's sample, groups · run, and for
    ``found`` as long as a run.
    """
    start, examples, example_pitch, groups, group_pitch, run = layout[:6]
    width = groups * run
    columns = room[:width]
    columns[:] = 0
    low, high = room[width : width + run], room[2 * width : 2 * width + run]
    low[:], high[:] = np.inf, -np.inf
    squares_before, nonfinite_before = row[SQUARES], row[NONFINITE]
    for e in range(examples):
        for g in range(groups):
            at = start + e * example_pitch + g * group_pitch
            part = x[at : at + run]
            s, ss, zeros = _run_sums(part, columns[g * run : (g + 1) * run], low, high)
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
        _count_cells(x, layout, found, row)


@njit(nogil=True, cache=True, fastmath=_SAFE)
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


@njit(nogil=True, cache=True, fastmath=_SAFE)
def _squares(x: Values) -> float:
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i] * x[i]
    return total  # type: ignore[no-any-return]


@njit(nogil=True, cache=True)
def _count_cells(x: Values, layout: Layout, found: Counts, row: Sums) -> None:
    """Count a part of the sample in equal cells over its range, no further than 4 σ from its mean.

    The range is that of the first tensor of the step; what lies outside is in the end cells.
    """
    start, _, example_pitch, groups, group_pitch, run = layout[:6]
    if np.isnan(row[LOW]):
        mean = row[TOTAL] / row[COUNT]
        reach = 4 * np.sqrt(max(row[SQUARES] / row[COUNT] - mean * mean, 0.0))
        row[LOW] = max(row[MINIMUM], mean - reach)
        row[HIGH] = min(row[MAXIMUM], mean + reach)
    cells = row[PLACES:]
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
def _cells_of(x: Values, low: float, scale: float, last: int, found: Counts) -> None:
    nil, top = np.int32(0), np.int32(last)
    for i in range(x.size):
        cell = np.int32((x[i] - low) * scale)
        cell = cell if cell > nil else nil
        found[i] = cell if cell < top else top


@njit(nogil=True, cache=True)
def tails(
    z: Values,
    layout: Layout,
    saturated: tuple[float, float],
    alive: tuple[float, float],
    living: NDArray[np.bool_],
) -> tuple[int, int, int, int]:
    """Of pre-activations ``z``: elements looked at, saturated ones, units looked at, dead ones.

    Saturated: z < saturated[0] or z > saturated[1]. Dead: not once alive[0] < z < alive[1].
    ``living`` is room for one example's sampled elements.
    """
    start, examples, example_pitch, groups, group_pitch, run, units, unit_step = layout[:8]
    below, above = z.dtype.type(saturated[0]), z.dtype.type(saturated[1])
    floor, ceiling = z.dtype.type(alive[0]), z.dtype.type(alive[1])
    living[: groups * run] = False
    inside = 0.0
    for e in range(examples):
        for g in range(groups):
            at = start + e * example_pitch + g * group_pitch
            lives = living[g * run : (g + 1) * run]
            inside += _inside(z[at : at + run], below, above, floor, ceiling, lives)
    dead = 0
    for u in range(units):
        some = False
        if unit_step == 1:
            for i in range(u, groups * run, units):
                some |= living[i]
        else:
            for i in range(u * run, (u + 1) * run):
                some |= living[i]
        dead += not some
    return examples * groups * run, int(inside), units, dead


@njit(nogil=True, cache=True, fastmath=_SAFE)
def _inside(
    z: Values, below: float, above: float, floor: float, ceiling: float, living: NDArray[np.bool_]
) -> float:
    """How many of a run are saturated; places that live are marked."""
    nil, one = z.dtype.type(0), z.dtype.type(1)
    inside = nil
    for i in range(z.size):
        v = z[i]
        inside += one if (v < below) | (v > above) else nil
        living[i] |= (v > floor) & (v < ceiling)
    return inside  # type: ignore[no-any-return]


@njit(nogil=True, cache=True)
def keep(w: Values, layout: Layout, kept: Values) -> float:
    """Copy the sample of a weight to ``kept``; its Σw²."""
    start, run, pitch = layout[0], layout[5], layout[4]
    squares = 0.0
    for g in range(layout[3]):
        part = w[start + g * pitch : start + g * pitch + run]
        kept[g * run : (g + 1) * run] = part
        squares += _squares(part)
    return squares


@njit(nogil=True, cache=True)
def moved(w: Values, layout: Layout, kept: Values, row: Sums) -> float:
    """Σ(w − kept)² over the sample; elements that stayed the same are added to ``row``."""
    start, run, pitch = layout[0], layout[5], layout[4]
    squares, same = 0.0, 0.0
    for g in range(layout[3]):
        part = w[start + g * pitch : start + g * pitch + run]
        here, still = _difference(part, kept[g * run : (g + 1) * run])
        squares += here
        same += still
    row[UNCHANGED] += same
    row[UPDATED] += layout[3] * run
    return squares


@njit(nogil=True, cache=True, fastmath=_SAFE)
def _difference(x: Values, y: Values) -> tuple[float, float]:
    """Σ(x − y)², and how many are equal."""
    nil, one = x.dtype.type(0), x.dtype.type(1)
    squares, same = nil, nil
    for i in range(x.size):
        d = x[i] - y[i]
        squares += d * d
        same += one if d == nil else nil
    return squares, same
