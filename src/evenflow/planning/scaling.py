"""Moments and rescaling of distributions as they lie on a parameter of a given shape."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from evenflow.graph.laws.drawn import truncated, uniform
from evenflow.graph.laws.law import Law
from evenflow.graph.moments import Moments
from evenflow.planning.distributions import (
    Blocks,
    Constant,
    DeltaOrthogonal,
    Distribution,
    Normal,
    Orthogonal,
    Simple,
    TruncatedNormal,
    Uniform,
)

_SIZE: dict[type[Simple], str] = {
    Uniform: "bound",
    Normal: "std",
    TruncatedNormal: "std",
    Orthogonal: "gain",
    DeltaOrthogonal: "gain",
    Constant: "value",
}
"""The one field of each distribution that its values are proportional to."""


def scaled(distribution: Simple, factor: float) -> Simple:
    """The distribution of ``factor`` · w."""
    size = _SIZE[type(distribution)]
    return replace(distribution, **{size: getattr(distribution, size) * factor})


def rescaled(distribution: Distribution, factor: float) -> Distribution:
    """``scaled`` for packed weights too: every block by the same factor."""
    if isinstance(distribution, Blocks):
        return replace(
            distribution, parts=tuple(scaled(part, factor) for part in distribution.parts)
        )
    return scaled(distribution, factor)


def second_moment(distribution: Distribution, shape: tuple[int, ...]) -> float:
    """E[w²] over all elements of a parameter of ``shape``."""
    if isinstance(distribution, Blocks):
        total, axis = sum(distribution.sizes), distribution.axis
        return sum(
            size / total * second_moment(part, (*shape[:axis], size, *shape[axis + 1 :]))
            for size, part in zip(distribution.sizes, distribution.parts, strict=True)
        )
    if isinstance(distribution, (Orthogonal, DeltaOrthogonal)):
        rows = shape[0] if shape else 1
        if isinstance(distribution, DeltaOrthogonal):
            columns = shape[1]
            density = 1 / max(prod(shape[2:]), 1)  # all taps but the centre are zero
        else:
            columns, density = prod(shape[1:]), 1.0
        return density * distribution.gain**2 / max(rows, columns, 1)
    return distribution.second_moment


def moments(distribution: Distribution, shape: tuple[int, ...]) -> Moments:
    """Moments of a parameter drawn from ``distribution``."""
    if isinstance(distribution, Constant):
        return Moments.constant(distribution.value, shape)
    found = Moments.independent(0.0, second_moment(distribution, shape), shape)
    return replace(found, law=_law(distribution)) if len(shape) == 1 else found


def _law(distribution: Distribution) -> Law | None:
    if isinstance(distribution, Uniform):
        return uniform()
    if isinstance(distribution, TruncatedNormal):
        return truncated(-distribution.cut, distribution.cut)
    return None
