"""Element by element: activations, sums, products, dropout, and numbers out of nowhere."""

from __future__ import annotations

from math import prod

from evenflow.errors import NoRuleError
from evenflow.graph.moments import Moments
from evenflow.graph.rules.pooling import passed_by_maximum
from evenflow.graph.rules.registry import Cotangents, Step, register
from evenflow.theory.gain import Gain, gain


def _gain(step: Step) -> Gain:
    activation = step.node.activation
    if activation is None:
        raise NoRuleError("a pointwise chain was not fused", where=step.node.name)
    z = step.of("input")
    return gain(activation, q=z.second, mean=z.mean)


def _activation(step: Step) -> Moments:
    # z = shared Gaussian part + private part: m' = E φ, q' = E φ², s' = E_shared (E_private φ)².
    z, at = step.of("input"), _gain(step)
    return Moments(at.mean, at.second, at.shared(z.shared_examples), at.shared(z.shared_positions))


def _activation_back(step: Step, cotangent: float) -> Cotangents:
    passed = passed_by_maximum(step)
    share = _gain(step).backward if passed is None else passed
    return {step.name("input"): share * cotangent}


register("activation", forward=_activation, backward=_activation_back)


def _sum(step: Step, sign: float = 1.0) -> Moments:
    alpha = sign * step.number("alpha", 1.0)
    if step.has("other") and step.name("input") == step.name("other"):
        return step.of("input").scaled(1 + alpha)
    return step.of("input").plus(step.of("other").scaled(alpha))


def _sum_back(step: Step, cotangent: float) -> Cotangents:
    alpha = step.number("alpha", 1.0)
    if step.has("other") and step.name("input") == step.name("other"):
        return {step.name("input"): (1 + alpha) ** 2 * cotangent}
    shares = {"input": cotangent, "other": alpha**2 * cotangent}
    return _to_tensors(step, shares)


def _to_tensors(step: Step, shares: dict[str, float]) -> Cotangents:
    """Gradients of the tensor arguments; a broadcast one gathers from all its copies."""
    return {
        step.name(side): share * prod(step.node.shape) / max(prod(step.shape(side)), 1)
        for side, share in shares.items()
        if step.has(side)
    }


register("add", forward=_sum, backward=_sum_back)
register("sub", forward=lambda step: _sum(step, -1.0), backward=_sum_back)


def _times(step: Step) -> Moments:
    return step.of("input").times(step.of("other"))


def _times_back(step: Step, cotangent: float) -> Cotangents:
    return _to_tensors(
        step,
        {
            "input": step.of("other").second * cotangent,
            "other": step.of("input").second * cotangent,
        },
    )


register("mul", forward=_times, backward=_times_back)


def _divisor(step: Step) -> float:
    if step.has("other"):
        raise NoRuleError("division by a tensor has no rule", where=step.node.name)
    return step.number("other")


register(
    "div",
    forward=lambda step: step.of("input").scaled(1 / _divisor(step)),
    backward=lambda step, cotangent: {step.name("input"): cotangent / _divisor(step) ** 2},
)


register(
    "neg",
    forward=lambda step: step.of("input").scaled(-1),
    backward=lambda step, cotangent: {step.name("input"): cotangent},
)


def _dropout_gain(step: Step) -> float:
    return 1 / (1 - step.number("p")) if step.number("train") else 1.0


def _dropout(step: Step) -> Moments:
    # Masks are independent, so what examples or positions share is kept as it is.
    x = step.of("input")
    return Moments(x.mean, x.second * _dropout_gain(step), x.shared_examples, x.shared_positions)


register(
    "dropout",
    "feature_dropout",
    forward=_dropout,
    backward=lambda step, cotangent: {step.name("input"): _dropout_gain(step) * cotangent},
)


def _nothing_back(_step: Step, _cotangent: float) -> Cotangents:
    return {}


for _names, _value in (
    (("zeros", "zeros_like", "new_zeros"), 0.0),
    (("ones", "ones_like", "new_ones"), 1.0),
):
    register(
        *_names,
        forward=lambda _step, value=_value: Moments.constant(value),  # type: ignore[misc]
        backward=_nothing_back,
    )
register(
    "full",
    "full_like",
    forward=lambda step: Moments.constant(step.number("fill_value")),
    backward=_nothing_back,
)
