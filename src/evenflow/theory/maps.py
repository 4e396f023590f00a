"""Mean-field maps of a deep network: lengths, correlations, and how deep a signal reaches.

Pre-activations of a wide layer with independent weights of variance σ_w²/n and biases of variance
σ_b² are Gaussian; their second moment q and the correlation c of two inputs go from layer to layer
by maps that depend on the activation alone (Poole et al. 2016, Schoenholz et al. 2017). All
functions are pure and take an activation as ``gain`` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from evenflow.errors import InputError
from evenflow.theory.activations import Activation
from evenflow.theory.gain import as_activation, gain

AnyActivation = Activation | str | Callable[[Any], Any]

_LOW, _HIGH = 1e-8, 1e6
_GRID = np.geomspace(_LOW, _HIGH, 169)
_EVEN = 1e-9
"""A slope this close to 1 counts as 1."""


@dataclass(frozen=True)
class FixedPoint:
    """Where a map meets the diagonal, and its slope there."""

    value: float
    slope: float

    @property
    def stable(self) -> bool:
        """Whether small deviations shrink; at slope 1 they do neither."""
        return abs(self.slope) < 1 - _EVEN


@dataclass(frozen=True)
class EdgeOfChaos:
    """Weights at which gradients neither grow nor shrink: χ₁ = 1."""

    sigma_w2: float
    q: float
    """The second moment of pre-activations that these weights keep."""


@dataclass(frozen=True)
class DepthScales:
    """How many layers it takes for a deviation to fall to 1/e."""

    q: float
    """The fixed point of the variance map that q = 1 runs to."""
    c: float
    """The stable fixed point of the correlation map there."""
    chi: float
    """χ₁ = σ_w²E[φ′²]: the growth of gradients a layer."""
    xi_q: float
    """Layers over which lengths are remembered; infinite at slope 1."""
    xi_c: float
    """Layers over which correlations are remembered; infinite on the edge of chaos."""


def variance_map(
    activation: AnyActivation, q: float, sigma_w2: float, sigma_b2: float = 0.0
) -> float:
    """q′ = σ_w²·E[φ(√q z)²] + σ_b²."""
    return sigma_w2 * gain(activation, q).second + sigma_b2


def variance_fixed_points(
    activation: AnyActivation, sigma_w2: float, sigma_b2: float = 0.0
) -> tuple[FixedPoint, ...]:
    """All q in [1e-8, 1e6] that the variance map crosses, ascending, and q = 0 if it is one.

    Where every q is a fixed point (ReLU at σ_w² = 2) only q = 0 with its slope of 1 is listed.
    """
    curve = as_activation(activation)
    _require_variances(sigma_w2, sigma_b2)

    def slope(q: float) -> float:
        at = gain(curve, q)
        return sigma_w2 * (at.backward if q == 0 else at.forward * at.q_slope)

    roots = _roots(lambda q: variance_map(curve, q, sigma_w2, sigma_b2) - q)
    if variance_map(curve, 0.0, sigma_w2, sigma_b2) == 0:
        roots.insert(0, 0.0)
    return tuple(FixedPoint(q, slope(q)) for q in roots)


def correlation_map(
    activation: AnyActivation, c: float, q: float, sigma_w2: float, sigma_b2: float = 0.0
) -> float:
    """c′ = (σ_w²·E[φ(z₁)φ(z₂)] + σ_b²)/q′ for z₁, z₂ of second moment q > 0, correlation c ≥ 0."""
    at = gain(activation, q)
    return (sigma_w2 * at.shared(c * q) + sigma_b2) / (sigma_w2 * at.second + sigma_b2)


def correlation_fixed_points(
    activation: AnyActivation, q: float, sigma_w2: float, sigma_b2: float = 0.0
) -> tuple[FixedPoint, ...]:
    """The fixed points of the correlation map in [0, 1] at second moment q > 0, ascending.

    c = 1 always is one. The map is a power series in c with coefficients that are not negative, so
    it is convex: there is at most one other, and only where the slope at 1 exceeds 1. With the
    linear activation and no bias every c is fixed; only c = 1 is listed.
    """
    curve = as_activation(activation)
    at = gain(curve, q)
    scale = sigma_w2 * q / (sigma_w2 * at.second + sigma_b2)
    # A step tears near inputs apart at any distance: the slope at 1 is infinite.
    ends = FixedPoint(1.0, math.inf if curve.steps else scale * at.backward)
    if ends.slope <= 1 + _EVEN:
        return (ends,)

    def excess(c: float) -> float:
        return correlation_map(curve, c, q, sigma_w2, sigma_b2) - c

    # Just below 1 the map lies under the diagonal, at a distance that shrinks with slope − 1.
    below = next((1 - gap for gap in np.geomspace(0.5, 1e-9, 31) if excess(1 - gap) < 0), None)
    if below is None:
        return (ends,)
    c = _brentq(excess, 0.0, float(below)) if excess(0.0) > 0 else 0.0
    if curve.steps:
        near = [correlation_map(curve, c + k * 1e-4, q, sigma_w2, sigma_b2) for k in range(3)]
        slope = float(np.dot((-1.5, 2.0, -0.5), near)) / 1e-4
    else:
        slope = scale * at.shared_backward(c * q)
    return (FixedPoint(c, slope), ends)


def edge_of_chaos(activation: AnyActivation, sigma_b2: float = 0.0) -> tuple[EdgeOfChaos, ...]:
    """All (σ_w², q) with χ₁ = σ_w²E[φ′²] = 1 and q a fixed point, q in [1e-8, 1e6] or zero.

    Ascending in q; empty where there are none, as for ReLU with biases. Where every q will do
    (ReLU without) only q = 0 is listed.
    """
    curve = as_activation(activation)
    _require_variances(1.0, sigma_b2)

    def critical(q: float) -> float:
        slope = gain(curve, q).backward
        return 1 / slope if slope > 0 else math.inf

    roots = _roots(lambda q: variance_map(curve, q, critical(q), sigma_b2) - q)
    if sigma_b2 == gain(curve, 0.0).second == 0 and math.isfinite(critical(0.0)):
        roots.insert(0, 0.0)
    return tuple(EdgeOfChaos(critical(q), q) for q in roots)


def depth_scales(activation: AnyActivation, sigma_w2: float, sigma_b2: float = 0.0) -> DepthScales:
    """ξ_q = −1/ln |slope of the variance map| and ξ_c = −1/ln (slope of the correlation map).

    At the fixed point that q = 1 runs to; raises InputError if q grows without bound.
    """
    curve = as_activation(activation)
    fixed = _reached_from_one(curve, sigma_w2, sigma_b2)
    chi = sigma_w2 * gain(curve, fixed.value).backward
    if fixed.value == 0:
        correlated = FixedPoint(1.0, chi)
    else:
        correlated = correlation_fixed_points(curve, fixed.value, sigma_w2, sigma_b2)[0]
    return DepthScales(
        fixed.value, correlated.value, chi, _depth(fixed.slope), _depth(correlated.slope)
    )


def _reached_from_one(activation: Activation, sigma_w2: float, sigma_b2: float) -> FixedPoint:
    points = variance_fixed_points(activation, sigma_w2, sigma_b2)
    rise = variance_map(activation, 1.0, sigma_w2, sigma_b2) - 1
    if abs(rise) < 1e-12:
        return FixedPoint(1.0, sigma_w2 * gain(activation).forward * gain(activation).q_slope)
    ahead = [point for point in points if (point.value > 1) == (rise > 0)]
    if not ahead:
        raise InputError(
            f"the second moment of {activation.name} pre-activations grows without bound under "
            f"σ_w² = {sigma_w2:.6g}, σ_b² = {sigma_b2:.6g}",
            remedy="Choose a smaller σ_w²",
        )
    return ahead[0] if rise > 0 else ahead[-1]


def _depth(slope: float) -> float:
    size = abs(slope)
    if size >= 1 - _EVEN:
        return math.inf
    return -1 / math.log(size) if size > 0 else 0.0


def _roots(excess: Callable[[float], float]) -> list[float]:
    """Where ``excess`` changes sign on the grid of q; values that are zero to rounding are none."""
    values = np.array([excess(float(q)) for q in _GRID])
    signs = np.where(np.abs(values) > 1e-12 * _GRID, np.sign(values), 0)
    grid, signs = _GRID[signs != 0], signs[signs != 0]
    return [
        _brentq(excess, float(grid[i]), float(grid[i + 1]))
        for i in np.flatnonzero(signs[:-1] != signs[1:])
    ]


def _brentq(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq  # slow to import

    return float(brentq(function, low, high, xtol=1e-15, rtol=1e-14))


def _require_variances(sigma_w2: float, sigma_b2: float) -> None:
    if not (0 < sigma_w2 < math.inf and 0 <= sigma_b2 < math.inf):
        raise InputError(
            f"σ_w² = {sigma_w2!r} and σ_b² = {sigma_b2!r} are no variances of weights and biases",
            remedy="Give a finite σ_w² > 0 and a finite σ_b² ≥ 0",
        )
