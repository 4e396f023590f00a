"""Element by element: activations, sums, products, dropout, and numbers out of nowhere."""

from __future__ import annotations

from evenflow.errors import NoRuleError
from evenflow.graph.moments import Moments
from evenflow.graph.rules.pooling import passed_by_maximum
from evenflow.graph.rules.registry import Cotangents, Step, register
from evenflow.theory.activations import Activation, find
from evenflow.theory.gain import Gain, gain


def _through(step: Step, activation: Activation) -> Moments:
    # z = shared Gaussian part + private part: m' = E φ, q' = E φ², s' = E_shared (E_private φ)².
    z, at = step.of("input"), _gain(step, activation)
    return Moments(at.mean, at.second, at.shared(z.shared_examples), at.shared(z.shared_positions))


def _gain(step: Step, activation: Activation) -> Gain:
    z = step.of("input")
    return gain(activation, q=z.second, mean=z.mean)


def _fused(step: Step) -> Activation:
    if step.node.activation is None:
        raise NoRuleError("a pointwise chain was not fused")
    return step.node.activation


def _activation_back(step: Step, cotangent: float) -> Cotangents:
    passed = passed_by_maximum(step)
    share = _gain(step, _fused(step)).backward if passed is None else passed
    return {step.name("input"): share * cotangent}


register(
    "activation",
    forward=lambda step: _through(step, _fused(step)),
    backward=_activation_back,
)


def _prelu(step: Step) -> Activation:
    """At the mean of its learnt slopes."""
    return find("prelu", negative_slope=step.of("weight").mean)


def _prelu_back(step: Step, cotangent: float) -> Cotangents:
    # A slope gathers z·δ wherever z is negative: half of q for a zero-mean Gaussian.
    negative = gain(find("relu"), q=step.of("input").second, mean=-step.of("input").mean).second
    return step.total(
        ("input", _gain(step, _prelu(step)).backward * cotangent),
        ("weight", step.copies("weight") * negative * cotangent),
    )


register("prelu", forward=lambda step: _through(step, _prelu(step)), backward=_prelu_back)


def _sum(step: Step, of_input: float, of_other: float) -> Moments:
    if step.name("input") == step.name("other"):
        return step.of("input").scaled(of_input + of_other)
    return step.of("input").scaled(of_input).plus(step.of("other").scaled(of_other))


def _sum_back(step: Step, cotangent: float, of_input: float, of_other: float) -> Cotangents:
    if step.name("input") == step.name("other"):
        return {step.name("input"): (of_input + of_other) ** 2 * cotangent}
    return _to_tensors(step, of_input**2 * cotangent, of_other**2 * cotangent)


def _to_tensors(step: Step, to_input: float, to_other: float) -> Cotangents:
    """Gradients of the tensors among the two; a broadcast one gathers from all its copies."""
    sides = (("input", to_input), ("other", to_other))
    return step.total(*((side, step.copies(side) * to) for side, to in sides if step.has(side)))


register(
    "add",
    forward=lambda step: _sum(step, 1.0, step.number("alpha", 1.0)),
    backward=lambda step, cotangent: _sum_back(step, cotangent, 1.0, step.number("alpha", 1.0)),
)
register(
    "sub",
    forward=lambda step: _sum(step, 1.0, -step.number("alpha", 1.0)),
    backward=lambda step, cotangent: _sum_back(step, cotangent, 1.0, -step.number("alpha", 1.0)),
)
register(
    "rsub",
    forward=lambda step: _sum(step, -step.number("alpha", 1.0), 1.0),
    backward=lambda step, cotangent: _sum_back(step, cotangent, -step.number("alpha", 1.0), 1.0),
)


def _times(step: Step) -> Moments:
    return step.of("input").times(step.of("other"))


def _times_back(step: Step, cotangent: float) -> Cotangents:
    x, y = step.of("input").second, step.of("other").second
    return _to_tensors(step, y * cotangent, x * cotangent)


register("mul", forward=_times, backward=_times_back)


def _divisor(step: Step) -> float:
    divisor = step.number("other")
    if step.has("other") or step.node.arguments.get("rounding_mode") or divisor == 0:
        raise NoRuleError("no rule for 'div' by anything but a number")
    return divisor


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
    """What independent masks of mean 1 do to a second moment."""
    dropped = step.number("p")
    if not step.number("train"):
        return 1.0
    return 1 / (1 - dropped) if dropped < 1 else 0.0


def _dropout(step: Step) -> Moments:
    # Masks are independent, so what examples or positions share is kept as it is.
    x, factor = step.of("input"), _dropout_gain(step)
    if factor == 0:
        return Moments.constant(0.0)
    return Moments(x.mean, x.second * factor, x.shared_examples, x.shared_positions)


def _channel_dropout(step: Step) -> Moments:
    # A channel is dropped at all positions of an example or at none.
    x, factor = step.of("input"), _dropout_gain(step)
    if factor == 0:
        return Moments.constant(0.0)
    return Moments(x.mean, x.second * factor, x.shared_examples, x.shared_positions * factor)


def _dropout_back(step: Step, cotangent: float) -> Cotangents:
    return {step.name("input"): _dropout_gain(step) * cotangent}


register("dropout", forward=_dropout, backward=_dropout_back)
register("feature_dropout", forward=_channel_dropout, backward=_dropout_back)


def _nothing_back(_step: Step, _cotangent: float) -> Cotangents:
    return {}


def _constant(value: float, *operations: str) -> None:
    register(*operations, forward=lambda _: Moments.constant(value), backward=_nothing_back)


_constant(0.0, "zeros", "zeros_like", "new_zeros")
_constant(1.0, "ones", "ones_like", "new_ones")
register(
    "full",
    "full_like",
    "new_full",
    forward=lambda step: step.of("fill_value"),
    backward=_nothing_back,
)
register("detach", forward=lambda step: step.of("input"), backward=_nothing_back)
