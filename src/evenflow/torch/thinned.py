"""Thinned: a scan sampled on some of its channels, where it works on each channel alone.

Whether it does is tried, not presumed: what is changed at one channel must leave everything at all
others as it was. What has no such axis is a sum over channels only in the gradients, whose terms
are independent: on fewer of them it has so much smaller a second moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from evenflow.errors import NoRuleError
from evenflow.graph.graph import Node
from evenflow.graph.moments import Moments
from evenflow.torch.small import enlarged, resized, with_lengths

Values = dict[str, Any]
Running = Callable[[Sequence[Node], Values], Values]

_ENOUGH = 2**22
"""Elements of all results together up to which nothing is left out."""
_FEWEST = 64
"""Channels that are kept, at least."""


@dataclass(frozen=True)
class Thinned:
    """Operations on ``kept`` of ``size`` channels; on all of them if both are 0."""

    nodes: tuple[Node, ...]
    size: int = 0
    kept: int = 0

    @property
    def elements(self) -> int:
        """Of all results."""
        shapes = (node.shape for node in self.nodes)
        return sum(prod(self.kept if n == self.size else n for n in shape) for shape in shapes)

    def values(self, values: Mapping[str, Any], draw: int = 0) -> Values:
        """Tensors at the channels that are kept: others in each draw."""
        if not self.size:
            return dict(values)
        generator = torch.Generator().manual_seed(draw)
        places = torch.randperm(self.size, generator=generator)[: self.kept]

        def some(value: Any) -> Any:
            if not isinstance(value, torch.Tensor) or self.size not in value.shape:
                return value
            return value.index_select(tuple(value.shape).index(self.size), places)

        return {name: some(value) for name, value in values.items()}

    def reduced(self, x: Moments) -> Moments:
        """Moments of a tensor at the channels that are kept."""
        return resized(x, self.size, self.kept) if self.size else x

    def enlarged(self, x: Moments, shape: tuple[int, ...], *, summed: bool = False) -> Moments:
        """Moments of a tensor of ``shape`` from those at the channels that are kept; ``summed``
        where one without them is a sum over them."""
        missing = self.size / self.kept if summed and self.size and self.size not in shape else 1.0
        return enlarged(x.scaled(missing**0.5), shape)


def thinned(nodes: tuple[Node, ...], read: Callable[[], Values], run: Running) -> Thinned:
    """As few channels as are needed, of the longest axis on which the operations work alone.

    ``read`` gives the values that the operations read, ``run`` all results.
    """
    whole = Thinned(nodes)
    if whole.elements <= _ENOUGH:
        return whole
    values = read()
    for size in _candidates(nodes, values):
        kept = max(_ENOUGH * size // whole.elements, _FEWEST)
        thin = Thinned(tuple(with_lengths(node, size, kept) for node in nodes), size, kept)
        if kept < size and _alone(thin, values, run):
            return thin
    return whole


def _candidates(nodes: Sequence[Node], values: Values) -> list[int]:
    """Lengths that no tensor has twice, the longest first."""
    tensors = [tuple(v.shape) for v in values.values() if isinstance(v, torch.Tensor)]
    shapes = [node.shape for node in nodes] + tensors
    sizes = {size for shape in shapes for size in shape if size > _FEWEST}
    once = [size for size in sizes if all(shape.count(size) < 2 for shape in shapes)]
    return sorted(once, reverse=True)


def _alone(thin: Thinned, values: Values, run: Running) -> bool:
    """Whether nothing at a channel depends on another."""
    given = thin.values(values)
    changed = dict(given)
    for name, value in values.items():
        if isinstance(value, torch.Tensor) and thin.size in value.shape:
            axis = tuple(value.shape).index(thin.size)
            changed[name] = given[name].clone()
            changed[name].select(axis, 0).copy_(given[name].select(axis, 1))
    try:
        with torch.no_grad():
            first, second = run(thin.nodes, given), run(thin.nodes, changed)
    except NoRuleError:
        return False
    return all(_same(first[node.name], second[node.name], node, thin) for node in thin.nodes)


def _same(one: Any, other: Any, node: Node, thin: Thinned) -> bool:
    """Whether two results agree at all channels but the first."""
    if not isinstance(one, torch.Tensor):
        return False
    if thin.size in node.shape:
        axis = node.shape.index(thin.size)
        if one.shape[axis] != thin.kept:
            return False
        one, other = (each.narrow(axis, 1, thin.kept - 1) for each in (one, other))
    return torch.equal(one, other)
