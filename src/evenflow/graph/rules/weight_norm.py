"""Normalised weights.

Weight norm is g·v/‖v‖: n elements of v get the length g, so each the second moment E[g²]/n.
Spectral norm divides by the largest singular value, which of an n × m matrix of independent
elements lies at the Marchenko–Pastur edge √n + √m, less what finite matrices miss of it (Johnstone
2001).
"""

from __future__ import annotations

import math
from math import prod

from evenflow.errors import NoRuleError
from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Cotangents, Step, register


def _slice_of(step: Step) -> int:
    """Elements of v that one length g belongs to."""
    return prod(step.shape("v")) // max(prod(step.shape("g")), 1)


def _length(step: Step) -> float:
    """‖v‖², of one slice."""
    length = _slice_of(step) * step.of("v").second
    if length <= 0:
        raise NoRuleError("a weight is normalised by a length of zero")
    return length


def _weight_norm(step: Step) -> Moments:
    return step.of("g").times(step.of("v")).scaled(_length(step) ** -0.5)


def _weight_norm_back(step: Step, cotangent: Moments) -> Cotangents:
    across = step.of("g").second / _length(step) * (1 - 1 / _slice_of(step))
    return {
        step.name("v"): cotangent.scaled(across**0.5),
        step.name("g"): Moments.independent(0.0, cotangent.second, step.shape("g")),
    }


register("_weight_norm", forward=_weight_norm, backward=_weight_norm_back)


_TRACY_WIDOM = -1.2065335745820
"""Mean of the law that the largest eigenvalue follows, in its own units (Tracy and Widom 1996)."""


def _largest_square(step: Step) -> float:
    """E of the largest singular value squared: of independent elements, or of what they share."""
    weight, rows, columns = step.of("input"), step.number("rows"), step.number("columns")
    below, across = math.sqrt(max(rows - 1, 0.0)), math.sqrt(columns)
    edge = below + across
    if below > 0:
        edge = math.sqrt(edge**2 + _TRACY_WIDOM * edge * (1 / below + 1 / across) ** (1 / 3))
    found = max(weight.variance * edge**2, rows * columns * weight.mean**2)
    if found <= 0:
        raise NoRuleError("a weight is normalised by a singular value of zero")
    return found


def _spectral_back(step: Step, cotangent: Moments) -> Cotangents:
    # What the singular value takes of a gradient lies along one direction of many.
    return {step.name("input"): cotangent.scaled(_largest_square(step) ** -0.5)}


register(
    "spectral_norm",
    forward=lambda step: step.of("input").scaled(_largest_square(step) ** -0.5),
    backward=_spectral_back,
)
