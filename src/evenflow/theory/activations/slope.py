"""The derivative of a callable that comes without one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from evenflow.theory.activations.activation import Curve
from evenflow.theory.activations.kinks import PLACED
from evenflow.theory.normal import Array

_STEP = 6e-6
"""Of the three-point derivative: it loses about 1e-11 each to truncation and to rounding."""


@dataclass(frozen=True)
class NumericalSlope:
    """Derivative of the parabola through three points that all lie on one side of every kink."""

    curve: Curve
    kinks: list[float]

    def __call__(self, z: Array) -> Array:
        """φ′(z)."""
        centre, step = z, _STEP * np.maximum(1.0, np.abs(z) / 8)
        if self.kinks:
            bounds = np.array([-np.inf, *self.kinks, np.inf])
            piece = np.searchsorted(self.kinks, z)
            left, right = bounds[piece] + PLACED, bounds[piece + 1] - PLACED
            step = np.minimum(step, np.maximum((right - left) / 4, PLACED))
            centre = np.clip(z, left + step, right - step)
        before, here, after = (self.curve(centre + k * step) for k in (-1, 0, 1))
        slope = (after - before) / (2 * step)
        bend = (after - 2 * here + before) / step**2
        return slope + np.where(centre == z, 0.0, (z - centre) * bend)

    def relative_error(self) -> float:
        """Of the slope; infinite where the slope itself has no bound, as that of √|z| at 0."""
        for kink in self.kinks:
            far, near, after, beyond = np.abs(self(kink + np.array([-1e-3, -1e-5, 1e-5, 1e-3])))
            if near > 1.1 * far + 1e-3 or after > 1.1 * beyond + 1e-3:
                return math.inf
        sample = np.linspace(-3.0, 3.0, 61)
        typical = float(np.sqrt(np.mean(self(sample) ** 2)))
        rounding = float(np.finfo(float).eps * np.abs(self.curve(sample)).max()) / _STEP
        return 1e-10 + (rounding / typical if typical > 0 else 0.0)
