"""The normal quantile as a table of integers, linear in between: part of the sampling contract.

A *tail* is a 31-bit integer t that stands for the two-sided tail probability (t | 1) / 2³¹ of a
standard normal: 1 is the far tail, 2³¹ − 1 the centre. Its *magnitude* is |z| in units of 2⁻²¹ σ.

Knot c of the table lies at t = 2^(c // 128) · (1 + (c % 128) / 128): 128 equal cells for each
octave of the tail, 31 octaves, and one knot at 2³¹, where |z| = 0. The knot's value is
|z| = −Φ⁻¹(t / 2³²), rounded to the nearest integer of those units; the first is 6.23 σ. The values
are read from a file, since a function library may round differently on another machine.

The octave, the cell and the place within it are the exponent, the top seven and the other sixteen
bits of t as a float32, so that no loop and no logarithm looks for them.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

UNIT_BITS = 21
"""Magnitudes count units of 2⁻²¹ standard deviations: below 2²⁴ for every tail."""
TAIL_BITS = 31
"""A tail is an integer of this many bits; the sign of the value takes the 32nd."""
CELL_BITS = 7
"""Each octave of the tail has 2⁷ cells."""
FRACTION_BITS = 23 - CELL_BITS
"""The bits of a float32's significand that tell the place within a cell."""
FIRST_CELL = 127 << CELL_BITS
"""What exponent and cell bits of the float32 1.0 read: the table starts there."""


def _load() -> NDArray[np.int32]:
    with files("evenflow.sampling").joinpath("quantile.npy").open("rb") as file:
        knots: NDArray[np.int32] = np.load(file, allow_pickle=False)
    knots.setflags(write=False)
    return knots


KNOTS: NDArray[np.int32] = _load()
"""The 3969 knots, falling from 13,065,803 (6.23 σ) to 0."""


def magnitude(tail: NDArray[np.uint32]) -> NDArray[np.int32]:
    """Return |z| in units of 2⁻²¹ σ for each tail (0 ≤ tail < 2³¹), never rising with the tail."""
    odd = tail | np.uint32(1)
    significant = np.where(odd >= 1 << 24, odd & np.uint32(0xFFFFFF80), odd)  # 24 bits at most
    bits = significant.astype(np.float32).view(np.uint32)  # exact, hence the same everywhere
    cell = (bits >> np.uint32(FRACTION_BITS)).astype(np.int64) - FIRST_CELL
    fraction = bits & np.uint32((1 << FRACTION_BITS) - 1)
    upper = KNOTS[cell]
    drop = (upper - KNOTS[cell + 1]).astype(np.uint32)
    fallen = (drop * fraction) >> np.uint32(FRACTION_BITS)  # fits: the largest drop has 14 bits
    return upper - fallen.astype(np.int32)
