"""The register of rules: for each operation its forward and its backward rule, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from evenflow.errors import NoRuleError
from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.moments import Moments

Cotangents = Mapping[str, float]
"""Second moment of the gradient with respect to each value, by the value's name."""


@dataclass(frozen=True)
class Step:
    """One operation about to be derived: the node, and the Moments of everything before it."""

    graph: Graph
    node: Node
    known: Mapping[str, Moments]

    def name(self, argument: str) -> str:
        """Name of the value that ``argument`` points to; "" where it is no tensor."""
        value = self.node.arguments.get(argument)
        return value.name if isinstance(value, Ref) else ""

    def has(self, argument: str) -> bool:
        """Whether ``argument`` is a tensor."""
        return self.name(argument) != ""

    def of(self, argument: str) -> Moments:
        """Moments of the tensor, or of the number, that ``argument`` is.

        Raises ``NoRuleError`` if it is neither, or a tensor of which only the user's data knows the
        values: indices, masks, anything that is not floating-point.
        """
        value = self.node.arguments.get(argument)
        if isinstance(value, Ref):
            if value.name not in self.known:
                raise NoRuleError(
                    f"{self.node.op!r} reads {value.name!r}, whose values are unknown"
                )
            return self.known[value.name]
        if isinstance(value, (bool, int, float)):
            return Moments.constant(float(value))
        raise NoRuleError(f"{self.node.op!r} has no number or tensor {argument!r}")

    def shape(self, argument: str) -> tuple[int, ...]:
        """Shape of the tensor that ``argument`` points to."""
        return self.graph.shape(self.name(argument))

    def total(self, *gradients: tuple[str, float]) -> Cotangents:
        """Gradients by argument → by value; one value may stand in for several arguments."""
        gathered: dict[str, float] = {}
        for argument, second in gradients:
            if self.has(argument):
                name = self.name(argument)
                gathered[name] = gathered.get(name, 0.0) + second
        return gathered

    def copies(self, argument: str) -> float:
        """How many elements of the result each element of a broadcast argument goes into."""
        return prod(self.node.shape) / max(prod(self.shape(argument)), 1)

    def number(self, argument: str, default: float = 0.0) -> float:
        """A plain number among the arguments."""
        value = self.node.arguments.get(argument)
        return float(value) if isinstance(value, (bool, int, float)) else default

    def numbers(self, argument: str, length: int, default: int = 1) -> tuple[int, ...]:
        """A number for each spatial axis, a single one repeated."""
        value = self.node.arguments.get(argument)
        if isinstance(value, (int, float)):
            return (int(value),) * length
        if isinstance(value, tuple) and value:
            given = tuple(int(v) for v in value if isinstance(v, (int, float)))
            return given * length if len(given) == 1 else given
        return (default,) * length


Forward = Callable[[Step], Moments]
Backward = Callable[[Step, float], Cotangents]


@dataclass(frozen=True)
class Rule:
    """How Moments pass an operation forwards, and gradients' second moments backwards.

    Either raises ``NoRuleError`` for a use of the operation that it does not cover.
    """

    forward: Forward
    backward: Backward


RULES: dict[str, Rule] = {}
"""By operation; filled by the family files of this folder."""


def register(*operations: str, forward: Forward, backward: Backward) -> None:
    """Enter the rule of some operations."""
    for operation in operations:
        RULES[operation] = Rule(forward, backward)
