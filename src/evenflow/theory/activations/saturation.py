"""Where an activation saturates, read off its own slope."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenflow.theory.normal import Array

_REACH = 64.0
_SHARE = 0.1


@dataclass(frozen=True)
class Saturation:
    """The tails of z in which |φ′| is under a tenth of its maximum."""

    intervals: tuple[tuple[float, float], ...]
    """(−inf, a), (b, inf) or both."""
    bounded: bool
    """Whether φ stays bounded in all of them (tanh), or creeps on (leaky ReLU)."""

    def contains(self, z: Array) -> NDArray[np.bool_]:
        """Whether each z lies in a saturated tail; booleans of the same shape."""
        inside = np.zeros(np.shape(z), dtype=bool)
        for low, high in self.intervals:
            inside |= (z > low) & (z < high)
        return inside


def saturation_of(
    function: Callable[[Array], Array], derivative: Callable[[Array], Array]
) -> Saturation | None:
    """The saturated tails of φ, looked for in |z| ≤ 64; None where it has none.

    If the slope grows without bound (squared ReLU), only a slope of exactly zero is saturation.
    """
    grid = np.linspace(0.0, _REACH, 4097)
    sides = {sign: np.abs(derivative(sign * grid)) for sign in (-1.0, 1.0)}
    greatest = max(_peak(derivative, sign * grid, slope) for sign, slope in sides.items())
    grows = any(slope[-1] > 1.5 * slope[slope.size // 2] > 0 for slope in sides.values())
    bar = 0.0 if grows else _SHARE * greatest
    tails: dict[float, float] = {}
    for sign, slope in sides.items():
        above = np.flatnonzero(slope > bar)
        start = int(above[-1]) if above.size else 0
        if grid[start] < _REACH / 2:  # otherwise the curve still moves where the search ends
            tails[sign] = _crossing(derivative, sign, grid[start], grid[start + 1], bar)
    if not tails:
        return None
    intervals = tuple(
        (-np.inf, 0.0 - edge) if sign < 0 else (edge, np.inf) for sign, edge in tails.items()
    )
    return Saturation(intervals, all(_is_bounded(function, sign) for sign in tails))


def _peak(derivative: Callable[[Array], Array], grid: Array, slope: Array) -> float:
    """The greatest |φ′| on a grid, looked for between its points too."""
    top = int(slope.argmax())
    near = np.linspace(grid[max(top - 1, 0)], grid[min(top + 1, grid.size - 1)], 2001)
    return max(float(slope[top]), float(np.abs(derivative(near)).max()))


def _crossing(
    derivative: Callable[[Array], Array], sign: float, low: float, high: float, bar: float
) -> float:
    """Where |φ′| falls to the bar between ``low`` and ``high``, by bisection: it may step there."""
    for _ in range(50):
        middle = 0.5 * (low + high)
        if np.abs(derivative(np.array([sign * middle])))[0] > bar:
            low = middle
        else:
            high = middle
    # Bisection ends at the float below a kink at zero: a tail that starts there starts at 0.
    return round(float(high), 12)


def _is_bounded(function: Callable[[Array], Array], sign: float) -> bool:
    """Whether the rise from octave to octave dies out; a logarithm's stays, a line's doubles."""
    octaves = np.abs(np.diff(function(sign * _REACH * np.array([0.25, 0.5, 1.0]))))
    return bool(octaves[1] <= 0.9 * octaves[0] + 1e-12)
