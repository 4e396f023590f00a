"""Passing: a rule applied with all that is known beside the Moments.

What a result is distributed like, how a gradient depends on its value and what either was joined
of hold only where the operation's rule says so. Here they are set, and any that came along with an
operand is taken off; operations that treat each channel alone are applied to each part of the
channels (``laws.joined``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from evenflow.graph.algebra.layout import sliced
from evenflow.graph.laws.joined import apart, joined, marked, with_parts
from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Arriving, Cotangents, Result, Rule, Step

CHANNELS = 1
"""The axis of them, wherever an operation treats each alone."""


def forwards(rule: Rule, step: Step) -> Result:
    """The rule's result, with its law and its parts."""
    steps = list(by_part(rule, step))
    if steps:
        return with_parts([_single(forwards(rule, each)) for each in steps], CHANNELS)
    result = rule.forward(step)
    if rule.joins:
        return result
    law = rule.law(replace(step, made=result))
    if isinstance(result, tuple):
        return tuple(marked(moments, law) for moments in result)
    return marked(result, law)


def backwards(rule: Rule, step: Step, arriving: Arriving) -> Cotangents:
    """The gradients that the rule sends, with their leans and their parts."""
    steps = list(by_part(rule, step))
    if steps:
        arrived = apart(_single(arriving), CHANNELS, [each.size for each in steps])
        sent = [backwards(rule, *each) for each in zip(steps, arrived, strict=True)]
        return {name: _together([each[name] for each in sent]) for name in sent[0]}
    gradients = rule.backward(step, arriving)
    if rule.joins:
        return gradients
    leans = {} if isinstance(arriving, tuple) else rule.leans(step, arriving)
    return {name: marked(each, lean=leans.get(name)) for name, each in gradients.items()}


def _together(gradients: list[Moments]) -> Moments:
    """Of the channels of a tensor, or of the parameter that has one number for each."""
    if len(gradients[0].axes) > CHANNELS:
        return with_parts(gradients, CHANNELS)
    return joined(gradients, 0)


def _single(result: Result | Arriving) -> Moments:
    assert isinstance(result, Moments)
    return result


@dataclass(frozen=True)
class Part(Step):
    """The operation as it is for one part of the channels."""

    index: int
    size: int
    whole: int

    def of_value(self, name: str) -> Moments:
        """Of the part; of a parameter with a number for each channel, those of the part."""
        x = super().of_value(name)
        if x.parts is not None:
            return x.parts.each[self.index]
        if x.shape == (self.whole,):
            return sliced(x, 0, self.size)
        return x

    def shape(self, argument: str) -> tuple[int, ...]:
        """As it is for the part."""
        return self.cut(super().shape(argument))

    def cut(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape of the whole, for this part."""
        if shape == (self.whole,):
            return (self.size,)
        return (*shape[:CHANNELS], self.size, *shape[CHANNELS + 1 :])


def by_part(rule: Rule, step: Step) -> Iterator[Part]:
    """The operation for each part of its input's channels; nothing if there is only one."""
    if not rule.by_channel or isinstance(step, Part):
        return
    parts = step.of("input").parts
    if parts is None or parts.axis != CHANNELS:
        return
    whole = step.shape("input")[CHANNELS]
    for index, part in enumerate(parts.each):
        size = part.shape[CHANNELS]
        given = step.graph, step.node, step.known, step.several
        own = Part(*given, index=index, size=size, whole=whole)
        yield replace(own, node=replace(step.node, shape=own.cut(step.node.shape)))
