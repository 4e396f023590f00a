"""Tensors joined along an axis (``laws.joined``), and padded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from math import isfinite, prod
from typing import Literal

import numpy as np
import numpy.typing as npt

from evenflow.errors import NoRuleError
from evenflow.graph.algebra.layout import reshaped, sliced, unsqueezed
from evenflow.graph.algebra.resample import resampled
from evenflow.graph.algebra.taps import Reads
from evenflow.graph.laws.joined import marked, parts_of, summed, with_parts
from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Cotangents, Step, register


def joined_axis(step: Step) -> int:
    """The axis of the result along which tensors are joined."""
    return int(step.number("dim")) % max(len(step.node.shape), 1)


def _each(step: Step) -> list[tuple[str, Moments]]:
    """The joined tensors, a stacked one with the new axis; an empty one is left out."""
    axis, stacked = joined_axis(step), step.node.op == "stack"
    each = [(name, step.of_value(name)) for name in step.names("tensors")]
    return [(name, unsqueezed(x, axis) if stacked else x) for name, x in each if prod(x.shape)]


def _joined(step: Step) -> Moments:
    axis = joined_axis(step)
    parts = [part for _, x in _each(step) for part in parts_of(x, axis)]
    return replace(with_parts(parts, axis), hidden=_hidden(step, axis))


def _hidden(step: Step, axis: int) -> npt.NDArray[np.bool_] | None:
    """Which elements of the whole a softmax is not to see."""
    parts = [(step.of_value(name), step.graph.shape(name)) for name in step.names("tensors")]
    if step.node.op == "stack" or all(x.hidden is None for x, _ in parts):
        return None
    masks = (np.zeros(1, dtype=bool) if x.hidden is None else x.hidden for x, _ in parts)
    each = [np.broadcast_to(mask, shape) for mask, (_, shape) in zip(masks, parts, strict=True)]
    return np.concatenate(each, axis=axis)


def _joined_back(step: Step, cotangent: Moments) -> Cotangents:
    axis, each = joined_axis(step), _each(step)
    found: dict[str, Moments] = {}
    known = iter(() if cotangent.parts is None else cotangent.parts.each)
    for name, x in each:
        count = len(parts_of(x, axis))
        parts = list(islice(known, count)) or [marked(sliced(cotangent, axis, x.shape[axis]))]
        own = with_parts(parts, axis)
        if step.node.op == "stack":
            own = reshaped(marked(own), step.graph.shape(name))
        found[name] = summed(found[name], own) if name in found else own
    return found


register(
    "cat",
    "stack",
    "concat",
    "hstack",
    forward=_joined,
    backward=_joined_back,
    joins=True,
)


_MODES: dict[object, Literal["reflect", "edge", "wrap"]] = {
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


def padding_of(step: Step) -> Iterator[tuple[int, Reads]]:
    """Axes that are padded, and what each place reads of what was there."""
    given = step.node.arguments.get("pad")
    mode = step.node.arguments.get("mode", "constant")
    sides = [int(n) for n in given if isinstance(n, int)] if isinstance(given, tuple) else []
    for axis, left, right in zip(
        range(len(step.node.shape))[::-1], sides[::2], sides[1::2], strict=False
    ):
        size = step.shape("input")[axis]
        if left or right:
            yield axis, padding_reads(size, left, right, str(mode))


@lru_cache(maxsize=1024)
def padding_reads(size: int, left: int, right: int, mode: str) -> Reads:
    """``size`` places with some more, or fewer, on either side."""
    if mode in _MODES:
        source = np.pad(np.arange(size), (left, right), mode=_MODES[mode])
    else:
        source = np.arange(-left, size + right)
    return Reads(source[:, None], size)


def _padded(step: Step) -> Moments:
    value = step.number("value")
    if not isfinite(value):
        raise NoRuleError("padding with what is not finite")
    x = step.of("input").plus(Moments.constant(-value))  # so that the rim is zero
    for axis, reads in padding_of(step):
        x = resampled(x, axis, reads)
    return x.plus(Moments.constant(value))


def _padded_back(step: Step, cotangent: Moments) -> Cotangents:
    for axis, reads in padding_of(step):
        cotangent = resampled(cotangent, axis, reads, scatter=True)
    return {step.name("input"): cotangent}


register("pad", "constant_pad_nd", forward=_padded, backward=_padded_back)
