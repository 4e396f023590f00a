"""Levels of normalised tensors: where each position is divided by its own size, they are gone.

Backwards a gradient is divided by that size, so that small positions get large gradients. A norm
that is taken over positions leaves them as unlike as they were, but not the channels, each of which
it divides by its own size.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evenflow.graph.levels.levels import Levels, kernel_of, product, spread_out
from evenflow.graph.levels.registry import Found, Use, one, register
from evenflow.graph.moments import Array
from evenflow.graph.rules.normalise import centred, eps_of
from evenflow.graph.rules.registry import Arriving, Result

_BY_CHANNEL = frozenset(["batch_norm", "instance_norm"])
"""These take all positions of a channel together."""
_WHOLE = 0.999
"""Of the second moment: where units have more in common, nothing is left to tell."""


def _divides(use: Use, levels: Levels) -> bool:
    """Whether each index of these levels is divided by a size of its own."""
    shape = use.step.shape("input")
    axis = levels.axis(shape)
    if use.step.node.op in _BY_CHANNEL:
        return axis == 1
    if use.step.node.op == "group_norm":
        return False
    if use.step.node.op == "standardise":
        return axis is None or axis not in use.step.axes("dim")
    given = use.step.node.arguments.get("normalized_shape")
    last = len(given) if isinstance(given, tuple) else 1
    return axis is None or axis < len(shape) - last


def _size(use: Use, levels: Levels) -> Levels:
    """σ² + eps at each index, over that of the whole tensor."""
    x, eps = use.step.of("input"), eps_of(use.step)
    share = eps / max(x.variance + eps, 1e-300)
    return levels.changed((1 - share) * levels.values + share, None)


def _normalised(use: Use, _result: Result) -> Levels | None:
    levels = use.of("input")
    if levels is None or not _divides(use, levels):
        return levels
    size = np.maximum(_size(use, levels).values, 1e-9)
    values = levels.values / size
    kernel = None if levels.kernel is None else levels.kernel / spread_out(size)
    common = _common(use, levels) if kernel is not None else None
    if kernel is not None and common is not None and common[0, 0] < _WHOLE:
        kernel = (kernel - common * spread_out(values)) / (1 - common[0, 0])
    return levels.changed(values, kernel)


def _common(use: Use, levels: Levels) -> Array | None:
    """What taking off a mean over units takes of E[x·x′] of every two indices, over the second
    moment; None where none is taken off, or not told."""
    step = use.step
    x, rank = step.of("input"), len(step.shape("input"))
    if step.node.op == "layer_norm":
        given = step.node.arguments.get("normalized_shape")
        last = len(given) if isinstance(given, tuple) else 1
        axes = tuple(range(rank - last, rank))
    elif step.node.op == "standardise" and step.number("centre"):
        axes = step.axes("dim")
    else:
        return None
    rest = centred(x, axes)
    before, after = (kernel_of(each, None, levels, x.shape) for each in (x, rest))
    if before is None or after is None:
        return None
    return np.asarray(before - after * rest.second / x.second)


def _normalised_back(use: Use, cotangent: Arriving, levels: Found) -> Mapping[str, Levels | None]:
    assert not isinstance(levels, tuple)
    known = use.of("input")
    if known is not None and _divides(use, known):
        size = 1 / np.maximum(_size(use, known).values, 1e-9)
        inverse = known.changed(size, spread_out(size))
        arrived = one(cotangent)
        levels = product([(levels, arrived), (inverse, arrived)], arrived.shape)
    return {use.step.name("input"): levels}


register(
    "layer_norm",
    "rms_norm",
    "standardise",
    "group_norm",
    *_BY_CHANNEL,
    forward=_normalised,
    backward=_normalised_back,
)
