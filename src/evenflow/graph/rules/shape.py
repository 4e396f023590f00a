"""Shape and indexing: the same numbers in another order, a part of them, or several joined."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import prod

import numpy as np

from evenflow.errors import NoRuleError
from evenflow.graph import pairs as pairing
from evenflow.graph.layout import (
    expanded,
    gathered,
    permuted,
    reshaped,
    selected,
    sliced,
    unsqueezed,
)
from evenflow.graph.moments import Atom, Moments, Role, aligned
from evenflow.graph.resample import resampled
from evenflow.graph.rules.registry import Arriving, Cotangents, Step, register
from evenflow.graph.taps import Reads

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
)


def _order(step: Step) -> list[int]:
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
    order = _order(step)
    return {step.name("input"): permuted(cotangent, [order.index(a) for a in range(len(order))])}


register(
    *PERMUTATIONS,
    forward=lambda step: permuted(step.of("input"), _order(step)),
    backward=_permuted_back,
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
)


def scattered(part: Moments, axis: int, size: int, start: int = 0, step: int = 1) -> Moments:
    """Gradient of a tensor of which every ``step``-th index along ``axis`` was kept, of ``size``:
    the others get none, so a pair of elements has one only where both were kept."""
    return resampled(part, axis, kept_reads(part.shape[axis], size, start, step), scatter=True)


@lru_cache(maxsize=4096)
def kept_reads(count: int, size: int, start: int, step: int) -> Reads:
    """Index i of ``count`` is index start + i·step of ``size``."""
    return Reads(start + step * np.arange(count)[:, None], size)


def _axis(step: Step) -> int:
    return int(step.number("dim")) % len(step.shape("input"))


def _slice(step: Step) -> Moments:
    axis = _axis(step)
    return sliced(
        step.of("input"), axis, step.node.shape[axis], max(int(step.number("step", 1)), 1)
    )


def _slice_back(step: Step, cotangent: Moments) -> Cotangents:
    axis = _axis(step)
    size, count = step.shape("input")[axis], step.node.shape[axis]
    if count == size:
        return {step.name("input"): cotangent}
    start = int(step.number("start"))
    start = min(max(start + size if start < 0 else start, 0), size)
    spacing = max(int(step.number("step", 1)), 1)
    return {step.name("input"): scattered(cotangent, axis, size, start, spacing)}


register("slice", "narrow", "index_select", forward=_slice, backward=_slice_back)


def _select(step: Step) -> Moments:
    return selected(step.of("input"), _axis(step))


def _select_back(step: Step, cotangent: Moments) -> Cotangents:
    axis = _axis(step)
    part = unsqueezed(cotangent, axis)
    return {step.name("input"): scattered(part, axis, step.shape("input")[axis])}


register("select", forward=_select, backward=_select_back)


def _split(step: Step) -> tuple[Moments, ...]:
    axis = _axis(step)
    shapes = step.node.shapes or (step.node.shape,)
    return tuple(sliced(step.of("input"), axis, shape[axis]) for shape in shapes)


def _unbind(step: Step) -> tuple[Moments, ...]:
    axis = _axis(step)
    return (selected(step.of("input"), axis),) * step.shape("input")[axis]


def _split_back(step: Step, cotangent: Arriving) -> Cotangents:
    """Of the parts that split or unbind make of one axis."""
    axis = _axis(step)
    size = step.shape("input")[axis]
    found: Moments | None = None
    for part in cotangent if isinstance(cotangent, tuple) else (cotangent,):
        if part is not None:
            part = unsqueezed(part, axis) if step.node.op == "unbind" else part
            own = scattered(part, axis, size)
            found = own if found is None else found.plus(own)
    return {} if found is None else {step.name("input"): found}


register("split", "split_with_sizes", "chunk", forward=_split, backward=_split_back)
register("unbind", forward=_unbind, backward=_split_back)


def _getitem(step: Step) -> Moments:
    index = int(step.number("index"))
    several = step.several.get(step.name("input"))
    if several is None or index >= len(several):
        raise NoRuleError(f"no result {index} of {step.name('input')!r}")
    return several[index]


def _getitem_back(step: Step, _cotangent: Moments) -> Cotangents:
    raise NoRuleError(f"no result of {step.name('input')!r}")


register("getitem", forward=_getitem, backward=_getitem_back)

register(
    "expand",
    "expand_as",
    "broadcast_to",
    forward=lambda step: expanded(step.of("input"), step.node.shape),
    backward=lambda step, cotangent: step.total(("input", cotangent)),
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


register("repeat", "tile", forward=_repeat, backward=_repeat_back)


def _joined_axis(step: Step) -> int:
    return int(step.number("dim")) % max(len(step.node.shape), 1)


def _each(step: Step) -> list[tuple[Moments, int]]:
    """The joined tensors, a stacked one with the new axis, and their sizes along it."""
    axis = _joined_axis(step)
    found = []
    for name in step.names("tensors"):
        x = step.of_value(name)
        x = unsqueezed(x, axis) if step.node.op == "stack" else x
        if prod(x.shape):
            found.append((x, x.shape[axis]))
    return found


def _joined(step: Step) -> Moments:
    """The mean over all pairs; of elements of two different tensors only the means are alike."""
    axis, parts = _joined_axis(step), _each(step)
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
    return Moments(mean, np.stack([a, b], axis=before), axes)


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
    axis = _joined_axis(step)
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


def _rim(step: Step) -> float | None:
    """The number that fills the rim; None where edges are reflected or repeated."""
    if step.node.arguments.get("mode", "constant") != "constant":
        return None
    return step.number("value")


def _padded(step: Step) -> Moments:
    x, rim = step.of("input"), _rim(step)
    for axis, size in enumerate(step.node.shape):
        if size != x.shape[axis]:
            x = _widened(x, axis, size, rim)
    return x


def _widened(x: Moments, axis: int, size: int, rim: float | None) -> Moments:
    """One axis longer or shorter: by a constant, or by more of the same numbers."""
    inside = x.shape[axis]
    if rim is None or size < inside:
        return sliced(x, axis, size)
    same, other = _along(x, axis)
    share, pairs = inside / size, size * (size - 1)
    kept = inside * (inside - 1) / pairs
    between = 2 * inside * (size - inside) / pairs
    outside = 1 - kept - between
    filled = Moments.constant(1.0, (1,) * len(x.axes))
    same = _added(replace(same, pairs=share * same.pairs), filled, (1 - share) * rim**2)
    other = _added(
        replace(other, pairs=kept * other.pairs),
        filled,
        between * x.mean * rim + outside * rim**2,
    )
    a, b, axes = aligned(same, other)
    a, b = np.broadcast_arrays(a, b)
    before = sum(len(each) for each in axes[:axis])
    atoms = x.axes[axis] or (Atom(size, "positions"),)
    axes = (*axes[:axis], (Atom(size, atoms[0].role),), *axes[axis + 1 :])
    return Moments(share * x.mean + (1 - share) * rim, np.stack([a, b], axis=before), axes)


def _padded_back(step: Step, cotangent: Moments) -> Cotangents:
    # A constant rim keeps its part of the gradient; a repeated one hands it on.
    found, kept = cotangent, 1.0
    for axis, size in enumerate(step.shape("input")):
        if found.shape[axis] != size:
            kept *= found.shape[axis] / size
            found = sliced(found, axis, size)
    found = found if _rim(step) is not None else found.scaled(kept**0.5)
    return {step.name("input"): found}


register("pad", "constant_pad_nd", forward=_padded, backward=_padded_back)
