"""The shared part: what two examples keep in common when both pass through an activation.

z = shared Gaussian part + private part; s′ = E_shared[(E_private φ)²] is the second moment of what
they share afterwards. The same map serves examples and positions, each with its own s.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from evenflow.theory.activations.activation import Activation, Curve
from evenflow.theory.expectations import WIDE, break_points, panel_edges
from evenflow.theory.normal import Array, density
from evenflow.theory.quadrature import integrate

_END = 11.0
"""In standard deviations of the shared part; beyond lies less than 1e-27 of the probability."""
_MOST_PANELS = 256
"""Of the outer integral: a rough inner average would have it refined without end."""
_BESIDE_KINKS: Array = np.array([-8.0, -3.0, 0.0, 3.0, 8.0])

_INNER_POINTS, _INNER_WEIGHTS = np.polynomial.legendre.leggauss(16)
_INNER_EDGES: Array = np.array([-9.0, -5.0, -2.5, 0.0, 2.5, 5.0, 9.0])
_INNER_WIDE = 1.2
"""Private standard deviation above which these panels too need splitting at the bends."""
_ROWS = 32
"""Outer points taken at a time, so that the arrays of inner points stay within the cache."""


def shared_second(activation: Activation, mean: float, shared: float, private: float) -> float:
    """E_u[(E_x φ(u + x))²], u ~ N(mean, shared), x ~ N(0, private), private > 0."""
    closed = activation.closed
    average = closed.average if closed else _averager(activation, activation.function)
    return _mean_square(activation, average, mean, shared, private)


def shared_slope(activation: Activation, mean: float, shared: float, private: float) -> float:
    """E_u[(E_x φ′(u + x))²], u ~ N(mean, shared), x ~ N(0, private), private > 0."""
    closed = activation.closed
    average = closed.average_slope if closed else _averager(activation, activation.derivative)
    return _mean_square(activation, average, mean, shared, private)


def _mean_square(
    activation: Activation,
    average: Callable[[Array, float], Array],
    mean: float,
    shared: float,
    private: float,
) -> float:
    """Averaging over x smooths φ on the scale √private: there its kinks turn into bends."""
    if shared == 0:
        return float(average(np.array([mean]), private)[0]) ** 2
    scale, blur = math.sqrt(shared), math.sqrt(private)
    kinks = np.array(activation.kinks)
    points = break_points(activation, blur < WIDE < scale)
    if blur < scale:
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
        points = break_points(activation, blur > _INNER_WIDE)
        rows = [u[i : i + _ROWS] for i in range(0, u.size, _ROWS)]
        return np.concatenate([_average_rows(curve, row, blur, points) for row in rows])

    return average


def _average_rows(curve: Curve, u: Array, blur: float, points: Array) -> Array:
    first, last = _INNER_EDGES[0], _INNER_EDGES[-1]
    points = points[(points > u.min() + blur * first) & (points < u.max() + blur * last)]
    edges = _INNER_EDGES[None]
    if points.size:
        inner = np.clip((points - u[:, None]) / blur, first, last)
        edges = np.concatenate((np.repeat(edges, u.size, axis=0), inner), axis=1)
        edges.sort(axis=1)
    half = 0.5 * np.diff(edges)[..., None]
    x = 0.5 * (edges[:, :-1] + edges[:, 1:])[..., None] + half * _INNER_POINTS
    weights = half * _INNER_WEIGHTS * density(x)
    averages: Array = (curve(u[:, None, None] + blur * x) * weights).sum(axis=(1, 2))
    return averages
