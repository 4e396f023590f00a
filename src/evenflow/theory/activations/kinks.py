"""Where a curve is not smooth, and where it is flat, found by looking at it."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from evenflow.theory.activations.activation import Curve
from evenflow.theory.normal import Array
from evenflow.theory.quadrature import MISFIT, POINTS

REACH = 64
"""Kinks are looked for in |z| ≤ 64; further out, refining the integral has to find them."""
PLACED = 1e-8
"""Kinks are placed a little better than this, weak bends within their own width."""
_SHARPEST = 1e-3
"""A smooth curve that needs smaller panels than this counts as one with kinks."""


def singular_points(curve: Curve) -> list[float] | None:
    """Where the curve is not smooth, by halving the panels on which no polynomial fits.

    A step is rough down to the last digit; a kink or a bend until it drowns in rounding, which
    counts if the panel is small by then. None if there are more than 256 such points, or if the
    curve is noise throughout: then refining the integral itself has to cope.
    """
    height = float(np.abs(curve(np.linspace(-2.0, 2.0, 41))).max())
    # Off the integers, so that a kink at a round number does not hide on an edge.
    low: Array = np.arange(-REACH - 1, REACH, dtype=np.float64) + 0.193147
    low, width = low[_rough(curve, low, 1.0, height)], 1.0
    found: list[float] = []
    while low.size and width > 1e-14:
        width /= 2
        halves = np.stack((low, low + width))
        rough = _rough(curve, halves.ravel(), width, height).reshape(halves.shape)
        if width < _SHARPEST:
            lost = halves[1, ~rough.any(axis=0)]
            found += [_snap(point, width) for point in lost.tolist()]
        low = halves[rough]
        if low.size > 4096:
            return None
    points = union([_snap(point, width) for point in low.tolist()], found, PLACED)
    return points if len(points) <= 256 else None


def union(points: list[float], others: list[float], apart: float = _SHARPEST) -> list[float]:
    """``points``, and those of ``others`` that are no closer than ``apart`` to any before."""
    merged: list[float] = []
    for point in points + others:
        if all(abs(point - known) > apart for known in merged):
            merged.append(point)
    return sorted(merged)


def flat_pieces(slope: Curve, kinks: list[float]) -> tuple[tuple[float, float], ...]:
    """The pieces between kinks on which the slope is zero throughout."""
    bounds = [-float(REACH), *kinks, float(REACH)]
    outer = {0: -np.inf, len(kinks) + 1: np.inf}
    pieces = []
    for i, (low, high) in enumerate(pairwise(bounds)):
        inside = low + (high - low) * np.linspace(0.01, 0.99, 99)
        if not slope(inside).any():
            pieces.append((outer.get(i, low), outer.get(i + 1, high)))
    return tuple(pieces)


def _rough(curve: Curve, low: Array, width: float, height: float) -> NDArray[np.bool_]:
    """Whether a polynomial misses the curve on each panel by more than the curve's rounding."""
    values = curve(low[:, None] + 0.5 * width * (POINTS + 1))
    misfit, size = np.abs(values @ MISFIT).max(axis=1), np.abs(values).max(axis=1)
    steepness = np.ptp(values, axis=1) / width  # turns the rounding of z into that of φ
    rough: NDArray[np.bool_] = misfit > 2e-14 * (size + height) + 1e-15 * np.abs(low) * steepness
    return rough


def _snap(point: float, width: float) -> float:
    """The round number that the search ended beside, if any."""
    rounded = round(point, min(8, int(-math.log10(width)) - 1)) + 0.0
    return rounded if abs(point - rounded) < max(width, 0.1 * PLACED) else point
