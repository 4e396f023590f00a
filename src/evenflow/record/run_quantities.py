"""From the sums of a sampled step to what a Run keeps of it, compiled by Numba."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evenflow.record.run_sums import (
    CELLS,
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
    QUANTITIES,
    SATURATED,
    SQUARES,
    TOTAL,
    UNCHANGED,
    UNITS,
    UPDATE_SQUARES,
    UPDATED,
    WEIGHT_SQUARES,
    WEIGHTS,
    ZEROS,
    Sums,
)

Quantities = NDArray[np.float32]
_OF_EACH = len(QUANTITIES)
_FULL = np.iinfo(np.uint16).max


@njit(nogil=True, cache=True)
def quantities(sums: Sums, scale: float) -> tuple[Quantities, NDArray[np.uint16]]:
    """``QUANTITIES`` of each row, and the cells of its histogram.

    ``scale`` is what the tensors were multiplied by, and are divided by again.
    """
    values = np.empty((len(sums), _OF_EACH), np.float32)
    cells = np.zeros((len(sums), CELLS), np.uint16)
    for number in range(len(sums)):
        row = sums[number]
        _fill(row, scale, values[number])
        for cell in range(CELLS):
            cells[number, cell] = min(row[PLACES + cell], _FULL)
    return values, cells


@njit(nogil=True, cache=True, error_model="numpy")
def _fill(row: Sums, scale: float, values: Quantities) -> None:
    """In the order of ``QUANTITIES``; 0/0 is the NaN of what was not measured."""
    count = row[COUNT]
    elements = count + row[NONFINITE]
    second = row[SQUARES] / count
    weight = row[WEIGHT_SQUARES] / row[WEIGHTS]
    values[0] = row[TOTAL] / count / scale
    values[1] = second / scale**2
    values[2] = row[MINIMUM] / scale if count > 0 else np.nan
    values[3] = row[MAXIMUM] / scale if count > 0 else np.nan
    values[4] = percentile(row, 0.02) / scale
    values[5] = percentile(row, 0.98) / scale
    values[6] = row[NONFINITE] / elements
    values[7] = row[ZEROS] / elements
    values[8] = row[SATURATED] / row[LOOKED]
    values[9] = row[DEAD] / row[UNITS]
    values[10] = row[PRODUCTS] / row[PAIRS] / second
    values[11] = row[LOW] / scale
    values[12] = row[HIGH] / scale
    values[13] = np.nan  # effective rank and
    values[14] = np.nan  # mean singular value: measured elsewhere
    values[15] = np.sqrt(weight)
    values[16] = np.sqrt(row[UPDATE_SQUARES] / row[UPDATED] / weight)
    values[17] = row[UNCHANGED] / row[UPDATED]


@njit(nogil=True, cache=True)
def percentile(row: Sums, share: float) -> float:
    """Value below which ``share`` of a row's histogram lies, linear within a cell."""
    cells = row[PLACES:]
    wanted = share * cells.sum()
    if wanted == 0:
        return math.nan
    before = 0.0
    cell = 0
    while cell < CELLS - 1 and before + cells[cell] < wanted:
        before += cells[cell]
        cell += 1
    part = (wanted - before) / cells[cell] if cells[cell] > 0 else 0.5
    width = (row[HIGH] - row[LOW]) / CELLS
    return row[LOW] + (cell + part) * width  # type: ignore[no-any-return]
