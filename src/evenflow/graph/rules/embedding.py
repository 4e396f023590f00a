"""Look-up: rows of a table by index.

Two places of the result are alike as far as they hold the same row: with c the share of pairs of
places that do, E[x·x′] = c E[same row] + (1 − c) E[two rows]. Where the indices are known
(positions, relative positions, tokens that were passed) c is counted; else all count as distinct.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from evenflow.errors import NoRuleError
from evenflow.graph.algebra import pairs as pairing
from evenflow.graph.graph import Ref
from evenflow.graph.moments import Array, Atom, Axes, Moments, Role, axes_of
from evenflow.graph.numbers.constants import core_of
from evenflow.graph.rules.registry import Cotangents, Step, register
from evenflow.graph.softmax.attention import apart, stacked


def looked_up(
    table: Moments, shape: tuple[int, ...], indices: npt.NDArray[Any] | None = None
) -> Moments:
    """Rows of ``table`` at indices of this shape; ``indices`` are their numbers where known."""
    axes, alike = _coincidence(shape, indices)
    same, other = apart(table, 0)
    share = alike.reshape(alike.shape + (1,) * same.pairs.ndim)
    pairs = share * same.pairs + (1 - share) * other.pairs
    return Moments(table.mean, pairs, (*axes, *table.axes[1:]))


def looked_up_back(
    table: Moments,
    cotangent: Moments,
    shape: tuple[int, ...],
    indices: npt.NDArray[Any] | None = None,
) -> Moments:
    """Of the table's gradient: each row gathers from all places that hold it."""
    axes, alike = _coincidence(shape, indices)
    rows, rank = table.shape[0], len(shape)
    arrived = cotangent.pairs
    before = sum(len(each) for each in cotangent.axes[:rank])
    if [len(each) for each in axes] != [len(each) for each in cotangent.axes[:rank]]:
        arrived, before = _one_atom_each(cotangent, rank)
    for dim in range(before):
        alike = pairing.lengthened(alike, dim, arrived.shape[dim])
    share = alike.reshape(alike.shape + (1,) * (arrived.ndim - before))
    found = []
    for part, pairs in ((share, rows), (1 - share, rows * max(rows - 1, 1))):
        sums = np.broadcast_arrays(part * arrived, arrived)[0]
        for atom in (atom for each in axes for atom in each):
            sums = pairing.total(sums, 0, atom.size)
        found.append(sums / pairs)
    left = Moments(0.0, found[0], ((), *cotangent.axes[rank:]))
    return stacked(left, found[1], 0, Atom(rows, "units")) if rows > 1 else left


def _one_atom_each(x: Moments, rank: int) -> tuple[Array, int]:
    """Pairs with one dimension for each of the first axes that is longer than 1."""
    pairs, dim = x.pairs, 0
    for axis in range(rank):
        if x.axes[axis]:
            pairs = pairing.joined(pairs, dim, [atom.size for atom in x.axes[axis]])
            dim += 1
    return pairs, dim


def _coincidence(shape: tuple[int, ...], indices: npt.NDArray[Any] | None) -> tuple[Axes, Array]:
    """Axes of the places; and the share of pairs that hold the same index, by where they differ."""
    roles: list[Role] = ["examples"]
    axes = axes_of(shape, (roles + ["positions"] * (len(shape) - 1))[: len(shape)])
    alike = np.zeros((2,) * sum(len(each) for each in axes))
    alike.flat[0] = 1.0
    if indices is None:
        return axes, alike
    core, copied = core_of(indices.reshape(shape) if indices.shape != shape else indices)
    _, numbers = np.unique(core, return_inverse=True)
    told = _counted(numbers.reshape([n for n in core.shape if n != 1]))
    dims = [copied[axis] for axis, each in enumerate(axes) if each]
    return axes, np.expand_dims(told, tuple(d for d, is_copy in enumerate(dims) if is_copy))


def _counted(numbers: npt.NDArray[np.int_]) -> Array:
    """First over all pairs of indices along some axes, then without those of the same index."""
    kinds = int(numbers.max()) + 1
    alike = np.empty((2,) * numbers.ndim)
    for index in product((0, 1), repeat=numbers.ndim):
        every = [axis for axis, all_pairs in enumerate(index) if all_pairs]
        kept = np.moveaxis(numbers, every, range(-len(every), 0)) if every else numbers
        count = prod(numbers.shape[axis] for axis in every)
        rows = kept.reshape(-1, count)
        labels = rows + kinds * np.arange(len(rows))[:, None]
        times = np.unique(labels, return_counts=True)[1].astype(float)
        alike[index] = (times**2).sum() / (len(rows) * float(count) ** 2)
    for axis, size in enumerate(numbers.shape):
        cases = np.moveaxis(alike, axis, 0)
        cases[1] = (size * cases[1] - cases[0]) / (size - 1)
    return alike


def _embedding(step: Step) -> Moments:
    return looked_up(step.of("weight"), step.node.shape[:-1], step.values("indices"))


def _embedding_back(step: Step, cotangent: Moments) -> Cotangents:
    table, shape = step.of("weight"), step.node.shape[:-1]
    found = looked_up_back(table, cotangent, shape, step.values("indices"))
    return {step.name("weight"): found}


def _one_index(step: Step) -> tuple[tuple[int, ...], npt.NDArray[Any] | None]:
    """Shape and, where known, numbers of the indices of x[indices]."""
    indices = step.node.arguments.get("indices")
    names = [i.name for i in indices if isinstance(i, Ref)] if isinstance(indices, tuple) else []
    if len(names) != 1 or not isinstance(indices, tuple) or indices[0] is None:
        raise NoRuleError("an index along several axes")
    if step.graph.dtype(names[0]) == "bool":
        raise NoRuleError("an index by a mask")
    return step.graph.shape(names[0]), step.graph.values.get(names[0])


def _index_back(step: Step, cotangent: Moments) -> Cotangents:
    shape, numbers = _one_index(step)
    return {step.name("input"): looked_up_back(step.of("input"), cotangent, shape, numbers)}


register(
    "index",
    forward=lambda step: looked_up(step.of("input"), *_one_index(step)),
    backward=_index_back,
)
register("embedding", forward=_embedding, backward=_embedding_back)
