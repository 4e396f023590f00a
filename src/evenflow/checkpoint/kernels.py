"""The one pass over a piece of a tensor, compiled by Numba."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evenflow.sampling.jit import compiled

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT = np.uint64(29)


@compiled
def scan(
    values: NDArray[np.floating], words: NDArray[np.uint32], hashes: NDArray[np.uint64]
) -> tuple[float, float, float, float, float, int, int]:
    """Measure a matrix and hash its rows into ``hashes``; ``words`` are its bits, 32 at a time.

    Returns Σw, Σw², Σw⁴, minimum and maximum of the finite values, the number of values that are
    not finite and that of rows that are all zero.
    """
    total, squares, fourths, low, high = 0.0, 0.0, 0.0, np.inf, -np.inf
    nonfinite, zero_rows = 0, 0
    for r in range(values.shape[0]):
        zeros = 0
        for c in range(values.shape[1]):
            w = np.float64(values[r, c])
            if not np.isfinite(w):
                nonfinite += 1
                continue
            zeros += w == 0
            square = w * w
            total += w
            squares += square
            fourths += square * square
            low = min(low, w)
            high = max(high, w)
        zero_rows += zeros == values.shape[1]
        state = np.uint64(values.shape[1])
        for c in range(words.shape[1]):
            state = (state ^ np.uint64(words[r, c])) * _STEP
            state = (state ^ (state >> _SHIFT)) * _MIX
        hashes[r] = state
    return total, squares, fourths, low, high, nonfinite, zero_rows
