"""Cross terms of gradients: what several uses of one weight send back to the same value.

The gradient of a value is the sum of what all its readers send. Where readers share weights, two of
these are not independent: E[Wᵀδ · Wᵀε] is n v E[δ·ε], and through an activation E[φ′φ′] times it.
Sums hand their gradient on unchanged, so they are looked through, to the maps behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from evenflow.graph.algebra.contract import contracted
from evenflow.graph.algebra.layout import gathered
from evenflow.graph.cross.forwards import (
    Cross,
    looked_through,
    made_again,
    operand,
    same_weight,
    summed_pairs,
    terms,
)
from evenflow.graph.graph import Node
from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Step

_DEEPEST = 400
"""Pairs of gradients that are followed; what is further away counts as independent."""


@dataclass(frozen=True)
class Sent:
    """What one operation sends back to one of its operands, times a number; with ``user`` None the
    gradient that arrives at an output."""

    factor: float
    user: Node | None
    to: str


@dataclass
class CrossBack:
    """Cross moments of a network's gradients, found as they are asked for."""

    cross: Cross
    gradients: Mapping[str, Moments]
    arriving: Callable[[str], Moments]
    """The gradient that arrives at an output."""
    found: dict[tuple[str, str], Moments | None] = field(default_factory=dict)
    left: int = _DEEPEST

    @property
    def step(self) -> Step:
        """Where the network's graph and Moments are had."""
        return self.cross.step

    def extra(self, name: str) -> Moments | None:
        """What the cross terms of all readers add to the gradient of a value; None if nothing."""
        users = self.step.graph.users(name)
        parts = [self._through_sums(Sent(1.0, user, name)) for user in users]
        if name in self.step.graph.outputs:
            parts.append([Sent(1.0, None, name)])
        found = None
        for place, each in enumerate(parts):
            for other in parts[:place]:
                found = _added(found, self._products(each, other))
        found = None if found is None else replace(found, pairs=2 * found.pairs)
        for user in users:
            found = _added(found, self._returned(user))
        return found

    def _returned(self, node: Node) -> Moments | None:
        """Of δ Wᵀφ′W, what comes back of δ: n v E[φ′] times it."""
        for reader in self._readers_behind(node):
            back = made_again(self.step, reader, node)
            if back is not None and reader.name in self.gradients:
                return self.gradients[reader.name].scaled(back)
        return None

    def _readers_behind(self, node: Node) -> tuple[Node, ...]:
        users = self.step.graph.users(node.name)
        behind = (self.step.graph.users(user.name) for user in users if user.activation is not None)
        return users + tuple(reader for each in behind for reader in each)

    def extra_of_parameters(self, weight: str) -> dict[str, Moments]:
        """The same of a weight, from the gradients and the inputs of every two uses; and of the
        biases that go with it."""
        found: dict[str, Moments] = {}
        users = [user for user in self.step.graph.users(weight) if user.op == "linear"]
        for place, each in enumerate(users):
            for other in users[:place]:
                arrived = self._of(each.name, other.name)
                if arrived is not None:
                    arrived = replace(arrived, mean=0.0, pairs=2 * arrived.pairs)
                    for name, moments in self._to_parameters(each, other, arrived):
                        found[name] = (
                            summed_pairs(found[name], moments) if name in found else moments
                        )
        return found

    def _to_parameters(
        self, one: Node, other: Node, arrived: Moments
    ) -> Iterator[tuple[str, Moments]]:
        first, second = (replace(self.step, node=node) for node in (one, other))
        read = self.cross.of(operand(other), operand(one))
        if read is not None:
            rows = "abcdefghij"[: len(read.axes) - 1]
            yield first.name("weight"), contracted(arrived, read, rows + "o", rows + "k", "ok")
        if first.has("bias") and first.name("bias") == second.name("bias"):
            yield first.name("bias"), gathered(arrived, first.of("bias"))

    def _through_sums(self, sent: Sent) -> list[Sent]:
        """What a sum sends back is what all its own readers send."""
        user = sent.user
        if user is None or not looked_through(user):
            return [sent]
        found = []
        for sign, term in terms(user):
            if term == sent.to:
                found += [
                    replace(each, factor=sent.factor * sign * each.factor)
                    for each in self._readers(user.name)
                ]
        return found

    def _readers(self, name: str) -> list[Sent]:
        graph = self.step.graph
        found = [Sent(1.0, None, name)] if name in graph.outputs else []
        for user in graph.users(name):
            found += self._through_sums(Sent(1.0, user, name))
        return found

    def _of(self, one: str, other: str) -> Moments | None:
        """E[δ·ε] of the gradients of two values."""
        if one == other:
            return self.gradients.get(one)
        key = min(one, other), max(one, other)
        if key not in self.found:
            self.left -= 1
            readers = (self._readers(one), self._readers(other))
            self.found[key] = self._products(*readers) if self.left > 0 else None
        return self.found[key]

    def _products(self, one: list[Sent], other: list[Sent]) -> Moments | None:
        found = None
        for first in one:
            for second in other:
                each = self._between(first, second)
                if each is not None:
                    factor = first.factor * second.factor
                    found = _added(found, replace(each, pairs=factor * each.pairs))
        return found

    def _between(self, one: Sent, other: Sent) -> Moments | None:
        if one.user is None or other.user is None:
            same = one.user is other.user and one.to == other.to
            return self.arriving(one.to) if same else None
        user, second = one.user, other.user
        if user.op != second.op or (user is second and one.to != other.to):
            return None
        arrived = self._of(user.name, second.name)
        if arrived is None:
            return None
        if same_weight(self.step, user, second):
            rows = "abcdefghij"[: len(arrived.axes) - 1]
            weight = replace(self.step, node=user).of("weight")
            return contracted(arrived, weight, rows + "o", "ok", rows + "k")
        if user.activation is not None and user.activation is second.activation:
            slopes = self.cross.slopes(user, second)
            if slopes is not None and slopes.shape == arrived.pairs.shape:
                return replace(arrived, pairs=slopes * arrived.pairs)
        return None


def _added(x: Moments | None, y: Moments | None) -> Moments | None:
    if x is None or y is None:
        return x if y is None else y
    return summed_pairs(x, y)
