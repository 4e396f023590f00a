"""What an activation is to the calculus: a curve, its slope, its kinks, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np

from evenflow.theory.activations.saturation import Saturation, saturation_of
from evenflow.theory.normal import Array

Curve = Callable[[Array], Array]

NOTHING = 1e-290
"""Expectations below this are as good as zero."""


class Expectations(NamedTuple):
    """Expectations over z ~ N(m, v) of an activation φ and its derivative φ′."""

    mean: float
    """E[φ]"""
    second: float
    """E[φ²]"""
    backward: float
    """E[φ′²]"""
    growth: float
    """dE[φ²]/dv at fixed m, which is E[φφ′(z − m)]/v wherever φ has no steps."""
    error: float
    """Bound on the error of each, relative to ``error_scales``."""


def error_scales(second: float, backward: float, cross: float, mean: float, scale: float) -> Array:
    """What errors of E[φ], E[φ²], E[φ′²] and cross = E[φφ′t] are measured against.

    √E[φ²], E[φ²], E[φ′²], and for cross what makes the q-slope q·cross/(√v·E[φ²]) wrong by one
    part of max(1, |q-slope|); never less than what is as good as zero.
    """
    q = mean * mean + scale * scale
    sizes = (second**0.5, second, backward, max(second * scale / q, abs(cross)))
    return np.maximum(sizes, NOTHING)


class Step(NamedTuple):
    """A discontinuity of φ: where, and the values on either side."""

    point: float
    below: float
    above: float


class ClosedForm(Protocol):
    """The expectations of an activation family that can be written down."""

    def average(self, mean: Array, variance: float) -> Array:
        """E[φ(z)], z ~ N(mean, variance), for each of the means."""

    def average_slope(self, mean: Array, variance: float) -> Array:
        """E[φ′(z)], z ~ N(mean, variance), for each of the means."""

    def expectations(self, mean: float, variance: float) -> Expectations:
        """All at once; the error is that of rounding, which cancellation can make large.

        ``growth`` leaves out the steps of φ: they are added for every activation alike.
        """


@dataclass(frozen=True, eq=False)
class Activation:
    """An element-wise activation φ.

    ``function`` and ``derivative`` map float64 arrays of any shape to arrays of the same shape. At
    a kink the derivative is what automatic differentiation gives there. Two activations are the
    same only if they are one object, so that an activation can stand in a cache's key.
    """

    name: str
    function: Curve = field(repr=False)
    derivative: Curve = field(repr=False)
    params: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    kinks: tuple[float, ...] = ()
    """Where φ or φ′ steps or bends sharply, ascending."""
    flat: tuple[tuple[float, float], ...] = ()
    """Intervals on which φ′ is exactly zero."""
    homogeneous: bool = False
    """Whether zφ′(z) = φ(z), so that gains are the same at every operating point of mean zero."""
    closed: ClosedForm | None = field(default=None, repr=False)
    slope_error: float = 0.0
    """Relative error of ``derivative``, where it had to be taken numerically."""

    @cached_property
    def saturation(self) -> Saturation | None:
        """The tails in which the slope is under a tenth of its greatest; None if there are none."""
        return saturation_of(self.function, self.derivative)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Where φ itself is discontinuous."""
        if not self.kinks:
            return ()
        points = np.array(self.kinks)
        nudge = 1e-9 * np.maximum(1.0, np.abs(points))
        below, above = self.function(points - nudge), self.function(points + nudge)
        real = np.abs(above - below) > 1e-6 * (1 + np.abs(above))
        ends = zip(points[real].tolist(), below[real].tolist(), above[real].tolist(), strict=True)
        return tuple(Step(*end) for end in ends)
