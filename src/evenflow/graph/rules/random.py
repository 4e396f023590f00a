"""Random numbers that a network draws: noise, and masks that keep with a probability."""

from __future__ import annotations

import math

from evenflow.errors import NoRuleError
from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Step, no_gradient, register


def _drawn(mean: float, second: float, *operations: str) -> None:
    register(
        *operations,
        forward=lambda step: Moments.independent(mean, second, step.node.shape),
        backward=no_gradient,
    )


_drawn(0.5, 1 / 3, "rand", "rand_like")
_drawn(0.0, 1.0, "randn", "randn_like")
_drawn(0.0, 0.0, "empty", "empty_like", "new_empty")  # memory, until something is written to it


def _kept(step: Step, probability: float, least: float = 0.0) -> Moments:
    """``least``, and with some probability one more."""
    mean = least + probability
    second = least**2 + probability * (2 * least + 1)
    return Moments.independent(mean, second, step.node.shape)


def _bernoulli(step: Step) -> Moments:
    given = step.node.arguments.get("p")
    return _kept(step, step.of("input").mean if given is None else step.number("p"))


def _floor(step: Step) -> Moments:
    """Of a number plus a uniform one, as masks of whole examples are often drawn."""
    added = step.graph.node(step.name("input"))
    if added is not None and added.op == "add":
        drawn = next((n for _, n in added.refs()), "")
        source = step.graph.node(drawn)
        numbers = [v for k, v in added.arguments.items() if k in ("input", "other")]
        number = next((v for v in numbers if isinstance(v, (int, float))), None)
        if source is not None and source.op in ("rand", "rand_like") and number is not None:
            return _kept(step, number - math.floor(number), math.floor(number))
    raise NoRuleError("no rule for 'floor'")


register("bernoulli", forward=_bernoulli, backward=no_gradient)
register("floor", forward=_floor, backward=no_gradient)
