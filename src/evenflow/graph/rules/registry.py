"""The register of rules: for each operation its forward and its backward rule, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from evenflow.errors import NoRuleError
from evenflow.graph.algebra.layout import gathered
from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.laws.drawn import with_term
from evenflow.graph.laws.law import Law
from evenflow.graph.laws.lean import Lean
from evenflow.graph.moments import Moments

Result = Moments | tuple[Moments, ...]
"""Of an operation with one result, or with several."""
Cotangents = Mapping[str, Moments]
"""Moments of the gradient with respect to each value, by the value's name."""
Arriving = Moments | tuple[Moments | None, ...]
"""Gradients of an operation's result or results; None for one that nothing reads."""


@dataclass(frozen=True)
class Step:
    """One operation about to be derived: the node, and the Moments of everything before it."""

    graph: Graph
    node: Node
    known: Mapping[str, Moments]
    several: Mapping[str, tuple[Moments, ...]]
    """Moments of each result of the operations that have several."""
    made: Result | None = field(default=None, kw_only=True)
    """The result, once the rule has told its Moments and is asked for its law."""

    def name(self, argument: str) -> str:
        """Name of the value that ``argument`` points to; "" where it is no tensor."""
        value = self.node.arguments.get(argument)
        return value.name if isinstance(value, Ref) else ""

    def names(self, argument: str) -> list[str]:
        """Names of the values in a list of tensors."""
        value = self.node.arguments.get(argument)
        return [r.name for r in value if isinstance(r, Ref)] if isinstance(value, tuple) else []

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
            return self.of_value(value.name)
        if isinstance(value, (bool, int, float)):
            return Moments.constant(float(value))
        raise NoRuleError(f"{self.node.op!r} has no number or tensor {argument!r}")

    def of_value(self, name: str) -> Moments:
        """Moments of a value by name; ``NoRuleError`` where they are unknown."""
        if name not in self.known:
            raise NoRuleError(f"{self.node.op!r} reads {name!r}, whose values are unknown")
        return self.known[name]

    def values(self, argument: str) -> npt.NDArray[Any] | None:
        """The very numbers of a tensor that follows from the code alone: a mask, a position."""
        return self.graph.values.get(self.name(argument))

    def shape(self, argument: str) -> tuple[int, ...]:
        """Shape of the tensor that ``argument`` points to."""
        return self.graph.shape(self.name(argument))

    def total(self, *gradients: tuple[str, Moments]) -> Cotangents:
        """Gradients by argument → by value; one value may stand in for several arguments.

        A gradient of the broadcast shape is summed over the copies.
        """
        found: dict[str, Moments] = {}
        for argument, gradient in gradients:
            if self.has(argument):
                name = self.name(argument)
                own = gathered(gradient, self.of(argument))
                found[name] = found[name].plus(own) if name in found else own
        return found

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

    def axes(self, argument: str, of: str = "input") -> tuple[int, ...]:
        """Axes of the tensor ``of`` that ``argument`` names, counted from 0; all if it is None."""
        rank = len(self.shape(of))
        given = self.node.arguments.get(argument)
        if isinstance(given, int):
            given = (given,)
        chosen = given if isinstance(given, tuple) and given else tuple(range(rank))
        return tuple(int(a) % max(rank, 1) for a in chosen if isinstance(a, int))


Forward = Callable[[Step], Result]
Backward = Callable[[Step, Any], Cotangents]
LawOf = Callable[[Step], Law | None]
Leans = Mapping[str, Lean | None]
LeansOf = Callable[[Step, Moments], Leans]
"""By value, as Cotangents are."""


def unleaning(_step: Step, _cotangent: Moments) -> Leans:
    """Of an operation whose gradients come down through weights, or of which nothing is known."""
    return {}


def normal(_step: Step) -> Law | None:
    """Of an operation whose results are sums of many terms, or of which nothing is known."""
    return None


@dataclass(frozen=True)
class Rule:
    """How Moments pass an operation forwards, and those of gradients backwards.

    Either raises ``NoRuleError`` for a use of the operation that it does not cover.
    """

    forward: Forward
    backward: Backward
    law: LawOf = normal
    """How the elements of the result, or of each result, are distributed."""
    leans: LeansOf = unleaning
    """How the gradient of each operand depends on the operand; of an operation of one result."""
    by_channel: bool = False
    """Whether each channel is treated alone, so that parts of the channels can be."""
    joins: bool = False
    """Whether forwards and backwards tell laws, leans and parts by themselves."""


RULES: dict[str, Rule] = {}
"""By operation; filled by the family files of this folder."""


def kept(step: Step) -> Law | None:
    """Of an operation that moves the elements of its input, or gives all the same scale."""
    return step.of("input").law


def law_with(step: Step, argument: str, factor: float = 1.0) -> Law | None:
    """Of a sum of many terms and ``factor`` times an operand that has a law of its own."""
    if not step.has(argument) or not isinstance(step.made, Moments):
        return None
    term = step.of(argument).scaled(factor)
    return with_term(step.made.variance, term.law, term.variance)


def leaning(step: Step, cotangent: Moments) -> Leans:
    """Of an operation whose result has the law of its input, at the same nodes."""
    return {step.name("input"): cotangent.lean}


def register(
    *operations: str,
    forward: Forward,
    backward: Backward,
    law: LawOf = normal,
    leans: LeansOf = unleaning,
    by_channel: bool = False,
    joins: bool = False,
) -> None:
    """Enter the rule of some operations; ``backward`` gets the gradient's Moments, or for an
    operation of several results a tuple of them, None for a result that nothing reads."""
    for operation in operations:
        RULES[operation] = Rule(forward, backward, law, leans, by_channel, joins)


def no_gradient(_step: Step, _cotangent: Arriving) -> Cotangents:
    """Of an operation that no gradient passes."""
    return {}
