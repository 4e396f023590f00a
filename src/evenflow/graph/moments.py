"""Moments: what the calculus tracks of a tensor.

A network with random weights makes its units alike in law, and so are examples, and positions that
nothing tells apart. What matters of such a tensor is therefore its mean and, for two of its
elements x and x′, E[x·x′] as a function of *where they differ*: nowhere (the second moment q), in
the example (s_B), in the position (s_T), in the unit, or in several of these at once. ``pairs``
holds exactly that, an array with one dimension for each axis along which elements can differ:
entry 0 is "the same index", entry 1 "another index". An axis whose neighbours are more alike than
strangers (pixels) has further entries, one for each distance, the last for all that are further.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from evenflow.graph.algebra import pairs as pairing
from evenflow.graph.laws.law import Law, shape_of
from evenflow.graph.laws.lean import Lean

Array = npt.NDArray[np.float64]
Role = Literal["examples", "positions", "units"]


class Atom(NamedTuple):
    """A direction in which elements of a tensor can differ; views split and join axes of them."""

    size: int
    role: Role


Axes = tuple[tuple[Atom, ...], ...]
"""For each axis of the tensor the atoms that it consists of; none for an axis of length 1."""


class Parts(NamedTuple):
    """What a tensor was joined of, along one of its axes (``laws.joined``)."""

    axis: int
    each: tuple[Moments, ...]

    def scaled(self, factor: float) -> Parts:
        """Of ``factor`` times the tensor."""
        return Parts(self.axis, tuple(part.scaled(factor) for part in self.each))


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean of a tensor's elements, and E[x·x′] of two of them by where they differ."""

    mean: float
    pairs: Array
    """One dimension for each atom, in the order of the axes. Of length 1: it makes no difference
    whether the two elements differ there; 2: the same index, another one; more: by distance."""
    axes: Axes
    hidden: npt.NDArray[np.bool_] | None = None
    """Which elements are masked out (−∞ before a softmax), broadcastable to the tensor; the rest
    is then told of those that are not."""
    spread: float = 0.0
    """Relative variance of the second moment from example to example and position to position:
    0 where all have the same norm."""
    spread_examples: float = 0.0
    """The same of whole examples, where they are of several kinds."""
    kurtosis: float = 3.0
    """Of a parameter, E[(x − m)⁴] over the variance squared; of values it says nothing."""
    kinds: tuple[Moments, ...] = ()
    """Of an input whose examples differ: Moments of each kind of them (``graph.kinds``)."""
    law: Law | None = None
    """How elements are distributed around the mean; None: normally. Given to values by the pass
    forwards alone (``rules.registry``), and read by ``algebra.through``."""
    lean: Lean | None = None
    """Of a gradient: how it depends on the value that it is of; None: not. Given to gradients by
    the pass backwards alone."""

    parts: Parts | None = None
    """The tensors that it was joined of, as long as nothing has mixed them."""

    @property
    def second(self) -> float:
        """q = E[x²]"""
        return float(self.pairs.flat[0])

    @property
    def variance(self) -> float:
        """q − m², over all elements."""
        return self.second - self.mean**2

    @property
    def deviation(self) -> float:
        """√(q − m²)"""
        return math.sqrt(max(self.variance, 0.0))

    @property
    def at_nodes(self) -> Array:
        """What an element is, as a function of a standard normal number (``laws.law``)."""
        return np.asarray(self.mean + self.deviation * shape_of(self.law))

    @property
    def shared_examples(self) -> float:
        """s_B: E over units of (E over examples of x)²."""
        return self._shared("examples")

    @property
    def shared_positions(self) -> float:
        """s_T: the same over the positions (tokens, pixels) of one example."""
        return self._shared("positions")

    def _shared(self, role: Role) -> float:
        flat = [atom for axis in self.axes for atom in axis]
        index = tuple(-1 if atom.role == role else 0 for atom in flat)
        return float(self.pairs[index])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return tuple(prod(atom.size for atom in axis) for axis in self.axes)

    @classmethod
    def constant(cls, value: float, shape: Sequence[int] = ()) -> Moments:
        """Every element the same."""
        axes = axes_of(shape)
        return cls(value, np.full((1,) * _count(axes), value**2), axes)

    @classmethod
    def independent(
        cls,
        mean: float = 0.0,
        second: float = 1.0,
        shape: Sequence[int] = (),
        roles: Sequence[Role] = (),
    ) -> Moments:
        """Every element drawn afresh: nothing in common but the mean.

        ``roles`` name what the axes are; all are units if they are not given.
        """
        axes = axes_of(shape, roles)
        pairs = np.full((2,) * _count(axes), mean**2)
        pairs.flat[0] = second
        return cls(mean, pairs, axes)

    def scaled(self, factor: float) -> Moments:
        """Moments of ``factor`` · x."""
        law = self.law.reflected() if self.law is not None and factor < 0 else self.law
        parts = None if self.parts is None else self.parts.scaled(factor)
        pairs = factor**2 * self.pairs
        return replace(self, mean=factor * self.mean, pairs=pairs, law=law, parts=parts)

    def plus(self, other: Moments) -> Moments:
        """Of the sum with an independent tensor, broadcast: E[x·x′] add, and 2 m_x m_y."""
        x, y, axes = aligned(self, other)
        cross = 2 * self.mean * other.mean
        pairs = x + y + cross
        total = pairs.flat[0]
        # Norms of the same example go up and down together.
        shares = (x.flat[0] / total, y.flat[0] / total) if total else (0.0, 0.0)
        spread = (abs(shares[0]) * self.spread**0.5 + abs(shares[1]) * other.spread**0.5) ** 2
        return Moments(self.mean + other.mean, pairs, axes, _hidden(self, other), spread)

    def times(self, other: Moments) -> Moments:
        """Of the product with an independent tensor, broadcast: all moments multiply."""
        x, y, axes = aligned(self, other)
        spread = (1 + self.spread) * (1 + other.spread) - 1
        with np.errstate(over="ignore"):  # propagate tells what overflows
            pairs = x * y
        return Moments(self.mean * other.mean, pairs, axes, _hidden(self, other), spread)


def _hidden(x: Moments, y: Moments) -> npt.NDArray[np.bool_] | None:
    if x.hidden is None or y.hidden is None:
        return x.hidden if y.hidden is None else y.hidden
    return x.hidden | y.hidden


def axes_of(shape: Sequence[int], roles: Sequence[Role] = ()) -> Axes:
    """One atom for each axis that is longer than 1."""
    units: tuple[Role, ...] = ("units",)
    named = roles or units * len(shape)
    return tuple(
        (Atom(int(size), role),) if size != 1 else ()
        for size, role in zip(shape, named, strict=True)
    )


def roles_of(shape: tuple[int, ...]) -> tuple[Role, ...]:
    """What the axes of an input stand for: examples first; channels second in images and in
    nothing else; units last."""
    if len(shape) < 2:
        alone: tuple[Role, ...] = ("examples",)
        return alone * len(shape)
    places: list[Role] = ["positions"] * (len(shape) - 2)
    found: list[Role] = ["examples", *places, "units"]
    if len(shape) >= 4:
        found = ["examples", "units", *places]
    return tuple(found)


def _count(axes: Axes) -> int:
    return sum(len(axis) for axis in axes)


def aligned(x: Moments, y: Moments) -> tuple[Array, Array, Axes]:
    """Both tensors' ``pairs``, such that NumPy broadcasts them as the tensors are, and the axes."""
    if x.axes == y.axes:
        return (*_lengthened(x.pairs, y.pairs), x.axes)
    rank = max(len(x.axes), len(y.axes))
    left = ((),) * (rank - len(x.axes)) + x.axes
    right = ((),) * (rank - len(y.axes)) + y.axes
    a, b = x.pairs, y.pairs
    axes: list[tuple[Atom, ...]] = []
    dim = 0
    for ours, theirs in zip(left, right, strict=True):
        if not ours or not theirs:
            count = len(ours) + len(theirs)
            new = (slice(None),) * dim + (None,) * count
            a = a if ours or not count else a[new]
            b = b if theirs or not count else b[new]
            axes.append(ours or theirs)
        else:
            a, b, atoms = _refined(a, b, dim, ours, theirs)
            if len(atoms) == 1 and a.shape[dim] == 1:  # copies: the other knows what the axis is
                atoms = (Atom(atoms[0].size, theirs[0].role),)
            axes.append(atoms)
        dim += len(axes[-1])
    return (*_lengthened(a, b), tuple(axes))


def _refined(
    a: Array, b: Array, dim: int, ours: tuple[Atom, ...], theirs: tuple[Atom, ...]
) -> tuple[Array, Array, tuple[Atom, ...]]:
    """Split the atoms of one axis, in both tensors, until they are the same; join all if they
    cannot be."""
    if [atom.size for atom in ours] == [atom.size for atom in theirs]:
        return a, b, ours
    parts = pairing.common_parts([o.size for o in ours], [t.size for t in theirs])
    if parts is None:
        a = pairing.joined(a, dim, [atom.size for atom in ours])
        b = pairing.joined(b, dim, [atom.size for atom in theirs])
        return a, b, (Atom(prod(atom.size for atom in ours), ours[0].role),)
    a, roles = _split_to(a, dim, ours, parts)
    b, _ = _split_to(b, dim, theirs, parts)
    return a, b, tuple(Atom(size, role) for size, role in zip(parts, roles, strict=True))


def _split_to(
    pairs: Array, dim: int, atoms: tuple[Atom, ...], parts: Sequence[int]
) -> tuple[Array, list[Role]]:
    """``pairs`` with the atoms from ``dim`` on split into ``parts``, and each part's role."""
    roles: list[Role] = []
    left = list(parts)
    for atom in atoms:
        size = atom.size
        while left and size > 1:
            part = left.pop(0)
            if part < size:
                pairs = pairing.split(pairs, dim, size // part * part, size // part)
            size //= part
            roles.append(atom.role)
            dim += 1
    return pairs, roles


def _lengthened(a: Array, b: Array) -> tuple[Array, Array]:
    """Both to the longer of their lists of distances."""
    for dim, (ours, theirs) in enumerate(zip(a.shape, b.shape, strict=True)):
        if ours < theirs:
            a = pairing.lengthened(a, dim, theirs)
        elif theirs < ours:
            b = pairing.lengthened(b, dim, ours)
    return a, b
