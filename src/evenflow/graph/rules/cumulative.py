"""Cumulative sums along an axis.

y_i = Σ_{j ≤ i} x_j, so E[y_i y′_i′] is the sum of E[x_j x′_j′] over all j ≤ i and j′ ≤ i′; what is
told is its mean over pairs (i, i′) at each distance. Backwards a gradient is summed from the other
end, which gives the same.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evenflow.errors import NoRuleError
from evenflow.graph.algebra.layout import as_one_atom, dims_of
from evenflow.graph.moments import Array, Moments
from evenflow.graph.rules.registry import Cotangents, Step, register

_LONGEST = 1024
_DISTANCES = 16
"""Distances that are told apart: sums of like lengths have most in common."""


def cumulated(x: Moments, axis: int) -> Moments:
    """Moments of the cumulative sums of x along an axis."""
    size = x.shape[axis]
    if size == 1:
        return x
    if size > _LONGEST:
        raise NoRuleError(f"a cumulative sum over {size} elements")
    x = as_one_atom(x, axis)
    (dim,) = dims_of(x, axis)
    cases = np.moveaxis(x.pairs, dim, -1)
    weights = _weights(size, cases.shape[-1], min(_DISTANCES + 2, size))
    pairs = np.moveaxis(cases @ weights, -1, dim)
    return replace(x, mean=x.mean * (size + 1) / 2, pairs=pairs, hidden=None)


def _weights(size: int, length: int, kept: int) -> Array:
    """(distance of terms, distance of sums): how many pairs of terms a pair of sums has."""
    apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    found = np.empty((length, kept))
    groups = np.minimum(apart, kept - 1)
    occurs = np.bincount(groups.ravel(), minlength=kept)
    for entry in range(length):
        same = apart == entry if entry < length - 1 else apart >= entry
        pairs = same.astype(float).cumsum(axis=0).cumsum(axis=1)
        found[entry] = np.bincount(groups.ravel(), pairs.ravel(), minlength=kept) / occurs
    return found


def _axis(step: Step) -> int:
    return int(step.number("dim")) % len(step.shape("input"))


def _backward(step: Step, cotangent: Moments) -> Cotangents:
    return {step.name("input"): replace(cumulated(cotangent, _axis(step)), mean=0.0)}


register(
    "cumsum",
    forward=lambda step: cumulated(step.of("input"), _axis(step)),
    backward=_backward,
)
