"""Slopes: d log q′ / d log q of an operation, by its rule for an operand changed a little."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from evenflow.errors import ActivationError, NoRuleError
from evenflow.graph.fluctuation.fluctuation import Fluctuation
from evenflow.graph.moments import Moments
from evenflow.graph.rules import RULES, Step
from evenflow.graph.rules.registry import Arriving

_STEP = 1e-3
"""Relative change of a second moment by which slopes are taken."""
_PRODUCTS = ("linear", "conv", "addmm", "matmul", "mm", "bmm", "baddbmm", "einsum", "bilinear")
CONTRACTIONS = (*_PRODUCTS, "lstm", "gru", "rnn")
"""Operations whose units are sums by weights of their own."""


def contracts(step: Step) -> bool:
    """Whether an operation's units are sums by weights of their own."""
    return step.node.op.startswith(CONTRACTIONS)


def mixes(step: Step, found: Mapping[str, Fluctuation]) -> bool:
    """Whether it is a sum by numbers that are the same in all draws: an adjacency, say."""
    names = [name for _, name in step.node.refs() if name in found]
    fixed = [found[name].fixed for name in names]
    weights = any(name in step.graph.parameters for name in names)
    return contracts(step) and not weights and any(fixed) and not all(fixed)


def sources(step: Step, found: Mapping[str, Fluctuation]) -> list[str]:
    """Values that the operation reads and that fluctuate, once each. The weights of a sum are its
    result's own part, and none of them."""
    left_out = step.graph.parameters if contracts(step) else {}
    names = dict.fromkeys(name for _, name in step.node.refs())
    return [n for n in names if n in found and n not in left_out and n in step.known]


def slope(step: Step, name: str, second: float) -> float:
    """Of one operand, the others held."""
    if second <= 0:
        return 0.0
    try:
        result = RULES[step.node.op].forward(moved(step, name))
    except (NoRuleError, ActivationError, KeyError):
        return 1.0
    first = result[0] if isinstance(result, tuple) else result
    return math.log(max(first.second, 1e-300) / second) / math.log1p(_STEP)


def slope_back(step: Step, name: str, operand: str, arriving: Arriving, second: float) -> float:
    """Of the gradient that is sent to ``name``, for one operand; 0 where it cannot be told."""
    back = sent(moved(step, operand), name, arriving)
    if back is None or back.second <= 0:
        return 0.0
    return math.log(back.second / second) / math.log1p(_STEP)


def moved(step: Step, name: str) -> Step:
    """With one operand of a slightly larger second moment."""
    factor = math.sqrt(1 + _STEP)
    return replace(step, known={**_few(step), name: step.known[name].scaled(factor)})


def by_rule(step: Step, second: float) -> float:
    """The second moment as the rule finds it from the operands alone, without what levels or
    weights that they have in common make of it."""
    with suppress(NoRuleError, ActivationError, KeyError):
        result = RULES[step.node.op].forward(replace(step, known=_few(step)))
        return (result[0] if isinstance(result, tuple) else result).second
    return second


def sent(step: Step, name: str, arriving: Arriving) -> Moments | None:
    """Gradient that the operation sends to one operand; None where its rule does not say."""
    try:
        return RULES[step.node.op].backward(step, arriving).get(name)
    except (NoRuleError, ActivationError, KeyError):
        return None


def together(slopes: Iterable[tuple[float, Fluctuation]]) -> tuple[float, float]:
    """Shift and variance of a sum of deviations that share their past, and so go together."""
    parts = list(slopes)
    width = sum(abs(slope) * math.sqrt(f.kernel) for slope, f in parts)
    return sum(slope * f.shift for slope, f in parts), width**2


def _few(step: Step) -> dict[str, Moments]:
    """The operands alone, so that a changed one does not copy everything that is known."""
    return {name: step.known[name] for _, name in step.node.refs() if name in step.known}
