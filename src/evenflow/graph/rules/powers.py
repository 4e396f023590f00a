"""Roots, powers, logarithms and reciprocals of positive tensors (``algebra.powers``)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evenflow.errors import NoRuleError
from evenflow.graph.algebra.layout import dims_of, summed
from evenflow.graph.algebra.pairs import average
from evenflow.graph.algebra.powers import logarithm, power
from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Cotangents, Step, register


def _power(*operations: str, exponent: float) -> None:
    def backward(step: Step, cotangent: Moments) -> Cotangents:
        slope = power(step.of("input"), exponent - 1).scaled(exponent)
        return {step.name("input"): cotangent.times(slope)}

    register(
        *operations,
        forward=lambda step: power(step.of("input"), exponent),
        backward=backward,
    )


_power("sqrt", exponent=0.5)
_power("rsqrt", exponent=-0.5)
_power("reciprocal", exponent=-1.0)
_power("square", exponent=2.0)


def _exponent(step: Step) -> float:
    if not isinstance(step.node.arguments.get("exponent"), (int, float)):
        raise NoRuleError("no rule for 'pow' to a tensor")
    return step.number("exponent")


register(
    "pow",
    forward=lambda step: power(step.of("input"), _exponent(step)),
    backward=lambda step, cotangent: {
        step.name("input"): cotangent.times(
            power(step.of("input"), _exponent(step) - 1).scaled(_exponent(step))
        )
    },
)
register(
    "log",
    forward=lambda step: logarithm(step.of("input")),
    backward=lambda step, cotangent: {
        step.name("input"): cotangent.times(power(step.of("input"), -1.0))
    },
)


def _quotient(step: Step) -> Moments:
    if step.node.arguments.get("rounding_mode"):
        raise NoRuleError("no rule for 'div' that rounds")
    return step.of("input").times(_inverse(step.of("other"), 1.0))


def _quotient_back(step: Step, cotangent: Moments) -> Cotangents:
    y = step.of("other")
    axes = _own_sum(step)
    if axes:
        return _proportions_back(step, cotangent, axes)
    return step.total(
        ("input", cotangent.times(_inverse(y, 1.0))),
        ("other", cotangent.times(step.of("input")).times(_inverse(y, 2.0))),
    )


def _own_sum(step: Step) -> tuple[int, ...]:
    """The axes that a tensor is summed over, where it is divided by its own sum; else none."""
    divisor = step.graph.node(step.name("other"))
    if divisor is None or divisor.op != "sum":
        return ()
    sum_ = replace(step, node=divisor)
    return sum_.axes("dim") if sum_.name("input") == step.name("input") else ()


def _proportions_back(step: Step, cotangent: Moments, axes: tuple[int, ...]) -> Cotangents:
    """Of p = x/Σx: ∂x = (∂p − Σ p ∂p)/Σx, less than an independent divisor would let through.

    What comes to x by its sum takes away from the rest; as gradients of one value are added like
    independent ones, that is taken off from what comes directly.
    """
    p, inverse = step.of_value(step.node.name), _inverse(step.of("other"), 1.0)
    by_sum = summed(cotangent.times(p), axes, keep=True).times(inverse)
    common, count = cotangent.pairs, 1
    for axis in axes:
        for dim, atom in zip(dims_of(cotangent, axis), cotangent.axes[axis], strict=True):
            common = average(common, dim, atom.size)
            count *= atom.size
    apart = np.broadcast_to(cotangent.pairs, [max(n, 2) for n in cotangent.pairs.shape])
    direct = replace(cotangent, pairs=apart - 2 * count * p.mean * common).times(inverse)
    return step.total(("input", direct), ("other", by_sum))


def _inverse(y: Moments, exponent: float) -> Moments:
    """1/y^exponent, y a number of any sign or a positive tensor."""
    if y.second == 0:
        raise NoRuleError("'div' by zero")
    if y.variance <= 1e-12 * y.second:
        return Moments.constant(y.mean**-exponent)
    return power(y, -exponent)


register("div", forward=_quotient, backward=_quotient_back)
