"""The register of rules for levels: for each operation forwards and backwards, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field

from evenflow.graph.levels.levels import Levels
from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Arriving, Result, Step

Several = tuple[Levels | None, ...]
Found = Levels | Several | None


@dataclass(frozen=True)
class Use:
    """One operation: its step, and the levels of the values that it reads."""

    step: Step
    known: Mapping[str, Levels]
    several: Mapping[str, Several] = field(default_factory=dict)
    """Of each result of the operations that have several."""
    sent: Mapping[str, Moments] = field(default_factory=dict)
    """Backwards, the gradients that the operation's rule found, by value."""
    chances: MutableMapping[str, float] = field(default_factory=dict)
    """What ``softmax.chance`` has found so far."""

    def of(self, argument: str) -> Levels | None:
        """Levels of the tensor that an argument points to."""
        return self.known.get(self.step.name(argument))

    def sending(self, gradients: Mapping[str, Moments]) -> Use:
        """The same with the gradients that its rule found."""
        return Use(self.step, self.known, self.several, gradients, self.chances)


Forward = Callable[[Use, Result], Found]
"""From the Moments that the operation's rule found to the levels of its result."""
Backward = Callable[[Use, Arriving, Found], Mapping[str, Levels | None]]
"""From the Moments and levels of the arriving gradient to those of the gradients that are sent, by
the name of the value that each is of."""


@dataclass(frozen=True)
class LevelRule:
    """How levels pass an operation. One that makes them is asked even where there are none."""

    forward: Forward
    backward: Backward
    makes: bool = False


LEVEL_RULES: dict[str, LevelRule] = {}


def register(*operations: str, forward: Forward, backward: Backward, makes: bool = False) -> None:
    """Enter the rule of some operations."""
    for operation in operations:
        LEVEL_RULES[operation] = LevelRule(forward, backward, makes)


def forward(use: Use, result: Result) -> Found:
    """Levels of an operation's result, their mean what its Moments are to be multiplied with."""
    rule = LEVEL_RULES.get(use.step.node.op)
    if rule is None or not (rule.makes or _reads_levels(use)):
        return None
    return rule.forward(use, result)


def backward(
    use: Use, cotangent: Arriving, levels: Found, gradients: Mapping[str, Moments]
) -> dict[str, Levels]:
    """The same of the gradients that an operation sends back. A value that it reads twice gets
    none: what comes to it by one way is not independent of what comes by the other."""
    rule = LEVEL_RULES.get(use.step.node.op)
    arrive = any(each is not None for each in levels) if isinstance(levels, tuple) else levels
    if rule is None or not (rule.makes or arrive or _reads_levels(use)):
        return {}
    names = [name for _, name in use.step.node.refs()]
    sent = rule.backward(use.sending(gradients), cotangent, levels)
    return {n: each for n, each in sent.items() if each is not None and names.count(n) == 1}


def _reads_levels(use: Use) -> bool:
    return any(n in use.known or n in use.several for _, n in use.step.node.refs())


def one(moments: Arriving | Result) -> Moments:
    """Of an operation with a single result."""
    assert isinstance(moments, Moments)
    return moments
