"""Element by element: activations, sums, products, dropout, and numbers out of nowhere."""

from __future__ import annotations

import math
from dataclasses import replace

from evenflow.errors import NoRuleError
from evenflow.graph.algebra.layout import expanded, gathered, reshaped, sliced
from evenflow.graph.algebra.through import law_through, lean_through, slopes, through
from evenflow.graph.cross.forwards import Cross, product
from evenflow.graph.laws.law import Law, hermite, mixed_law, summed_law
from evenflow.graph.laws.lean import Lean, of_term, turned
from evenflow.graph.moments import Moments
from evenflow.graph.rules.extremes import passed_by_extreme
from evenflow.graph.rules.normalise import products_of
from evenflow.graph.rules.registry import Cotangents, Step, kept, no_gradient, register
from evenflow.graph.rules.shape import scattered
from evenflow.theory.activations import Activation, find

_SAME = 1e-9
"""A variance below this share of the second moment is none."""


def _fused(step: Step) -> Activation:
    if step.node.activation is None:
        raise NoRuleError("a pointwise chain was not fused")
    return step.node.activation


def _sloped(step: Step, activation: Activation, cotangent: Moments) -> Moments:
    """φ′(z)·δ"""
    z = step.of("input")
    passed = slopes(z, activation, cotangent.lean)
    return cotangent.times(replace(z, mean=0.0, pairs=passed, spread=0.0))


def _activation_back(step: Step, cotangent: Moments) -> Cotangents:
    passed = passed_by_extreme(step)
    if passed is not None:
        return {step.name("input"): cotangent.times(passed)}
    return {step.name("input"): _sloped(step, _fused(step), cotangent)}


register(
    "activation",
    forward=lambda step: through(step.of("input"), _fused(step)),
    backward=_activation_back,
    law=lambda step: law_through(step.of("input"), _fused(step)),
    leans=lambda step, cotangent: {
        step.name("input"): lean_through(step.of("input"), _fused(step), cotangent.lean)
    },
    by_channel=True,
)


def _glu(step: Step) -> Moments:
    """a·σ(b), the input's halves along an axis."""
    value, gate = _halves(step)
    return value.times(through(gate, find("logistic")))


def _halves(step: Step) -> tuple[Moments, Moments]:
    axis = int(step.number("dim")) % len(step.node.shape)
    half = sliced(step.of("input"), axis, step.node.shape[axis])
    return half, half


def _glu_back(step: Step, cotangent: Moments) -> Cotangents:
    value, gate = _halves(step)
    axis = int(step.number("dim")) % len(step.node.shape)
    size = step.shape("input")[axis]
    slope = replace(gate, mean=0.0, pairs=slopes(gate, find("logistic")), spread=0.0)
    to_value = cotangent.times(through(gate, find("logistic")))
    to_gate = cotangent.times(value).times(slope)
    whole = scattered(to_value, axis, size).plus(scattered(to_gate, axis, size, size // 2))
    return {step.name("input"): whole}


register("glu", forward=_glu, backward=_glu_back)


def _prelu(step: Step) -> Activation:
    """At the mean of its learnt slopes."""
    return find("prelu", negative_slope=step.of("weight").mean)


def _prelu_forward(step: Step) -> Moments:
    """That of the mean slope, and as much again of the negative part as slopes vary."""
    z, varied = step.of("input"), step.of("weight").variance
    found, negative = through(z, _prelu(step)), through(z.scaled(-1), find("relu"))
    return replace(found, pairs=found.pairs + varied * negative.pairs)


def _prelu_back(step: Step, cotangent: Moments) -> Cotangents:
    z, varied = step.of("input"), step.of("weight").variance
    closed = slopes(z.scaled(-1), find("relu"))
    slope = replace(z, mean=0.0, pairs=slopes(z, _prelu(step)) + varied * closed, spread=0.0)
    found = {step.name("input"): cotangent.times(slope)}
    # A slope gathers z·δ wherever z is negative, from every element that it belongs to.
    gathers = cotangent.times(through(z.scaled(-1), find("relu")))
    weight = step.shape("weight")
    whole = Moments.independent(shape=(*weight, *(1,) * (len(z.axes) - 2)))
    return found | {step.name("weight"): reshaped(gathered(gathers, whole), weight)}


register(
    "prelu",
    forward=_prelu_forward,
    backward=_prelu_back,
    law=lambda step: law_through(step.of("input"), _prelu(step)),
)


def _sum(step: Step, of_input: float, of_other: float) -> Moments:
    if step.has("input") and step.name("input") == step.name("other"):
        return step.of("input").scaled(of_input + of_other)
    total = step.of("input").scaled(of_input).plus(step.of("other").scaled(of_other))
    return _with_common_weights(step, total, 2 * of_input * of_other)


def _with_common_weights(step: Step, total: Moments, factor: float) -> Moments:
    """With the cross terms of two tensors that the same weights have made."""
    if not step.graph.reused or not step.has("input") or not step.has("other"):
        return total
    cross = Cross(step).of(step.name("input"), step.name("other"))
    if cross is None or cross.pairs.shape != total.pairs.shape:
        return total
    means = step.of("input").mean * step.of("other").mean
    return replace(total, pairs=total.pairs + factor * (cross.pairs - means))


def _sum_back(step: Step, cotangent: Moments, of_input: float, of_other: float) -> Cotangents:
    if step.has("input") and step.name("input") == step.name("other"):
        return {step.name("input"): cotangent.scaled(of_input + of_other)}
    return step.total(("input", cotangent.scaled(of_input)), ("other", cotangent.scaled(of_other)))


def _law_of_sum(step: Step, of_input: float, of_other: float) -> Law | None:
    if step.has("input") and step.name("input") == step.name("other"):
        return step.of("input").law
    terms = (step.of("input").scaled(of_input), step.of("other").scaled(of_other))
    return summed_law(*((x.deviation, x.law) for x in terms))


def _leans_of_terms(
    step: Step, cotangent: Moments, of_input: float, of_other: float
) -> dict[str, Lean | None]:
    lean, shape = cotangent.lean, step.node.shape
    if lean is None or not step.has("input") or not step.has("other"):
        return {} if lean is None else {step.name(a): lean for a in ("input",) if step.has(a)}
    first, second = of_input * step.of("input").at_nodes, of_other * step.of("other").at_nodes
    total = step.known[step.node.name].at_nodes
    terms = (("input", first, second), ("other", second, first))
    return {
        step.name(argument): of_term(lean, total, term, rest)
        for argument, term, rest in terms
        if step.shape(argument) == shape
    }


register(
    "add",
    forward=lambda step: _sum(step, 1.0, step.number("alpha", 1.0)),
    backward=lambda step, cotangent: _sum_back(step, cotangent, 1.0, step.number("alpha", 1.0)),
    law=lambda step: _law_of_sum(step, 1.0, step.number("alpha", 1.0)),
    leans=lambda step, cotangent: _leans_of_terms(step, cotangent, 1.0, step.number("alpha", 1.0)),
)
register(
    "sub",
    forward=lambda step: _sum(step, 1.0, -step.number("alpha", 1.0)),
    backward=lambda step, cotangent: _sum_back(step, cotangent, 1.0, -step.number("alpha", 1.0)),
    law=lambda step: _law_of_sum(step, 1.0, -step.number("alpha", 1.0)),
    leans=lambda step, cotangent: _leans_of_terms(step, cotangent, 1.0, -step.number("alpha", 1.0)),
)
register(
    "rsub",
    forward=lambda step: _sum(step, -step.number("alpha", 1.0), 1.0),
    backward=lambda step, cotangent: _sum_back(step, cotangent, -step.number("alpha", 1.0), 1.0),
    law=lambda step: _law_of_sum(step, -step.number("alpha", 1.0), 1.0),
    leans=lambda step, cotangent: _leans_of_terms(step, cotangent, -step.number("alpha", 1.0), 1.0),
)


def _times(step: Step) -> Moments:
    x, y = step.of("input"), step.of("other")
    if step.graph.reused and step.has("input") and step.has("other"):
        cross = Cross(step).of(step.name("input"), step.name("other"))
        if cross is not None and cross.pairs.shape == x.times(y).pairs.shape:
            return product(x, y, cross)
    return x.times(y)


def _times_back(step: Step, cotangent: Moments) -> Cotangents:
    x, y = step.of("input"), step.of("other")
    if not step.has("input") or not step.has("other"):
        return step.total(("input", cotangent.times(y)), ("other", cotangent.times(x)))
    return step.total(
        ("input", products_of(cotangent, y, _lean_on_factor(step, cotangent, y, x))),
        ("other", products_of(cotangent, x, _lean_on_factor(step, cotangent, x, y))),
    )


def _lean_on_factor(step: Step, cotangent: Moments, factor: Moments, by: Moments) -> Lean | None:
    """As a term of their product that goes with the mean of the other; the rest is taken as
    normal."""
    whole = step.of_value(step.node.name)
    if cotangent.lean is None or not by.mean or not factor.deviation:
        return None
    term = by.mean * (factor.at_nodes - factor.mean)
    rest = math.sqrt(max(whole.variance - by.mean**2 * factor.variance, 0.0))
    return of_term(cotangent.lean, whole.at_nodes, term, whole.mean + rest * hermite()[0])


def _law_of_product(step: Step) -> Law | None:
    """That of one factor where the other is the same everywhere."""
    for x, factor in (
        (step.of(a), step.of(b)) for a, b in (("input", "other"), ("other", "input"))
    ):
        if x.law is not None and factor.variance <= _SAME * factor.second:
            return x.scaled(factor.mean).law
    return None


def _leans_of_product(step: Step, cotangent: Moments) -> dict[str, Lean | None]:
    """On a factor where the other is the same everywhere."""
    found: dict[str, Lean | None] = {}
    for argument, other in (("input", "other"), ("other", "input")):
        factor = step.of(other)
        if cotangent.lean is not None and factor.variance <= _SAME * factor.second:
            found[step.name(argument)] = turned(cotangent.lean, factor.mean)
    return found


register(
    "mul",
    forward=_times,
    backward=_times_back,
    law=_law_of_product,
    leans=_leans_of_product,
)


register(
    "neg",
    forward=lambda step: step.of("input").scaled(-1),
    backward=lambda step, cotangent: {step.name("input"): cotangent},
    law=lambda step: step.of("input").scaled(-1).law,
    leans=lambda step, cotangent: {step.name("input"): turned(cotangent.lean, -1.0)},
)


def _masks(step: Step, like: Moments, *, by_channel: bool) -> Moments | None:
    """Independent masks of mean 1, one for each element or for each channel; None if all is kept,
    the constant 0 if nothing is."""
    dropped = step.number("p")
    if not step.number("train") or dropped == 0:
        return None
    if dropped >= 1:
        return Moments.constant(0.0)
    shape = like.shape
    masked = (*shape[:2], *(1,) * (len(shape) - 2)) if by_channel else shape
    return Moments.independent(1.0, 1 / (1 - dropped), masked)


def _law_of_dropped(step: Step) -> Law | None:
    x, dropped = step.of("input"), step.number("p")
    if not step.number("train") or not 0 < dropped < 1:
        return x.law
    return mixed_law([(dropped, 0.0, 0.0, None), (1 - dropped, x.mean, x.deviation, x.law)])


def _dropout(operation: str, *, by_channel: bool) -> None:
    def dropped(step: Step, x: Moments) -> Moments:
        masks = _masks(step, x, by_channel=by_channel)
        return x if masks is None else x.times(masks)

    register(
        operation,
        forward=lambda step: dropped(step, step.of("input")),
        backward=lambda step, cotangent: {step.name("input"): dropped(step, cotangent)},
        law=_law_of_dropped,
    )


_dropout("dropout", by_channel=False)
_dropout("feature_dropout", by_channel=True)


def _constant(value: float, *operations: str) -> None:
    register(
        *operations,
        forward=lambda step: Moments.constant(value, step.node.shape),
        backward=no_gradient,
    )


_constant(0.0, "zeros", "zeros_like", "new_zeros")
_constant(1.0, "ones", "ones_like", "new_ones")
register(
    "full",
    "full_like",
    "new_full",
    forward=lambda step: expanded(step.of("fill_value"), step.node.shape),
    backward=no_gradient,
)
register("detach", forward=lambda step: step.of("input"), backward=no_gradient, law=kept)
