"""Tensors joined along an axis, and padded: pairs within a part, and pairs across parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from math import isfinite, prod
from typing import Literal

import numpy as np
import numpy.typing as npt

from evenflow.errors import NoRuleError
from evenflow.graph import pairs as pairing
from evenflow.graph.layout import reshaped, sliced, unsqueezed
from evenflow.graph.moments import Atom, Moments, Role, aligned
from evenflow.graph.resample import resampled
from evenflow.graph.rules.registry import Cotangents, Step, register
from evenflow.graph.taps import Reads


def joined_axis(step: Step) -> int:
    """The axis of the result along which tensors are joined."""
    return int(step.number("dim")) % max(len(step.node.shape), 1)


def _each(step: Step) -> list[tuple[Moments, int]]:
    """The joined tensors, a stacked one with the new axis, and their sizes along it."""
    axis = joined_axis(step)
    found = []
    for name in step.names("tensors"):
        x = step.of_value(name)
        x = unsqueezed(x, axis) if step.node.op == "stack" else x
        if prod(x.shape):
            found.append((x, x.shape[axis]))
    return found


def _joined(step: Step) -> Moments:
    """The mean over all pairs; of elements of two different tensors only the means are alike."""
    axis, parts = joined_axis(step), _each(step)
    size = sum(count for _, count in parts)
    if len(parts) == 1:
        return parts[0][0]
    mean = sum(x.mean * count for x, count in parts) / size
    across = (mean * size) ** 2 - sum((x.mean * count) ** 2 for x, count in parts)
    ordered_pairs = size * (size - 1)
    same = other = Moments.constant(0.0, (1,) * len(step.node.shape))
    for x, count in parts:
        alike, unlike = _along(x, axis)
        same = _added(same, alike, count / size)
        other = _added(other, unlike, count * (count - 1) / ordered_pairs)
    other = _added(
        other, Moments.constant(1.0, (1,) * len(step.node.shape)), across / ordered_pairs
    )
    a, b, axes = aligned(same, other)
    a, b = np.broadcast_arrays(a, b)
    before = sum(len(each) for each in axes[:axis])
    role: Role = next((x.axes[axis][0].role for x, _ in parts if x.axes[axis]), "positions")
    axes = (*axes[:axis], (Atom(size, role),), *axes[axis + 1 :])
    return Moments(mean, np.stack([a, b], axis=before), axes, _hidden(step, axis))


def _hidden(step: Step, axis: int) -> npt.NDArray[np.bool_] | None:
    """Which elements of the whole a softmax is not to see."""
    parts = [(step.of_value(name), step.graph.shape(name)) for name in step.names("tensors")]
    if step.node.op == "stack" or all(x.hidden is None for x, _ in parts):
        return None
    masks = (np.zeros(1, dtype=bool) if x.hidden is None else x.hidden for x, _ in parts)
    each = [np.broadcast_to(mask, shape) for mask, (_, shape) in zip(masks, parts, strict=True)]
    return np.concatenate(each, axis=axis)


def _along(x: Moments, axis: int) -> tuple[Moments, Moments]:
    """Pairs of the same and of different indices along an axis, which is dropped to length 1."""
    same = sliced(x, axis, 1)
    atoms = x.axes[axis]
    if not atoms:
        return same, same
    before = sum(len(each) for each in x.axes[:axis])
    pairs = pairing.joined(x.pairs, before, [atom.size for atom in atoms])
    return same, replace(same, pairs=np.take(pairs, 1, axis=before))


def _added(x: Moments, y: Moments, share: float) -> Moments:
    """Pairs of x and a share of those of y."""
    a, b, axes = aligned(x, y)
    return Moments(0.0, a + share * b, axes)


def _joined_back(step: Step, cotangent: Moments) -> Cotangents:
    axis = joined_axis(step)
    found: dict[str, Moments] = {}
    for name in step.names("tensors"):
        shape = step.graph.shape(name)
        if not prod(shape):
            continue
        part = sliced(cotangent, axis, 1 if step.node.op == "stack" else shape[axis])
        own = reshaped(part, shape)
        found[name] = found[name].plus(own) if name in found else own
    return found


register("cat", "stack", "concat", "hstack", forward=_joined, backward=_joined_back)


_MODES: dict[object, Literal["reflect", "edge", "wrap"]] = {
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


def _padding(step: Step) -> Iterator[tuple[int, Reads]]:
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
    for axis, reads in _padding(step):
        x = resampled(x, axis, reads)
    return x.plus(Moments.constant(value))


def _padded_back(step: Step, cotangent: Moments) -> Cotangents:
    for axis, reads in _padding(step):
        cotangent = resampled(cotangent, axis, reads, scatter=True)
    return {step.name("input"): cotangent}


register("pad", "constant_pad_nd", forward=_padded, backward=_padded_back)
