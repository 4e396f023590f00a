"""Layout: Moments of the same numbers in another order or shape, of a part, or of copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from math import prod

import numpy as np
import numpy.typing as npt

from evenflow.errors import NoRuleError
from evenflow.graph.algebra import pairs as pairing
from evenflow.graph.moments import Array, Atom, Axes, Moments


def permuted(x: Moments, order: Sequence[int]) -> Moments:
    """Axes in another order."""
    dims_by_axis = _dims(x)
    dims = [dim for axis in order for dim in dims_by_axis[axis]]
    axes = tuple(x.axes[axis] for axis in order)
    hidden = None if x.hidden is None else _whole(x).transpose(order)
    return replace(x, pairs=x.pairs.transpose(dims), axes=axes, hidden=hidden)


def reshaped(x: Moments, shape: Sequence[int]) -> Moments:
    """The same elements in row-major order under another shape."""
    left = [atom for axis in x.axes for atom in axis]
    if prod(atom.size for atom in left) != prod(shape):
        raise NoRuleError(f"a view from {x.shape} to {tuple(shape)} is not of the same size")
    pairs, axes, dim = x.pairs, [], 0
    for size in shape:
        pairs, atoms, left = _taken(pairs, dim, left, size)
        axes.append(atoms)
        dim += len(atoms)
    hidden = None if x.hidden is None else _whole(x).reshape(shape)
    pairs, simple = _simplified(pairs, axes)
    return replace(x, pairs=pairs, axes=simple, hidden=hidden)


def _whole(x: Moments) -> npt.NDArray[np.bool_]:
    """The mask of every element."""
    assert x.hidden is not None
    return np.broadcast_to(x.hidden, x.shape)


def _taken(
    pairs: Array, dim: int, left: list[Atom], size: int
) -> tuple[Array, tuple[Atom, ...], list[Atom]]:
    """The atoms that make up the next axis, of ``size``, and those that are left."""
    atoms: list[Atom] = []
    missing = size
    while missing > 1:
        atom = left[0]
        if missing % atom.size == 0:
            atoms.append(atom)
            missing //= atom.size
            left = left[1:]
        elif atom.size % missing == 0:
            inner = atom.size // missing
            pairs = pairing.split(pairs, dim + len(atoms), atom.size, inner)
            atoms.append(Atom(missing, atom.role))
            left = [Atom(inner, atom.role), *left[1:]]
            missing = 1
        else:  # the cut goes through the middle of an atom: tell only same from different
            pairs, left = _joined(pairs, dim, atoms + left, size)
            atoms, missing = [], size
    return pairs, tuple(atoms), left


def _joined(pairs: Array, dim: int, atoms: list[Atom], size: int) -> tuple[Array, list[Atom]]:
    """As many atoms joined into one as it takes for ``size`` to divide it."""
    count, whole = 0, 1
    while whole % size or whole == 1:
        if count == len(atoms):
            raise NoRuleError(f"a view into an axis of {size} that its elements do not divide into")
        whole *= atoms[count].size
        count += 1
    pairs = pairing.joined(pairs, dim, [atom.size for atom in atoms[:count]])
    return pairs, [Atom(whole, atoms[0].role), *atoms[count:]]


def _simplified(pairs: Array, known: Sequence[tuple[Atom, ...]]) -> tuple[Array, Axes]:
    """Join neighbouring atoms of one axis wherever differing in one is like differing in both."""
    axes, dim = [], 0
    for axis in known:
        atoms: list[Atom] = []
        for atom in axis:
            at = dim + len(atoms) - 1
            if atoms and atoms[-1].role == atom.role and _alike(pairs, at):
                pairs = pairing.joined(pairs, at, [atoms[-1].size, atom.size])
                atoms[-1] = Atom(atoms[-1].size * atom.size, atom.role)
            else:
                atoms.append(atom)
        axes.append(tuple(atoms))
        dim += len(atoms)
    return pairs, tuple(axes)


def _alike(pairs: Array, dim: int) -> bool:
    if pairs.shape[dim] != 2 or pairs.shape[dim + 1] != 2:
        return False
    outer, inner, both = (pairing.entry(pairs, dim, *case) for case in ((1, 0), (0, 1), (1, 1)))
    scale = 1e-9 * abs(float(pairs.flat[0]))
    near = np.abs(inner - outer) <= scale
    return bool(near.all() and (np.abs(inner - both) <= scale).all())


def expanded(x: Moments, shape: Sequence[int]) -> Moments:
    """Copies along new axes in front and along axes of length 1."""
    missing = len(shape) - len(x.axes)
    axes: list[tuple[Atom, ...]] = []
    pairs, dim = x.pairs, 0
    for place, size in enumerate(shape):
        atoms = x.axes[place - missing] if place >= missing else ()
        if not atoms and size not in (1, -1):
            atoms = (Atom(size, "positions"),)
            pairs = np.expand_dims(pairs, dim)
        axes.append(atoms)
        dim += len(atoms)
    return replace(x, pairs=pairs, axes=tuple(axes))


def gathered(x: Moments, given: Moments) -> Moments:
    """Gradient ``x`` of a broadcast result, summed over the copies of each element of ``given``."""
    missing = len(x.axes) - len(given.axes)
    found = x
    for axis in range(len(x.axes)):
        copied = axis < missing or not given.axes[axis - missing]
        if copied and x.axes[axis]:
            found = summed(found, [axis], keep=True)
    for _ in range(missing):
        found = selected(found, 0)
    return found


def summed(x: Moments, axes: Sequence[int], *, keep: bool) -> Moments:
    """Sums over some axes; E[x·x′] of a sum is that of every pair of its terms."""
    pairs, count = x.pairs, 1
    for dim, atom in reversed(list(_placed(x, axes))):
        pairs = pairing.total(pairs, dim, atom.size)
        count *= atom.size
    left = _without(x, axes, keep=keep)
    return without_places(replace(x, mean=count * x.mean, pairs=pairs, axes=left, hidden=None), x)


def without_places(found: Moments, x: Moments) -> Moments:
    """What was made of ``x`` by taking positions together: where none are left, none differ."""
    if x.spread and _has_places(x) and not _has_places(found):
        return replace(found, spread=0.0)
    return found


def _has_places(x: Moments) -> bool:
    return any(atom.role == "positions" for axis in x.axes for atom in axis)


def averaged(x: Moments, axes: Sequence[int], *, keep: bool) -> Moments:
    """Means over some axes."""
    count = prod(atom.size for _, atom in _placed(x, axes))
    return summed(x, axes, keep=keep).scaled(1 / max(count, 1))


def selected(x: Moments, axis: int) -> Moments:
    """One index along an axis, which is gone."""
    pairs = x.pairs
    for dim in reversed(dims_of(x, axis)):
        pairs = pairing.entry(pairs, dim, 0)
    return replace(x, pairs=pairs, axes=x.axes[:axis] + x.axes[axis + 1 :], hidden=None)


def sliced(x: Moments, axis: int, size: int, step: int = 1) -> Moments:
    """``size`` indices along an axis, every ``step``-th."""
    if size == 1:
        pairs = x.pairs
        for dim in reversed(dims_of(x, axis)):
            pairs = pairing.entry(pairs, dim, 0)
        return replace(x, pairs=pairs, axes=(*x.axes[:axis], (), *x.axes[axis + 1 :]), hidden=None)
    atoms, dims = x.axes[axis], dims_of(x, axis)
    if not atoms:  # several copies of a single index, as a gather may take them
        return expanded(x, [*x.shape[:axis], size, *x.shape[axis + 1 :]])
    if len(atoms) == 1:
        pairs = pairing.spaced(x.pairs, dims[0], step)
    else:
        pairs = pairing.joined(x.pairs, dims[0], [atom.size for atom in atoms])
    axes = (*x.axes[:axis], (Atom(size, atoms[0].role),), *x.axes[axis + 1 :])
    return replace(x, pairs=pairs, axes=axes, hidden=None)


def unsqueezed(x: Moments, axis: int) -> Moments:
    """With a new axis of length 1."""
    axis %= len(x.axes) + 1
    return replace(x, axes=(*x.axes[:axis], (), *x.axes[axis:]))


def as_one_atom(x: Moments, axis: int) -> Moments:
    """With exactly one atom on an axis, if need be of size 1."""
    atoms, before = x.axes[axis], sum(len(each) for each in x.axes[:axis])
    if len(atoms) == 1:
        return x
    if atoms:
        pairs = pairing.joined(x.pairs, before, [atom.size for atom in atoms])
        atom = Atom(x.shape[axis], atoms[0].role)
    else:
        pairs, atom = np.expand_dims(x.pairs, before), Atom(1, "positions")
    return replace(x, pairs=pairs, axes=(*x.axes[:axis], (atom,), *x.axes[axis + 1 :]))


def dims_of(x: Moments, axis: int) -> list[int]:
    """Dimensions of ``pairs`` that belong to an axis."""
    before = sum(len(atoms) for atoms in x.axes[:axis])
    return list(range(before, before + len(x.axes[axis])))


def _dims(x: Moments) -> list[range]:
    """The same of every axis."""
    starts = accumulate((len(atoms) for atoms in x.axes), initial=0)
    return [range(start, start + len(atoms)) for start, atoms in zip(starts, x.axes, strict=False)]


def _placed(x: Moments, axes: Sequence[int]) -> list[tuple[int, Atom]]:
    """Dimension and atom of each atom of some axes, in order."""
    dims = _dims(x)
    return [
        (dim, atom)
        for axis in sorted(axes)
        for dim, atom in zip(dims[axis], x.axes[axis], strict=True)
    ]


def _without(x: Moments, axes: Sequence[int], *, keep: bool) -> Axes:
    if keep:
        return tuple(() if place in axes else axis for place, axis in enumerate(x.axes))
    return tuple(axis for place, axis in enumerate(x.axes) if place not in axes)
