"""Levels of sums, products and activations, element by element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from evenflow.graph.algebra.through import operating, slopes, through
from evenflow.graph.levels.levels import (
    LONGEST,
    Levels,
    product,
    spread_out,
    together,
)
from evenflow.graph.levels.registry import Found, Use, one, register
from evenflow.graph.moments import Array, Moments
from evenflow.graph.numbers.constants import core_of
from evenflow.graph.remembered import Remembered
from evenflow.graph.rules.registry import Arriving, Result
from evenflow.theory.activations import Activation

_NODES = 6
"""Levels at which an activation is looked at; between them it is interpolated."""


def _operand(use: Use, argument: str, result: Moments) -> Levels | None:
    """Levels of an operand, broadcast to the result's shape."""
    if not use.step.has(argument):
        return None
    levels, shape = use.of(argument), use.step.shape(argument)
    if levels is None:
        levels = _of_numbers(use.step.values(argument), shape, result)
    return None if levels is None else levels.broadcast(shape, use.step.node.shape)


_MOST = 64
_told: Remembered[Levels | None] = Remembered(_MOST)
"""Levels of constants: all layers of a network read the same ones."""


def _of_numbers(
    values: npt.NDArray[Any] | None, shape: tuple[int, ...], result: Moments
) -> Levels | None:
    """Of a constant, along the one of its axes that are positions on which it differs most."""
    if values is None or values.dtype.kind != "f" or values.size < 2:
        return None
    ahead = len(result.axes) - len(shape)
    places = tuple(
        axis
        for axis, size in enumerate(shape)
        if size > 1 and any(atom.role == "positions" for atom in result.axes[ahead + axis])
    )
    return _told.of((values,), lambda: _measured(values.reshape(shape), places), shape, places)


def _measured(values: npt.NDArray[Any], places: tuple[int, ...]) -> Levels | None:
    core, _ = core_of(values)
    square = np.square(np.asarray(core, dtype=np.float64))
    mean = float(square.mean())
    if not np.isfinite(mean) or mean <= 0:
        return None
    found = []
    for axis in places:
        if square.shape[axis] > 1:
            rows = np.moveaxis(np.asarray(core, dtype=np.float64), axis, 0).reshape(
                square.shape[axis], -1
            )
            kernel = rows @ rows.T / rows.shape[1] / mean if len(rows) <= LONGEST else None
            level = np.square(rows).mean(axis=1) / mean
            found.append(Levels.along(level, axis, values.shape, kernel))
    return max(found, key=lambda each: each.unevenness, default=None)


def _sum(use: Use, result: Result) -> Levels | None:
    step, whole = use.step, one(result)
    left, right = _operand(use, "input", whole), _operand(use, "other", whole)
    if (left is None and right is None) or whole.second <= 0:
        return None
    alpha = step.number("alpha", 1.0)
    first, second = step.of("input").second, alpha**2 * step.of("other").second
    if step.node.op == "rsub":
        first, second = step.of("input").second * alpha**2, step.of("other").second
    crossed = 1 - (first + second) / whole.second
    shares = [
        (first / whole.second, left, step.of("input")),
        (second / whole.second, right, step.of("other")),
        (crossed, None, None),
    ]
    return together(shares, step.node.shape)


def _to_operands(use: Use, levels: Found, *arguments: str) -> dict[str, Levels | None]:
    """The arriving levels, summed over the copies of a broadcast operand."""
    if not isinstance(levels, Levels):
        return {}
    step = use.step
    return {
        step.name(argument): levels.broadcast(step.node.shape, step.shape(argument))
        for argument in arguments
        if step.has(argument)
    }


register(
    "add",
    "sub",
    "rsub",
    forward=_sum,
    backward=lambda use, _, levels: _to_operands(use, levels, "input", "other"),
)


def _product(use: Use, result: Result) -> Levels | None:
    whole, of = one(result), use.step.of
    factors = [(_operand(use, name, whole), of(name)) for name in ("input", "other")]
    return product(factors, use.step.node.shape)


def _product_back(use: Use, cotangent: Arriving, levels: Found) -> Mapping[str, Levels | None]:
    assert not isinstance(levels, tuple)
    step, whole = use.step, one(cotangent)
    found = {}
    for argument, other in (("input", "other"), ("other", "input")):
        if step.has(argument):
            factors = [(levels, whole), (_operand(use, other, whole), step.of(other))]
            both = product(factors, step.node.shape)
            if both is not None:
                found[step.name(argument)] = _summed(both, step.node.shape, step.shape(argument))
    return found


def _summed(levels: Levels, before: tuple[int, ...], after: tuple[int, ...]) -> Levels:
    """Of a gradient that is summed over copies; if over these levels, their mean is left."""
    return levels.broadcast(before, after) or Levels.of_factor(float(levels.values.mean()))


register("mul", forward=_product, backward=_product_back, makes=True)


def _quotient(use: Use, _result: Result) -> Levels | None:
    return None if use.step.has("other") else use.of("input")


def _quotient_back(use: Use, _cotangent: Arriving, levels: Found) -> Mapping[str, Levels | None]:
    return {} if use.step.has("other") else _to_operands(use, levels, "input")


register("div", forward=_quotient, backward=_quotient_back)


def _activated(use: Use, _result: Result) -> Levels | None:
    levels, curve = use.of("input"), use.step.node.activation
    if levels is None or curve is None:
        return None
    z = use.step.of("input")
    values = _curve(z, curve, levels.values)[0]
    kernel = None
    if levels.kernel is not None:
        found = through(_level(z, levels.kernel), curve).pairs
        kernel = found / max(found[0, 0], 1e-300) * spread_out(values)
    return levels.changed(values, kernel)


def _activated_back(use: Use, cotangent: Arriving, levels: Found) -> Mapping[str, Levels | None]:
    before, curve = use.of("input"), use.step.node.activation
    assert not isinstance(levels, tuple)
    if before is not None and curve is not None:
        z, shape = use.step.of("input"), use.step.node.shape
        values, kernel = _curve(z, curve, before.values)[1], before.kernel
        if kernel is not None:
            found = slopes(_level(z, kernel), curve)
            kernel = found / max(found[0, 0], 1e-300) * spread_out(values)
        slope = before.changed(values, kernel)
        levels = product([(levels, one(cotangent)), (slope, z)], shape)
    return {use.step.name("input"): levels}


register("activation", forward=_activated, backward=_activated_back)


def _level(z: Moments, kernel: Array) -> Moments:
    """z with indices that are as alike as they were, all of the same size."""
    size = np.sqrt(np.maximum(np.diag(kernel), 1e-300))
    return replace(z, pairs=z.second * kernel / np.outer(size, size), spread=0.0)


def _curve(z: Moments, curve: Activation, levels: Array) -> tuple[Array, Array]:
    """E[φ²] and E[φ′²] at each level, over what they are at the mean level."""
    low, high = max(float(levels.min()), 1e-6), float(levels.max())
    at = np.geomspace(low, high, _NODES)
    points = [operating(z.scaled(float(factor) ** 0.5), curve) for factor in at]
    middle = operating(z, curve)
    where = np.log(np.maximum(levels, low))
    seconds = np.array([max(point.second, 1e-300) for point in points])
    slopes = np.array([max(point.backward, 1e-300) for point in points])
    return tuple(
        np.exp(np.interp(where, np.log(at), np.log(each))) / max(mean, 1e-300)
        for each, mean in ((seconds, middle.second), (slopes, middle.backward))
    )
