"""Joined: tensors side by side along one axis, whose parts stay known until something mixes them.

Channels that came from different places are of different size and law. What treats each channel
alone (an activation, batch norm, a pool over pixels) does so part by part, and a gradient finds its
way back to the part that it belongs to; what mixes channels reads the Moments of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evenflow.graph.algebra import pairs as pairing
from evenflow.graph.algebra.layout import sliced
from evenflow.graph.laws.law import Law, mixed_law
from evenflow.graph.laws.lean import Lean, mixed
from evenflow.graph.moments import Atom, Moments, Parts, Role, aligned


def joined(parts: Sequence[Moments], axis: int) -> Moments:
    """The mean over all pairs; of elements of two different tensors only the means are alike."""
    sizes = [x.shape[axis] for x in parts]
    size, rank = sum(sizes), len(parts[0].axes)
    mean = sum(x.mean * count for x, count in zip(parts, sizes, strict=True)) / size
    across = (mean * size) ** 2
    across -= sum((x.mean * count) ** 2 for x, count in zip(parts, sizes, strict=True))
    ordered_pairs = max(size * (size - 1), 1)
    same = other = Moments.constant(0.0, (1,) * rank)
    for x, count in zip(parts, sizes, strict=True):
        alike, unlike = _along(x, axis)
        same = _added(same, alike, count / size)
        other = _added(other, unlike, count * (count - 1) / ordered_pairs)
    other = _added(other, Moments.constant(1.0, (1,) * rank), across / ordered_pairs)
    a, b, axes = aligned(same, other)
    a, b = np.broadcast_arrays(a, b)
    before = sum(len(each) for each in axes[:axis])
    role: Role = next((x.axes[axis][0].role for x in parts if x.axes[axis]), "positions")
    axes = (*axes[:axis], (Atom(size, role),), *axes[axis + 1 :])
    spread = _spread(parts, axis) if role == "units" else 0.0
    return Moments(mean, np.stack([a, b], axis=before), axes, None, spread)


def _spread(parts: Sequence[Moments], axis: int) -> float:
    """Norms of the same example and position go up and down together in all channels."""
    shares = [x.second * x.shape[axis] for x in parts]
    together = sum(share * x.spread**0.5 for share, x in zip(shares, parts, strict=True))
    return float((together / max(sum(shares), 1e-300)) ** 2)


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


def with_parts(parts: Sequence[Moments], axis: int) -> Moments:
    """The whole of some parts, which knows them, and the law that theirs make together."""
    if len(parts) == 1:
        return parts[0]
    law = None
    if any(x.law is not None for x in parts):
        law = mixed_law([(float(x.shape[axis]), x.mean, x.deviation, x.law) for x in parts])
    return replace(joined(parts, axis), law=law, parts=Parts(axis, tuple(parts)))


def parts_of(x: Moments, axis: int) -> tuple[Moments, ...]:
    """What a tensor was joined of along this axis; itself if it was not."""
    return x.parts.each if x.parts is not None and x.parts.axis == axis else (x,)


def apart(gradient: Moments, axis: int, sizes: Sequence[int]) -> Sequence[Moments]:
    """What a gradient is at parts of these sizes: alike unless it knows better."""
    known = parts_of(gradient, axis)
    if [x.shape[axis] for x in known] == list(sizes):
        return known
    return [marked(sliced(gradient, axis, size)) for size in sizes]


def summed(x: Moments, y: Moments) -> Moments:
    """A gradient that arrives from two readers: the parts of each, and how both depend on the
    value."""
    known = x.parts or y.parts
    if known is None:
        return marked(x.plus(y), lean=mixed([(x.second, x.lean), (y.second, y.lean)]))
    sizes = [part.shape[known.axis] for part in known.each]
    both = zip(apart(x, known.axis, sizes), apart(y, known.axis, sizes), strict=True)
    return with_parts([summed(*pair) for pair in both], known.axis)


def marked(
    x: Moments, law: Law | None = None, lean: Lean | None = None, parts: Parts | None = None
) -> Moments:
    """With this law, lean and these parts, and none that it came with."""
    if x.law is law and x.lean is lean and x.parts is parts:
        return x
    return replace(x, law=law, lean=lean, parts=parts)
