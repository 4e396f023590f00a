"""The shared part: what two examples keep in common when both pass through an activation.

z = shared Gaussian part + private part; s′ = E_shared[(E_private φ)²] is the second moment of what
they share afterwards. The same map serves examples and positions, each with its own s.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from evenflow.theory.activations.activation import Activation, Curve
from evenflow.theory.expectations import break_points, panel_edges
from evenflow.theory.normal import Array, density
from evenflow.theory.quadrature import integrate

_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_INNER_EDGES: Array = np.array([-9.0, -5.0, -2.5, 0.0, 2.5, 5.0, 9.0])
_END = 14.0
"""In standard deviations of the shared part; beyond lies less than 1e-43 of the probability."""
_MOST_PANELS = 256
"""Of the outer integral: a rough inner average would have it refined without end."""
_BESIDE_KINKS: Array = np.array([-8.0, -3.0, 0.0, 3.0, 8.0])


def shared_second(activation: Activation, mean: float, shared: float, private: float) -> float:
    """E_u[(E_x φ(u + x))²], u ~ N(mean, shared), x ~ N(0, private); both variances positive."""
    closed, function = activation.closed, activation.function
    if closed:
        return _mean_square(activation, closed.average, mean, shared, private)
    return _mean_square(activation, _averager(activation, function), mean, shared, private)


def shared_slope(activation: Activation, mean: float, shared: float, private: float) -> float:
    """E_u[(E_x φ′(u + x))²], u ~ N(mean, shared), x ~ N(0, private); both variances positive."""
    closed, slope = activation.closed, activation.derivative
    if closed and not activation.steps:
        return _mean_square(activation, closed.average_slope, mean, shared, private)
    return _mean_square(activation, _averager(activation, slope), mean, shared, private)


def _mean_square(
    activation: Activation,
    average: Callable[[Array, float], Array],
    mean: float,
    shared: float,
    private: float,
) -> float:
    """Averaging over x smooths φ on the scale √private: there its kinks turn into bends."""
    scale, blur = math.sqrt(shared), math.sqrt(private)
    points = break_points(activation, scale)
    if activation.kinks and blur < scale:
        kinks = np.array(activation.kinks)
        points = np.concatenate((points, (kinks[:, None] + blur * _BESIDE_KINKS).ravel()))

    def integrand(t: Array) -> Array:
        averages = average((mean + scale * t).ravel(), private).reshape(t.shape)
        return (averages * averages * density(t))[None]

    edges = panel_edges(points, mean, scale, _END)
    return float(integrate(integrand, edges, _MOST_PANELS).value[0])


def _averager(activation: Activation, curve: Curve) -> Callable[[Array, float], Array]:
    """E[curve(u + x)] for arrays of u, by Gauss–Legendre panels in x split at the kinks."""

    def average(u: Array, private: float) -> Array:
        blur = math.sqrt(private)
        points = break_points(activation, blur)
        reach = blur * _INNER_EDGES[-1]
        points = points[(points > u.min() - reach) & (points < u.max() + reach)]
        edges = _INNER_EDGES[None]
        if points.size:
            inner = np.clip((points - u[:, None]) / blur, _INNER_EDGES[0], _INNER_EDGES[-1])
            outer = np.repeat(edges, u.size, axis=0)
            edges = np.sort(np.concatenate((outer, inner), axis=1), axis=1)
        half = 0.5 * np.diff(edges)[..., None]
        x = 0.5 * (edges[:, :-1] + edges[:, 1:])[..., None] + half * _POINTS
        weights = half * _WEIGHTS * density(x)
        values = curve(u[:, None, None] + blur * x)
        averages: Array = (values * weights).sum(axis=(1, 2))
        return averages

    return average
