"""Normalisation: divide by the moments over the normalised axes, then scale and shift.

Batch norm divides by each channel's variance over examples and positions, q − s_B; layer, group
and instance norm by the variance over the units of one example; RMS norm by q. Backwards the
gradient passes times γ²/σ², less the two directions (mean and scale) that normalising projects
out of n elements: q_δ γ² (1 − 2/n) / σ² (1 − 1/n for RMS norm, which keeps the mean).
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Cotangents, Step, register


def _scale(step: Step) -> float:
    """E[γ²], 1 without a learnt scale."""
    return step.of("weight").second if step.has("weight") else 1.0


def _shift(step: Step) -> Moments:
    return step.of("bias") if step.has("bias") else Moments.constant(0.0)


def _normalised(step: Step, centre: float, variance: float) -> Moments:
    """Second moments less ``centre``, over ``variance``; then γ and β."""
    x = step.of("input")
    factor = _scale(step) / (variance + step.number("eps", 0.0))
    shift = _shift(step)
    return Moments(
        shift.mean,
        factor * max(x.second - centre, 0.0) + shift.second,
        factor * max(x.shared_examples - centre, 0.0) + shift.second,
        factor * max(x.shared_positions - centre, 0.0) + shift.second,
    )


def _back(step: Step, cotangent: float, variance: float, lost: float) -> Cotangents:
    eps = step.number("eps", 0.0)
    gathered = {
        step.name("input"): _scale(step) * (1 - lost) * cotangent / max(variance + eps, 1e-300)
    }
    for argument in ("weight", "bias"):
        if step.has(argument):
            uses = prod(step.node.shape) / max(prod(step.shape(argument)), 1)
            gathered[step.name(argument)] = uses * cotangent
    return gathered


def _batch_variance(step: Step) -> tuple[float, float, float]:
    """Centre, variance and share of directions lost."""
    x, shape = step.of("input"), step.shape("input")
    if step.number("training") or not step.has("running_var"):
        n = prod(shape) / shape[1]
        return x.shared_examples, x.second - x.shared_examples, 2 / n
    return 0.0, step.of("running_var").mean, 0.0


def _batch_norm(step: Step) -> Moments:
    centre, variance, _ = _batch_variance(step)
    return _normalised(step, centre, variance)


def _batch_norm_back(step: Step, cotangent: float) -> Cotangents:
    _, variance, lost = _batch_variance(step)
    return _back(step, cotangent, variance, lost)


register("batch_norm", forward=_batch_norm, backward=_batch_norm_back)


def _per_example(elements: Callable[[Step], int]) -> None:
    """Layer, group and instance norm differ in how many elements one statistic is taken over."""

    def variance(step: Step) -> tuple[float, float]:
        x, n = step.of("input"), elements(step)
        centre = x.mean**2 + x.variance / n  # the mean over n units of one example, squared
        return centre, x.second - centre

    def forward(step: Step) -> Moments:
        # What is taken off is the example's own mean, so m², the part common to all, goes whole.
        _, var = variance(step)
        moments = _normalised(step, step.of("input").mean ** 2, var)
        full = _scale(step) * var / (var + step.number("eps", 0.0)) + _shift(step).second
        return Moments(
            moments.mean,
            full,
            min(moments.shared_examples, full),
            min(moments.shared_positions, full),
        )

    def backward(step: Step, cotangent: float) -> Cotangents:
        return _back(step, cotangent, variance(step)[1], min(2 / elements(step), 1.0))

    names = _PER_EXAMPLE[elements]
    register(*names, forward=forward, backward=backward)


def _layer_elements(step: Step) -> int:
    shape = step.node.arguments.get("normalized_shape")
    return prod(s for s in shape if isinstance(s, int)) if isinstance(shape, tuple) else 1


def _group_elements(step: Step) -> int:
    shape = step.shape("input")
    return prod(shape[1:]) // int(step.number("num_groups", 1))


def _instance_elements(step: Step) -> int:
    return prod(step.shape("input")[2:])


_PER_EXAMPLE = {
    _layer_elements: ("layer_norm",),
    _group_elements: ("group_norm",),
    _instance_elements: ("instance_norm",),
}
for _elements in _PER_EXAMPLE:
    _per_example(_elements)


def _rms_norm(step: Step) -> Moments:
    return _normalised(step, 0.0, step.of("input").second)


def _rms_norm_back(step: Step, cotangent: float) -> Cotangents:
    return _back(step, cotangent, step.of("input").second, 1 / _layer_elements(step))


register("rms_norm", forward=_rms_norm, backward=_rms_norm_back)
