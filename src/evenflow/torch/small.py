"""Small: a sampled operation on fewer indices, where it works on each index alone.

An axis may be shortened if the operation treats its indices one by one: then every floating-point
operand and every result has it, and a change at one index leaves all results at others as they
were. That is tried, not presumed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from evenflow.errors import NoRuleError
from evenflow.graph.graph import Argument, Node
from evenflow.graph.moments import Atom, Moments

if TYPE_CHECKING:
    from evenflow.torch.sampled import Trial

_SMALL, _MOST = 2**20, 2**25
"""Elements of an operation's tensors: up to the one nothing is shortened, above the other nothing
is run."""
_FEWEST = 16
"""Indices that are kept of an axis, at least."""


@dataclass(frozen=True)
class Small:
    """A trial on shortened axes, told by their lengths: full length → kept."""

    trial: Trial
    kept: dict[int, int]

    def reduced(self, x: Moments) -> Moments:
        """Moments of a tensor on the shortened axes."""
        for size, short in self.kept.items():
            x = resized(x, size, short)
        return x

    def enlarged(self, x: Moments, shape: tuple[int, ...]) -> Moments:
        """Moments of a tensor of ``shape``, measured on the shortened axes."""
        return enlarged(x, shape)


def enlarged(x: Moments, shape: tuple[int, ...]) -> Moments:
    """Moments of a tensor of ``shape``, measured where some of its axes were shorter."""
    axes = tuple(
        (Atom(size, atoms[0].role),) if atoms else ()
        for size, atoms in zip(shape, x.axes, strict=True)
    )
    return replace(x, axes=axes)


def smaller(trial: Trial, seed: int) -> Small:
    """The trial with as many axes shortened as it takes, and as the operation allows.

    Raises ``NoRuleError`` if its tensors are still too large.
    """
    small = Small(trial, {})
    for size in _candidates(trial):
        elements = _elements(small.trial)
        if elements <= _SMALL:
            break
        short = max(_SMALL * size // elements, _FEWEST)
        shorter = _shortened(small.trial, size, short)
        if shorter is not None and _one_by_one(trial, shorter, size, seed):
            small = Small(shorter, small.kept | {size: short})
    if _elements(small.trial) > _MOST:
        raise NoRuleError(f"{trial.step.node.op!r} is too large to be sampled")
    return small


def _elements(trial: Trial) -> int:
    return sum(prod(moments.shape) for moments in trial.roots.values())


def _candidates(trial: Trial) -> list[int]:
    """Lengths of axes that every operand has once, examples first, then the longest."""
    operands = list(trial.roots.values())
    sizes = {
        size
        for size in (operands[0].shape if operands else ())
        if size > _FEWEST and all(m.shape.count(size) == 1 for m in operands)
    }
    examples = {axis[0].size for m in operands for axis in m.axes if _of_examples(axis)}
    return sorted(sizes, key=lambda size: (size not in examples, -size))


def _of_examples(axis: tuple[Atom, ...]) -> bool:
    return len(axis) == 1 and axis[0].role == "examples"


def resized(x: Moments, size: int, short: int) -> Moments:
    """With axes of this length shortened."""
    axes = tuple(
        (Atom(short, axis[0].role),) if len(axis) == 1 and axis[0].size == size else axis
        for axis in x.axes
    )
    pairs = x.pairs
    for dim, atom in enumerate(atom for axis in axes for atom in axis):
        pairs = np.take(pairs, range(min(pairs.shape[dim], atom.size)), axis=dim)
    return replace(x, axes=axes, pairs=pairs, hidden=None)


def _shortened(trial: Trial, size: int, short: int) -> Trial | None:
    """The trial with axes of this length shortened; None where that cannot be."""
    if trial.weights:
        return None
    if any(len(axis) > 1 or m.hidden is not None for m in trial.roots.values() for axis in m.axes):
        return None
    return replace(
        trial,
        nodes=tuple(with_lengths(node, size, short) for node in trial.nodes),
        roots={name: resized(moments, size, short) for name, moments in trial.roots.items()},
        others={
            name: tuple(short if n == size else n for n in shape)
            for name, shape in trial.others.items()
        },
    )


def with_lengths(node: Node, size: int, short: int) -> Node:
    """Lists of lengths among the arguments say how long the axis is, too."""

    def changed(value: Argument) -> Argument:
        if isinstance(value, tuple):
            return tuple(short if item == size else item for item in value)
        return value

    return replace(node, arguments={k: changed(v) for k, v in node.arguments.items()})


def _one_by_one(whole: Trial, short: Trial, size: int, seed: int) -> bool:
    """Whether every result has the axis, and depends on nothing at its other indices."""
    shapes = whole.step.node.shapes or (whole.step.node.shape,)
    if any(shape.count(size) != 1 for shape in shapes):
        return False
    values = short.values(np.random.default_rng([seed, 0]), positive=False)
    others = short.values(np.random.default_rng([seed, 1]), positive=False)
    changed = {name: value.detach().clone() for name, value in values.items()}
    for name, moments in whole.roots.items():
        axis = moments.shape.index(size)
        changed[name].select(axis, 0).copy_(others[name].detach().select(axis, 0))
    try:
        first, second = (_seeded(short, given, seed) for given in (values, changed))
    except NoRuleError:
        return False
    axes = [shape.index(size) for shape in shapes]
    return all(
        torch.equal(_others(a, axis), _others(b, axis))
        for a, b, axis in zip(first, second, axes, strict=True)
    )


def _others(x: torch.Tensor, axis: int) -> torch.Tensor:
    """All but the index that was changed."""
    return x.narrow(axis, 1, x.shape[axis] - 1)


def _seeded(trial: Trial, values: dict[str, Any], seed: int) -> tuple[torch.Tensor, ...]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return trial.run(values)
