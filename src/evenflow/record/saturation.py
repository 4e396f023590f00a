"""Saturated elements and dead units of an activation, by its own curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evenflow.record.statistics import aligned
from evenflow.theory.activations import Activation

_AT_ONCE = 2**20
"""Most elements compared at a time: what the comparisons need does not grow with the batch."""


def saturation(
    z: NDArray[np.floating],
    activation: Activation,
    unit_axis: int | None,
    example_axis: int | None = 0,
) -> tuple[float, float]:
    """Shares of saturated elements and of dead units, from the pre-activations ``z``.

    An element is saturated where |φ′(z)| < 0.1 · max|φ′|; the share is NaN for an activation that
    never saturates. A unit is dead where φ′(z) is exactly 0 on every example and position; the
    share is NaN for an activation without flat stretches, and without a unit axis. Axes are as
    for ``statistics.measure``.
    """
    x = aligned(z, unit_axis, example_axis)
    examples, _, units, _ = x.shape
    if x.size == 0:
        return float("nan"), float("nan")
    step = max(1, _AT_ONCE * examples // x.size)
    saturated = 0
    alive = np.zeros(units, dtype=bool)
    for start in range(0, examples, step):
        part = x[start : start + step]
        if activation.saturation is not None:
            saturated += int(activation.saturation.contains(part.astype(np.float64)).sum())
        alive |= ~_flat(part, activation.flat).all(axis=(0, 1, 3))
    known = unit_axis is not None and activation.flat
    return (
        saturated / x.size if activation.saturation is not None else float("nan"),
        float((~alive).mean()) if known else float("nan"),
    )


def _flat(z: NDArray[np.floating], intervals: tuple[tuple[float, float], ...]) -> NDArray[np.bool_]:
    """Whether φ′ is exactly 0 at each z; automatic differentiation gives ReLU 0 at 0 itself."""
    inside = np.zeros(z.shape, dtype=bool)
    for low, high in intervals:
        inside |= (z >= low) & (z <= high)
    return inside
