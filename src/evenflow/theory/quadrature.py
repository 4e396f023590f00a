"""Integrals over panels by Gauss–Kronrod rules, halving the panels on which they disagree.

Every panel is evaluated at the same 21 relative points, all panels in one call, so an integrand
is a plain vectorised function. Kinks belong on panel edges, where the rule does not see them.
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

# The 21-point Kronrod rule (A. Kronrod, 1965) on [−1, 1]; its odd entries are the 10 Gauss points.
_ABSCISSAE = (
    0.0,
    0.14887433898163121088,
    0.29439286270146019813,
    0.43339539412924719080,
    0.56275713466860468334,
    0.67940956829902440623,
    0.78081772658641689706,
    0.86506336668898451073,
    0.93015749135570822600,
    0.97390652851717172008,
    0.99565716302580808074,
)
_WEIGHTS = (
    0.14944555400291690566,
    0.14773910490133849137,
    0.14277593857706008080,
    0.13470921731147332593,
    0.12349197626206585108,
    0.10938715880229764190,
    0.093125454583697605535,
    0.075039674810919952767,
    0.054755896574351996031,
    0.032558162307964727479,
    0.011694638867371874278,
)
NODES: Array = np.array([-x for x in _ABSCISSAE[:0:-1]] + list(_ABSCISSAE))
KRONROD: Array = np.array(list(_WEIGHTS[:0:-1]) + list(_WEIGHTS))
_GAUSS: Array = np.zeros(21)
_GAUSS[1::2] = np.polynomial.legendre.leggauss(10)[1]
_RULES: Array = np.stack((KRONROD, KRONROD - _GAUSS), axis=1)


class Integrals(NamedTuple):
    """K integrals of one call; every field is of shape (K,)."""

    value: Array
    error: Array
    """Estimated: the sum over panels of |Kronrod − Gauss|."""
    size: Array
    """∫|f|"""
    end: Array
    """The larger of |f| at the two outermost points, to tell whether f has died out there."""


def integrate(
    integrand: Callable[[Array], Array], edges: Array, most_panels: int = 4096
) -> Integrals:
    """∫ f over the panels between ``edges``, to an error of 1e-10 of ∫|f| where that is possible.

    ``integrand`` maps points of shape (P, 21) to values of shape (K, P, 21); ``edges`` ascend. The
    estimate is the error of the *lower* rule, so it errs on the safe side; it is reported as
    found, also where refining had to stop (after 60 halvings or at ``most_panels``). A value that
    is not finite stops the refining and is returned.
    """
    low, high = edges[:-1], edges[1:]
    panels = evaluate_panels(integrand, low, high)
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
        halves = evaluate_panels(integrand, left, right)
        good = ~poor
        low, high = np.append(low[good], left), np.append(high[good], right)
        value, error, size = (
            np.append(old[:, good], new, axis=1)
            for old, new in zip((value, error, size), halves[:3], strict=True)
        )
    return Integrals(value.sum(axis=1), error.sum(axis=1), size.sum(axis=1), end)


class Panels(NamedTuple):
    """Of each panel, shape (K, P): value, |Kronrod − Gauss|, ∫|f|; of the first and last, |f|."""

    value: Array
    error: Array
    size: Array
    ends: Array


def evaluate_panels(integrand: Callable[[Array], Array], low: Array, high: Array) -> Panels:
    """Both rules on every panel from ``low[i]`` to ``high[i]``."""
    half = 0.5 * (high - low)
    values = integrand((0.5 * (low + high))[:, None] + half[:, None] * NODES)
    both = values @ _RULES
    sizes = np.abs(values)
    return Panels(
        both[..., 0] * half,
        np.abs(both[..., 1]) * half,
        (sizes @ KRONROD) * half,
        sizes[:, (0, -1), (0, -1)],
    )
