"""Expectations of an activation over z ~ N(m, v): exact, in closed form, or by quadrature."""

from __future__ import annotations

import math

import numpy as np

from evenflow.errors import ActivationError
from evenflow.theory.activations.activation import Activation, Expectations, error_scales
from evenflow.theory.normal import Array, density
from evenflow.theory.quadrature import TOLERANCE, integrate

_ROUNDING = 1e-13
"""What sums of a few hundred rounded products may be off by."""
_ROOT_DENSITY_AT_0 = (2 * math.pi) ** -0.25
_END = 38.6
"""In standard deviations: beyond it the normal density is zero in double precision."""
_EDGES: Array = np.array([0.0, 1.7, 3.4, 5.2, 7.5, 11.0, 18.0, _END])
_EDGES = np.concatenate((-_EDGES[:0:-1], _EDGES))
_BENDS: Array = np.array([0.0, 1.0, 2.2, 4.5, 9.0, 18.0, 36.0])
_BENDS = np.concatenate((-_BENDS[:0:-1], _BENDS))
"""Where smooth activations change, on their own scale; wide Gaussians need panels of that size."""
WIDE = 0.6
"""Standard deviation above which they do."""


def expectations(activation: Activation, mean: float, variance: float) -> Expectations:
    """Over z ~ N(mean, variance), variance ≥ 0; raises ActivationError where they do not exist."""
    if variance == 0:
        return _at_a_point(activation, mean)
    result = activation.closed.expectations(mean, variance) if activation.closed else None
    if result is None or not result.error <= TOLERANCE:
        result = _by_quadrature(activation, mean, math.sqrt(variance))
    if activation.steps:
        result = result._replace(growth=result.growth + _of_steps(activation, mean, variance))
    return result


def panel_edges(points: Array, mean: float, scale: float, end: float = _END) -> Array:
    """Edges in t = (z − mean)/scale up to ±end: every few deviations, and at ``points`` in z."""
    inner = (points - mean) / scale
    edges = np.concatenate((_EDGES[np.abs(_EDGES) <= end], inner[np.abs(inner) < end]))
    return np.sort(edges)


def break_points(activation: Activation, wide: bool) -> Array:
    """Points in z that a rule should not straddle: kinks, and under a wide Gaussian bends too."""
    kinks = np.array(activation.kinks)
    return np.concatenate((kinks, _BENDS)) if wide else kinks


def _by_quadrature(activation: Activation, mean: float, scale: float) -> Expectations:
    def integrand(t: Array) -> Array:
        # By the root of the density first: φ² alone may overflow where φ²·density is small.
        root = np.exp(-0.25 * t * t) * _ROOT_DENSITY_AT_0
        z = mean + scale * t
        value, slope = activation.function(z) * root, activation.derivative(z) * root
        return np.stack((value * root, value * value, slope * slope, value * slope * t))

    with np.errstate(over="ignore", invalid="ignore"):
        edges = panel_edges(break_points(activation, scale > WIDE), mean, scale)
        values, errors, sizes, ends = integrate(integrand, edges)
    _require_decay(activation, values, ends, mean, scale)
    average, second, backward, cross = values.tolist()
    scales = error_scales(second, backward, cross, mean, scale)
    errors += 4 * np.finfo(float).eps * sizes
    error = float((errors / scales).max()) + 2 * activation.slope_error
    error += _ROUNDING + 8 * np.finfo(float).eps * abs(mean) / scale  # z too is rounded
    return Expectations(average, second, backward, cross / scale, error)


def _require_decay(
    activation: Activation, values: Array, ends: Array, mean: float, scale: float
) -> None:
    """φ²·density and φ′²·density must have died out where the density itself has."""
    second, backward = values[1], values[2]
    finite = bool(np.isfinite(values).all() and np.isfinite(ends).all())
    if finite and ends[1] <= 1e-9 * second + 1e-200 and ends[2] <= 1e-9 * backward + 1e-200:
        return
    raise ActivationError(
        f"it grows too fast for its second moment under N({mean:.4g}, {scale**2:.4g}) to exist "
        "or to be computed",
        where=activation.name,
        remedy="Bound it, or choose a smaller operating point q",
    )


def _of_steps(activation: Activation, mean: float, variance: float) -> float:
    """What jumps of φ² add to its growth: jump·density(t)·t/(2v) at each."""
    total = 0.0
    for point, below, above in activation.steps:
        t = (point - mean) / math.sqrt(variance)
        total += (above**2 - below**2) * density(t) * t / (2 * variance)
    return float(total)


def _at_a_point(activation: Activation, mean: float) -> Expectations:
    """The limit v → 0: half of each side's value where z sits on a kink."""
    at = np.array([mean, mean])
    if mean in activation.kinks:
        at = np.nextafter(at, (-np.inf, np.inf))
    value, slope = activation.function(at), activation.derivative(at)
    leap = float(value[1] * slope[1] - value[0] * slope[0])
    if abs(leap) > 1e-12:  # φφ′ steps at a kink
        growth = math.copysign(math.inf, leap)
    else:
        nudge = 1e-5 * max(1.0, abs(mean))
        near = mean + nudge * np.array([-1.0, 1.0])
        before, after = activation.function(near) * activation.derivative(near)
        growth = float(after - before) / (2 * nudge)
    return Expectations(
        mean=float(value.mean()),
        second=float((value**2).mean()),
        backward=float((slope**2).mean()),
        growth=growth,
        error=1e-9 + 2 * activation.slope_error,  # of the difference quotient
    )
