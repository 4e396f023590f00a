"""Normalisation: take off a mean, divide by a standard deviation, then scale and shift.

The statistics are taken over k groups (examples for batch norm, units for the others) of p
positions each. A mean over them takes off what all have in common, ``low`` (s_B for batch norm, m²
for the others), the k-th part of what positions share beyond that, and the (k·p)-th of the rest:

    σ² = (s_T − low)(1 − 1/k) + (q − s_T)(1 − 1/(k p))

RMS norm takes off nothing and divides by q. Backwards a gradient passes times γ² E[1/σ²], less the
directions that normalising takes out of its k·p elements: two (mean and scale), one for RMS norm.
σ² is itself a mean over few elements: with ν degrees of freedom E[1/σ²] = ν/(ν − 2)/E[σ²], that of
an inverse chi-square, which all but makes up for the directions lost.

Weight norm is g·v/‖v‖: n elements of v get the length g, so each the second moment E[g²]/n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from evenflow.errors import NoRuleError
from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Cotangents, Step, register

_SMALLEST = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""What torch adds to the variance of an RMS norm whose eps is None."""


@dataclass(frozen=True)
class _Statistic:
    """What is taken off the input, and what it is divided by."""

    centred: Moments
    """Moments after the mean was taken off."""
    variance: float
    passed: float
    """Share of a gradient that is left, times E[σ²] E[1/σ²]."""


def _statistic(x: Moments, low: float, groups: int, positions: int) -> _Statistic:
    def centred(moment: float) -> float:
        shared, private = min(moment, x.shared_positions), max(moment - x.shared_positions, 0.0)
        return max(shared - low, 0.0) * (1 - 1 / groups) + private * (1 - 1 / (groups * positions))

    second = centred(x.second)
    examples, common = centred(x.shared_examples), centred(x.shared_positions)
    alike = (common / second) ** 2 if second else 0.0  # of pairs of positions in one group
    spread = 2 * alike / max(groups - 1, 1) + 2 * (1 - alike) / max(groups * positions - 1, 1)
    passed = _passed(2, groups * positions, spread)
    return _Statistic(Moments(0.0, second, examples, common), second, passed)


def _passed(directions: int, elements: int, spread: float) -> float:
    """What is left without ``directions``; ``spread`` = 2/ν is the relative variance of σ²."""
    return max(1 - directions / elements, 0.0) / (1 - min(spread, 0.5))


def _layer(step: Step) -> _Statistic:
    shape = step.node.arguments.get("normalized_shape")
    sizes = [s for s in shape if isinstance(s, int)] if isinstance(shape, tuple) else [1]
    units = sizes[0] if len(sizes) >= 3 else sizes[-1]  # images hold their channels first
    x = step.of("input")
    return _statistic(x, x.mean**2, units, prod(sizes) // units)


def _group(step: Step) -> _Statistic:
    _, channels, *places = step.shape("input")
    x = step.of("input")
    units = channels // int(step.number("num_groups"))
    return _statistic(x, x.mean**2, units, prod(places))


def _instance(step: Step) -> _Statistic:
    if not step.number("use_input_stats"):
        return _running(step)
    x = step.of("input")
    return _statistic(x, x.mean**2, 1, prod(step.shape("input")[2:]))


def _batch(step: Step) -> _Statistic:
    if step.has("running_var") and not step.number("training"):
        return _running(step)
    examples, _, *places = step.shape("input")
    x = step.of("input")
    return _statistic(x, x.shared_examples, examples, prod(places))


def _running(step: Step) -> _Statistic:
    """Statistics of earlier batches: their means are what this batch's channels share, too."""
    x, low = step.of("input"), step.of("running_mean").second
    centred = Moments(
        0.0 if low else x.mean,
        max(x.second - low, 0.0),
        max(x.shared_examples - low, 0.0),
        max(x.shared_positions - low, 0.0),
    )
    return _Statistic(centred, step.of("running_var").mean, 1.0)


def _mean_square(step: Step) -> _Statistic:
    x, shape = step.of("input"), step.node.arguments.get("normalized_shape")
    elements = prod(s for s in shape if isinstance(s, int)) if isinstance(shape, tuple) else 1
    constant = x.mean**2 / x.second if x.second else 0.0
    return _Statistic(x, x.second, _passed(1, elements, 2 * (1 - constant**2) / elements))


def _normalisation(operation: str, statistic: Callable[[Step], _Statistic]) -> None:
    def forward(step: Step) -> Moments:
        found = statistic(step)
        divided = found.centred.scaled(_divisor(step, found) ** -0.5)
        scale = step.of("weight") if step.has("weight") else Moments.constant(1.0)
        shift = step.of("bias") if step.has("bias") else Moments.constant(0.0)
        return divided.times(scale).plus(shift)

    def backward(step: Step, cotangent: float) -> Cotangents:
        found = statistic(step)
        divisor = _divisor(step, found)
        scale = step.of("weight").second if step.has("weight") else 1.0
        normalised = found.centred.second / divisor
        parameters = (("weight", normalised), ("bias", 1.0))
        return step.total(
            ("input", scale * found.passed * cotangent / divisor),
            *((a, step.copies(a) * each * cotangent) for a, each in parameters if step.has(a)),
        )

    register(operation, forward=forward, backward=backward)


def _divisor(step: Step, found: _Statistic) -> float:
    divisor = found.variance + step.number("eps", _SMALLEST.get(step.node.dtype, 0.0))
    if divisor <= 0:
        raise NoRuleError(f"{step.node.op!r} divides by a variance of zero")
    return divisor


_normalisation("batch_norm", _batch)
_normalisation("layer_norm", _layer)
_normalisation("group_norm", _group)
_normalisation("instance_norm", _instance)
_normalisation("rms_norm", _mean_square)


def _slice_of(step: Step) -> int:
    """Elements of v that one length g belongs to."""
    return prod(step.shape("v")) // max(prod(step.shape("g")), 1)


def _length(step: Step) -> float:
    """‖v‖², of one slice."""
    length = _slice_of(step) * step.of("v").second
    if length <= 0:
        raise NoRuleError("a weight is normalised by a length of zero")
    return length


def _weight_norm(step: Step) -> Moments:
    v, g, length = step.of("v"), step.of("g"), _length(step)
    return Moments.parameter(g.mean * v.mean * length**-0.5, g.second * v.second / length)


def _weight_norm_back(step: Step, cotangent: float) -> Cotangents:
    across = step.of("g").second / _length(step) * (1 - 1 / _slice_of(step))
    return step.total(("v", across * cotangent), ("g", cotangent))


register("_weight_norm", forward=_weight_norm, backward=_weight_norm_back)
