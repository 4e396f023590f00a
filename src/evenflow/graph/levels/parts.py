"""Levels of a part of the positions, and of several tensors joined.

A part has the level of the indices that it keeps; backwards all others get nothing. Of joined
tensors each brings its own second moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from evenflow.graph.levels.levels import Levels, together
from evenflow.graph.levels.registry import Found, Several, Use, one, register
from evenflow.graph.moments import Array, Moments
from evenflow.graph.rules.joining import joined_axis
from evenflow.graph.rules.registry import Arriving, Result
from evenflow.graph.rules.shape import axis_of, kept_part


def _tells_apart(x: Moments, axis: int) -> bool:
    """Whether indices along an axis stay what they are: examples come in any order."""
    return bool(x.axes[axis]) and all(atom.role != "examples" for atom in x.axes[axis])


def _kept(levels: Levels | None, axis: int, shape: Sequence[int], part: slice) -> Levels | None:
    """Levels of a part along ``axis`` of a tensor of this shape; an axis of one index is kept."""
    along = None if levels is None else levels.axis(shape)
    if levels is None or along is None:
        return None
    left = [len(range(n)[part]) if a == axis else n for a, n in enumerate(shape)]
    if along != axis:
        return levels.moved(along, left)
    kernel = None if levels.kernel is None else levels.kernel[part, part]
    return Levels.along(levels.values[part], axis, left, kernel)


def _put_back(
    x: Moments, levels: Levels | None, axis: int, shape: tuple[int, ...], part: slice
) -> Levels | None:
    """Of the gradient of a tensor of which only a part was read, along positions."""
    count = len(range(shape[axis])[part])
    kept = [count if a == axis else n for a, n in enumerate(shape)]
    along = None if levels is None else levels.axis(kept)
    if levels is not None and along is not None and along != axis:
        return levels.moved(along, shape)
    if not _tells_apart(x, axis):
        return None
    values = np.zeros(shape[axis])
    values[part] = (levels.values if along == axis and levels else 1.0) * shape[axis] / count
    return Levels.along(values, axis, shape)


def _cut(use: Use, _result: Result) -> Levels | None:
    levels = use.of("input")
    if levels is None:
        return None
    return _kept(levels, axis_of(use.step), use.step.shape("input"), kept_part(use.step))


def _cut_back(use: Use, _cotangent: Arriving, levels: Found) -> Mapping[str, Levels | None]:
    assert not isinstance(levels, tuple)
    shape, axis = use.step.shape("input"), axis_of(use.step)
    x = use.step.of("input")
    return {use.step.name("input"): _put_back(x, levels, axis, shape, kept_part(use.step))}


register("select", "slice", "narrow", forward=_cut, backward=_cut_back, makes=True)


def _split(use: Use, _result: Result) -> Several:
    shape, axis = use.step.shape("input"), axis_of(use.step)
    return tuple(_kept(use.of("input"), axis, shape, part) for part in _pieces(use))


def _pieces(use: Use) -> list[slice]:
    axis = axis_of(use.step)
    if use.step.node.op == "unbind":
        sizes = [1] * use.step.shape("input")[axis]
    else:
        sizes = [shape[axis] for shape in use.step.node.shapes or (use.step.node.shape,)]
    ends = np.cumsum(sizes)
    return [slice(int(end) - size, int(end)) for end, size in zip(ends, sizes, strict=True)]


def _split_back(use: Use, cotangent: Arriving, levels: Found) -> Mapping[str, Levels | None]:
    shape, axis = use.step.shape("input"), axis_of(use.step)
    arrived = cotangent if isinstance(cotangent, tuple) else (cotangent,)
    known = levels if isinstance(levels, tuple) else (levels,)
    parts = [
        (0.0 if x is None else x.second * len(range(shape[axis])[part]), each, part)
        for x, each, part in zip(arrived, known, _pieces(use), strict=False)
    ]
    whole = sum(weight for weight, _, _ in parts)
    if whole <= 0:
        return {}
    found = _all(use.step.of("input"), parts, axis, shape, whole)
    return {use.step.name("input"): found}


def _all(
    x: Moments,
    parts: Sequence[tuple[float, Levels | None, slice]],
    axis: int,
    shape: tuple[int, ...],
    whole: float,
) -> Levels | None:
    """Of parts that make up a tensor of this shape, each with its share of the sum of squares."""
    beside = []
    values: Array = np.ones(shape[axis])
    for weight, levels, part in parts:
        count = len(range(shape[axis])[part])
        sizes = [count if a == axis else n for a, n in enumerate(shape)]
        along = None if levels is None else levels.axis(sizes)
        here = levels if levels is not None and along == axis else None
        values[part] = weight / whole * shape[axis] / count * (here.values if here else 1.0)
        moved = None if levels is None or along in (None, axis) else levels.moved(along, shape)
        beside.append((weight / whole, moved, x))
    found = together(beside, shape)
    if found is not None or not _tells_apart(x, axis):
        return found
    return Levels.along(values, axis, shape)


register("split", "split_with_sizes", "chunk", "unbind", forward=_split, backward=_split_back)


def _joined(use: Use, result: Result) -> Levels | None:
    x, shape = one(result), use.step.node.shape
    axis = joined_axis(use.step)
    parts, start = [], 0
    for name in use.step.names("tensors"):
        each = use.step.of_value(name)
        if not prod(each.shape):
            continue
        count = each.shape[axis]
        parts.append((each.second * count, use.known.get(name), slice(start, start + count)))
        start += count
    whole = sum(weight for weight, _, _ in parts)
    if whole <= 0:
        return None
    if len(parts) == 1:  # the others are empty, as a cache at its start
        return parts[0][1]
    return _all(x, parts, axis, shape, whole)


def _joined_back(use: Use, cotangent: Arriving, levels: Found) -> Mapping[str, Levels | None]:
    shape, axis = use.step.node.shape, joined_axis(use.step)
    if not isinstance(levels, Levels):
        return {}
    if one(cotangent).parts is not None and levels.axis(shape) == axis:
        return {}  # the parts are taken apart with the size that they have
    found, start = {}, 0
    for name in use.step.names("tensors"):
        sizes = use.step.graph.shape(name)
        if prod(sizes):
            found[name] = _kept(levels, axis, shape, slice(start, start + sizes[axis]))
            start += sizes[axis]
    return found


register("cat", "concat", forward=_joined, backward=_joined_back, makes=True)


def _one_of(use: Use, _result: Result) -> Levels | None:
    several = use.several.get(use.step.name("input"), ())
    index = int(use.step.number("index"))
    return several[index] if index < len(several) else None


register("getitem", forward=_one_of, backward=lambda *_: {})
