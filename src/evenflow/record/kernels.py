"""The one pass over a tensor, compiled by Numba.

``record.statistics`` turns the sums that come out into means, variances and shared parts. The
kernel reads every element once and keeps sums whose size is one example's, never the batch's.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Sums may be reassociated, which lets them be vectorised; NaN and infinity keep their meaning.
_SAFE = {"reassoc", "nsz", "contract", "arcp"}


@njit(nogil=True, cache=True, fastmath=_SAFE)
def moments_pass(
    x: NDArray[np.floating], shift: float
) -> tuple[float, float, float, float, int, int, float, float]:
    """Sums over ``x`` of shape (examples B, before, units C, after), finite elements only.

    Returns Σ(x − shift), Σ(x − shift)², minimum, maximum, zeros, non-finite, and two sums of
    squares from which shared parts follow: Σ over the elements i of one example of
    (Σ_b x_bi)², and Σ over units c of [(Σ_b u_bc)² − Σ_b u_bc²], where u_bc sums example b's
    elements of unit c.
    """
    examples, before, units, after = x.shape
    total = np.zeros((before, units, after))
    unit_total = np.zeros(units)
    unit_here = np.zeros(units)
    unit_squares = 0.0
    s, ss, low, high = 0.0, 0.0, np.inf, -np.inf
    zeros, nonfinite = 0, 0
    for b in range(examples):
        unit_here[:] = 0.0
        for i in range(before):
            for c in range(units):
                here = 0.0
                for j in range(after):
                    v = np.float64(x[b, i, c, j])
                    if not np.isfinite(v):
                        nonfinite += 1
                        continue
                    total[i, c, j] += v
                    here += v
                    d = v - shift
                    s += d
                    ss += d * d
                    low = min(low, v)
                    high = max(high, v)
                    zeros += v == 0
                unit_here[c] += here
        for c in range(units):
            unit_total[c] += unit_here[c]
            unit_squares += unit_here[c] ** 2
    element = 0.0
    for i in range(before):
        for c in range(units):
            for j in range(after):
                element += total[i, c, j] ** 2
    unit = -unit_squares
    for c in range(units):
        unit += unit_total[c] ** 2
    return s, ss, low, high, zeros, nonfinite, element, unit


@njit(nogil=True, cache=True, fastmath=_SAFE)
def fourth_power_sum(x: NDArray[np.floating]) -> float:
    """Σ x⁴ over the finite elements of a flat array."""
    s = 0.0
    for i in range(x.size):
        v = np.float64(x[i])
        if np.isfinite(v):
            s += v * v * v * v
    return s
