"""Integrals over panels by Gauss–Legendre rules, halving the panels on which no polynomial fits.

Every panel is evaluated at the same 22 relative points, all panels in one call, so an integrand
is a plain vectorised function. Known kinks belong on panel edges, where the rule does not see them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from evenflow.theory.normal import Array

TOLERANCE = 1e-10
_ROUNDS = 60
_NARROWEST = 1e-15
"""Panels narrower than this, relative to where they lie, hold no further floating-point numbers."""

_GAUSS_POINTS, _GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(20)
_SENTINEL = 1 - 1e-7
POINTS: Array = np.concatenate(([-_SENTINEL], _GAUSS_POINTS, [_SENTINEL]))
"""On [−1, 1]: 20 Gauss points, and at either edge one of no weight, so that no kink hides there."""
WEIGHTS: Array = np.concatenate(([0.0], _GAUSS_WEIGHTS, [0.0]))
MISFIT: Array = np.linalg.qr(np.polynomial.legendre.legvander(POINTS, 21))[0][:, 18:]
"""Four orthonormal measures of what is left of values at the points after fitting degree 17."""
_RULES: Array = np.concatenate((WEIGHTS[:, None], MISFIT), axis=1)


class Integrals(NamedTuple):
    """K integrals of one call; every field is of shape (K,)."""

    value: Array
    error: Array
    """Estimated: the sum over panels of what a polynomial of degree 17 leaves unexplained."""
    size: Array
    """∫|f|"""
    end: Array
    """The larger of |f| at the two ends, to tell whether f has died out there."""


def integrate(
    integrand: Callable[[Array], Array], edges: Array, most_panels: int = 4096
) -> Integrals:
    """∫ f over the panels between ``edges``, to an error of 1e-10 of ∫|f| where that is possible.

    ``integrand`` maps points of shape (P, 22) to values of shape (K, P, 22); ``edges`` ascend. The
    rule is exact to degree 39, so what degree 17 leaves unexplained bounds its error generously for
    smooth integrands, and still covers it for kinks and steps. It is reported as found, also where
    refining had to stop (after 60 halvings or at ``most_panels``). A value that is not finite stops
    the refining and is returned.
    """
    low, high = edges[:-1], edges[1:]
    panels = _evaluate(integrand, low, high)
    end = panels.ends.max(axis=1)
    value, error, size = panels[:3]
    for _ in range(_ROUNDS):
        bar = TOLERANCE * size.sum(axis=1, keepdims=True)
        if (error.sum(axis=1, keepdims=True) <= bar).all():
            break
        poor = (error > bar / (2 * low.size)).any(axis=0)
        poor &= high - low > _NARROWEST * np.maximum(np.abs(low), np.abs(high))
        if not poor.any() or low.size + poor.sum() > most_panels:
            break
        middle = 0.5 * (low[poor] + high[poor])
        left, right = np.append(low[poor], middle), np.append(middle, high[poor])
        halves = _evaluate(integrand, left, right)
        good = ~poor
        low, high = np.append(low[good], left), np.append(high[good], right)
        value, error, size = (
            np.append(old[:, good], new, axis=1)
            for old, new in zip((value, error, size), halves[:3], strict=True)
        )
    return Integrals(value.sum(axis=1), error.sum(axis=1), size.sum(axis=1), end)


class _Panels(NamedTuple):
    """Of each panel, shape (K, P): value, error, ∫|f|; of the first and last edge (K, 2): |f|."""

    value: Array
    error: Array
    size: Array
    ends: Array


def _evaluate(integrand: Callable[[Array], Array], low: Array, high: Array) -> _Panels:
    half = 0.5 * (high - low)
    values = integrand((0.5 * (low + high))[:, None] + half[:, None] * POINTS)
    results, sizes = values @ _RULES, np.abs(values)
    return _Panels(
        results[..., 0] * half,
        np.abs(results[..., 1:]).sum(axis=-1) * half,
        (sizes @ WEIGHTS) * half,
        sizes[:, (0, -1), (0, -1)],
    )
