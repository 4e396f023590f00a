"""Tensors joined along an axis, and padded: pairs within a part, and pairs across parts."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from evenflow.graph import pairs as pairing
from evenflow.graph.layout import reshaped, sliced, unsqueezed
from evenflow.graph.moments import Atom, Moments, Role, aligned
from evenflow.graph.rules.registry import Cotangents, Step, register


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
