"""Shape and indexing: the same numbers in another order, a part of them, or several joined."""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np

from evenflow.errors import NoRuleError
from evenflow.graph.algebra.layout import (
    expanded,
    gathered,
    permuted,
    reshaped,
    selected,
    sliced,
    unsqueezed,
)
from evenflow.graph.algebra.resample import resampled
from evenflow.graph.algebra.taps import Reads
from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Arriving, Cotangents, Step, kept, leaning, register

_RESHAPES = "view reshape flatten unflatten squeeze unsqueeze view_as reshape_as"
_COPIES = "contiguous clone alias lift_fresh lift_fresh_copy to _to_copy type_as"
_TURNS = "flip roll"
VIEWS = frozenset(f"{_RESHAPES} {_COPIES} {_TURNS}".split())
PERMUTATIONS = frozenset(["transpose", "permute", "t", "numpy_T", "movedim", "swapaxes", "mT"])
SHUFFLES = frozenset(["pixel_shuffle", "pixel_unshuffle", "channel_shuffle"])
ORDER_ONLY = VIEWS | PERMUTATIONS | SHUFFLES
"""Operations that move numbers without changing or losing any."""

PARTS = frozenset(
    [
        "slice",
        "select",
        "split",
        "split_with_sizes",
        "chunk",
        "getitem",
        "unbind",
        "narrow",
        "index_select",
    ]
)
"""Operations that keep a part of the numbers."""


register(
    *VIEWS,
    forward=lambda step: reshaped(step.of("input"), step.node.shape),
    backward=lambda step, cotangent: {step.name("input"): reshaped(cotangent, step.shape("input"))},
    law=kept,
    leans=leaning,
)


def order_of(step: Step) -> list[int]:
    """For each axis of the result the axis of the input that it was."""
    rank = len(step.shape("input"))
    order = list(range(rank))
    given = step.node.arguments
    if step.node.op == "permute":
        return list(step.axes("dims"))
    if step.node.op in ("t", "numpy_T", "mT"):
        first, second = (rank - 2, rank - 1) if rank > 1 else (0, 0)
    elif step.node.op == "movedim":
        source, target = step.axes("source"), step.axes("destination")
        rest = [axis for axis in order if axis not in source]
        for to, come in sorted(zip(target, source, strict=True)):
            rest.insert(to, come)
        return rest
    else:
        names = ("axis0", "axis1") if "axis0" in given else ("dim0", "dim1")
        first, second = (int(step.number(name)) % rank for name in names)
    order[first], order[second] = order[second], order[first]
    return order


def _permuted_back(step: Step, cotangent: Moments) -> Cotangents:
    order = order_of(step)
    return {step.name("input"): permuted(cotangent, [order.index(a) for a in range(len(order))])}


register(
    *PERMUTATIONS,
    forward=lambda step: permuted(step.of("input"), order_of(step)),
    backward=_permuted_back,
    law=kept,
    leans=leaning,
)


def _shuffle(x: Moments, shape: tuple[int, ...]) -> Moments:
    """Numbers moved between axes as no view can: only same from different element is told."""
    everything = reshaped(x, (prod(shape),))
    other = float(everything.pairs.flat[-1])
    found = Moments.independent(x.mean, x.second, shape)
    found.pairs[...] = other
    found.pairs.flat[0] = x.second
    return found


register(
    *SHUFFLES,
    forward=lambda step: _shuffle(step.of("input"), step.node.shape),
    backward=lambda step, cotangent: {step.name("input"): _shuffle(cotangent, step.shape("input"))},
    law=kept,
    leans=leaning,
)


def scattered(part: Moments, axis: int, size: int, start: int = 0, step: int = 1) -> Moments:
    """Gradient of a tensor of which every ``step``-th index along ``axis`` was kept, of ``size``:
    the others get none, so a pair of elements has one only where both were kept."""
    return resampled(part, axis, kept_reads(part.shape[axis], size, start, step), scatter=True)


@lru_cache(maxsize=4096)
def kept_reads(count: int, size: int, start: int, step: int) -> Reads:
    """Index i of ``count`` is index start + i·step of ``size``."""
    return Reads(start + step * np.arange(count)[:, None], size)


def axis_of(step: Step) -> int:
    """The axis of the input that an operation on one axis works along."""
    return int(step.number("dim")) % len(step.shape("input"))


def _slice(step: Step) -> Moments:
    axis = axis_of(step)
    return sliced(
        step.of("input"), axis, step.node.shape[axis], max(int(step.number("step", 1)), 1)
    )


def kept_part(step: Step) -> slice:
    """The indices along its axis that a slice or a selection keeps."""
    size = step.shape("input")[axis_of(step)]
    if step.node.op == "select":
        index = int(step.number("index")) % size
        return slice(index, index + 1)
    start = int(step.number("start"))
    start = min(max(start + size if start < 0 else start, 0), size)
    spacing = max(int(step.number("step", 1)), 1)
    return slice(start, start + spacing * (step.node.shape[axis_of(step)] - 1) + 1, spacing)


def _slice_back(step: Step, cotangent: Moments) -> Cotangents:
    axis = axis_of(step)
    size, part = step.shape("input")[axis], kept_part(step)
    if step.node.shape[axis] == size:
        return {step.name("input"): cotangent}
    return {step.name("input"): scattered(cotangent, axis, size, part.start, part.step)}


register("slice", "narrow", "index_select", forward=_slice, backward=_slice_back, law=kept)


def _select(step: Step) -> Moments:
    return selected(step.of("input"), axis_of(step))


def _select_back(step: Step, cotangent: Moments) -> Cotangents:
    axis = axis_of(step)
    part = unsqueezed(cotangent, axis)
    return {step.name("input"): scattered(part, axis, step.shape("input")[axis])}


register("select", forward=_select, backward=_select_back, law=kept)


def _split(step: Step) -> tuple[Moments, ...]:
    axis = axis_of(step)
    shapes = step.node.shapes or (step.node.shape,)
    return tuple(sliced(step.of("input"), axis, shape[axis]) for shape in shapes)


def _unbind(step: Step) -> tuple[Moments, ...]:
    axis = axis_of(step)
    return (selected(step.of("input"), axis),) * step.shape("input")[axis]


def _split_back(step: Step, cotangent: Arriving) -> Cotangents:
    """Of the parts that split or unbind make of one axis."""
    axis = axis_of(step)
    size = step.shape("input")[axis]
    found: Moments | None = None
    for part in cotangent if isinstance(cotangent, tuple) else (cotangent,):
        if part is not None:
            part = unsqueezed(part, axis) if step.node.op == "unbind" else part
            own = scattered(part, axis, size)
            found = own if found is None else found.plus(own)
    return {} if found is None else {step.name("input"): found}


register("split", "split_with_sizes", "chunk", forward=_split, backward=_split_back, law=kept)
register("unbind", forward=_unbind, backward=_split_back, law=kept)


def _getitem(step: Step) -> Moments:
    index = int(step.number("index"))
    several = step.several.get(step.name("input"), ())
    if not several and index == 0:  # the other results are indices
        return step.of("input")
    if index >= len(several):
        raise NoRuleError(f"no result {index} of {step.name('input')!r}")
    return several[index]


def _getitem_back(step: Step, cotangent: Moments) -> Cotangents:
    return {step.name("input"): cotangent}


register("getitem", forward=_getitem, backward=_getitem_back, law=lambda step: _getitem(step).law)

register(
    "expand",
    "expand_as",
    "broadcast_to",
    forward=lambda step: expanded(step.of("input"), step.node.shape),
    backward=lambda step, cotangent: step.total(("input", cotangent)),
    law=kept,
)


def _repeat(step: Step) -> Moments:
    """Copies along new axes, or the whole tensor over again along an axis that it has."""
    return reshaped(expanded(_between(step), _repeated(step)), step.node.shape)


def _repeated(step: Step) -> tuple[int, ...]:
    """(copies, size) for each axis of the result, in one row."""
    given = step.shape("input")
    missing = len(step.node.shape) - len(given)
    sizes = (1,) * missing + given
    return tuple(
        n for whole, size in zip(step.node.shape, sizes, strict=True) for n in (whole // size, size)
    )


def _between(step: Step) -> Moments:
    """The input with an axis of length 1 before each of its axes."""
    found = step.of("input")
    missing = len(step.node.shape) - len(found.axes)
    return reshaped(found, (1, 1) * missing + tuple(n for s in found.shape for n in (1, s)))


def _repeat_back(step: Step, cotangent: Moments) -> Cotangents:
    apart = reshaped(cotangent, _repeated(step))
    return {step.name("input"): reshaped(gathered(apart, _between(step)), step.shape("input"))}


register("repeat", "tile", forward=_repeat, backward=_repeat_back, law=kept)
