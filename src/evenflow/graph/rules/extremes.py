"""The largest or smallest element along some axes: a maximum whose window is all of them.

As in pooling an increasing activation in front is taken inside, for max φ(z) = φ(max z); and the
smallest is min φ(z) = −max(−φ(z)).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from evenflow.errors import NoRuleError
from evenflow.graph.algebra.layout import permuted, reshaped
from evenflow.graph.algebra.taps import Reads
from evenflow.graph.moments import Moments
from evenflow.graph.rules.pooling import (
    Maximum,
    adaptive_reads,
    increasing_source,
    maximum,
    to_largest,
)
from evenflow.graph.rules.registry import Cotangents, Step, register
from evenflow.theory.activations import Activation, find

_OPERATIONS = ("max", "amax", "min", "amin")


@dataclass(frozen=True)
class _Extreme:
    """One use: the axes, which stand last here."""

    step: Step

    @property
    def axes(self) -> tuple[int, ...]:
        return tuple(sorted(self.step.axes("dim")))

    @property
    def order(self) -> list[int]:
        rank = len(self.step.shape("input"))
        return [axis for axis in range(rank) if axis not in self.axes] + list(self.axes)

    @property
    def windows(self) -> list[Reads]:
        return [adaptive_reads(1, self.step.shape("input")[axis]) for axis in self.axes]

    def source(self) -> tuple[Activation, Moments]:
        """φ and z, for the smallest none and the tensor with its sign changed."""
        if self.step.has("other"):
            raise NoRuleError(f"no rule for {self.step.node.op!r} of two tensors")
        activation, z = increasing_source(self.step)
        if "min" in self.step.node.op:
            activation, z = find("linear"), self.step.of("input").scaled(-1)
        if z.hidden is not None:
            raise NoRuleError(f"no rule for {self.step.node.op!r} of a masked tensor")
        return activation, permuted(z, self.order)

    def back(self, x: Moments) -> Moments:
        """Axes in the order of the input again."""
        order = self.order
        return permuted(x, [order.index(axis) for axis in range(len(order))])


def _forward(step: Step) -> Moments | tuple[Moments, ...]:
    use = _Extreme(step)
    activation, z = use.source()
    found = reshaped(use.back(maximum(z, use.windows, activation)), step.node.shape)
    found = found.scaled(-1) if "min" in step.node.op else found
    if not step.node.shapes:
        return found
    return found, Moments.constant(0.0, found.shape)  # indices have no Moments


def _backward(step: Step, cotangent: Moments | tuple[Moments | None, ...]) -> Cotangents:
    arrived = cotangent[0] if isinstance(cotangent, tuple) else cotangent
    if arrived is None:
        return {}
    use, shape = _Extreme(step), step.shape("input")
    kept = reshaped(arrived, [1 if axis in use.axes else n for axis, n in enumerate(shape)])
    share = 1 / max(prod(shape[axis] for axis in use.axes), 1)
    found = to_largest(permuted(kept, use.order), use.windows, share)
    return {step.name("input"): use.back(found)}


register(*_OPERATIONS, forward=_forward, backward=_backward)


def passed_by_extreme(step: Step) -> Moments | None:
    """φ′ at the largest alone, where nothing else reads an increasing φ; else None."""
    users = step.graph.users(step.node.name)
    if (
        len(users) != 1
        or users[0].op not in ("max", "amax")
        or step.node.name in step.graph.outputs
    ):
        return None
    use = _Extreme(replace(step, node=users[0]))
    activation, z = use.source()
    if activation is not step.node.activation:
        return None
    largest = Maximum(z, use.windows, activation)
    pairs = largest.pairs(activation.derivative(largest.values), z)
    return use.back(replace(z, mean=0.0, pairs=pairs, spread=0.0))
