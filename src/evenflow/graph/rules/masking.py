"""Choices by a mask: elements of one tensor where it is true, of another where it is not.

With M independent of both, E[x·x′] = E[MM′] aa′ + E[(1 − M)(1 − M′)] bb′ + 2 E[M(1 − M′)] m_a m_b.
Elements that get a number which hides from a softmax are marked as hidden instead.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evenflow.errors import NoRuleError
from evenflow.graph.algebra.layout import expanded
from evenflow.graph.moments import Moments
from evenflow.graph.numbers.constants import HIDING
from evenflow.graph.rules.registry import Cotangents, Step, register
from evenflow.graph.softmax.visible import complement


def _choice(operation: str, mask: str, true: str, false: str) -> None:
    """Where ``mask`` holds the argument ``true``, else ``false``."""

    def forward(step: Step) -> Moments:
        if _hides(step, false):
            return _marked(step, mask, true, hidden_by=True)
        if _hides(step, true):
            return _marked(step, mask, false, hidden_by=False)
        return _chosen(step.of(mask), step.of(true), step.of(false))

    def backward(step: Step, cotangent: Moments) -> Cotangents:
        if _hides(step, false) or _hides(step, true):  # no gradient comes back from what is hidden
            return step.total((true, cotangent), (false, cotangent))
        chosen = step.of(mask)
        return step.total((true, cotangent.times(chosen)), (false, cotangent.times(_not(chosen))))

    register(operation, forward=forward, backward=backward)


_choice("where", "condition", "input", "other")
_choice("masked_fill", "mask", "value", "input")


def _hides(step: Step, argument: str) -> bool:
    """Whether it is a number, or a tensor of one element, that no softmax sees."""
    value = step.node.arguments.get(argument)
    numbers = step.values(argument)
    if numbers is not None and numbers.size == 1:
        value = float(numbers.reshape(-1)[0])
    return isinstance(value, (int, float)) and value <= HIDING


def _marked(step: Step, mask: str, argument: str, *, hidden_by: bool) -> Moments:
    numbers = step.values(mask)
    if numbers is None:
        raise NoRuleError("elements are hidden by a mask that only the data knows")
    x = expanded(step.of(argument), step.node.shape)
    hidden = complement(numbers) if hidden_by else np.asarray(numbers, dtype=bool)
    if not hidden.any():
        return x
    return replace(x, hidden=hidden if x.hidden is None else hidden | x.hidden)


def _chosen(mask: Moments, a: Moments, b: Moments) -> Moments:
    left, right = mask.times(a), _not(mask).times(b)
    across = Moments(0.0, 2 * a.mean * b.mean * (mask.mean - mask.pairs), mask.axes)
    found = replace(left, mean=0.0).plus(replace(right, mean=0.0)).plus(across)
    return replace(found, mean=left.mean + right.mean)


def _not(mask: Moments) -> Moments:
    return replace(mask, mean=1 - mask.mean, pairs=1 - 2 * mask.mean + mask.pairs)
