"""Softmax, its logarithm, and the logarithm of sums of exponentials (``softmax.attention``)."""

from __future__ import annotations

from collections.abc import Callable

from evenflow.errors import NoRuleError
from evenflow.graph.algebra.layout import expanded, reshaped
from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Cotangents, Step, register
from evenflow.graph.softmax.attention import (
    log_softmax,
    log_softmax_back,
    logsumexp,
    softmax,
    softmax_back,
)


def _axis(step: Step) -> int:
    return int(step.number("dim")) % max(len(step.shape("input")), 1)


def _along(
    forward: Callable[[Moments, int], Moments], backward: Callable[[Moments, Moments, int], Moments]
) -> Callable[..., None]:
    def enter(*operations: str) -> None:
        register(
            *operations,
            forward=lambda step: forward(step.of("input"), _axis(step)),
            backward=lambda step, cotangent: {
                step.name("input"): backward(step.of("input"), cotangent, _axis(step))
            },
        )

    return enter


_along(softmax, softmax_back)("softmax", "_softmax", "_safe_softmax")
_along(log_softmax, log_softmax_back)("log_softmax", "_log_softmax")


def _one_axis(step: Step) -> int:
    axes = step.axes("dim")
    if len(axes) != 1:
        raise NoRuleError(f"{step.node.op!r} over several axes")
    return axes[0]


def _logsumexp(step: Step) -> Moments:
    return reshaped(logsumexp(step.of("input"), _one_axis(step)), step.node.shape)


def _logsumexp_back(step: Step, cotangent: Moments) -> Cotangents:
    axis, shape = _one_axis(step), step.shape("input")
    kept = reshaped(cotangent, [1 if a == axis else n for a, n in enumerate(shape)])
    return {step.name("input"): expanded(kept, shape).times(softmax(step.of("input"), axis))}


register("logsumexp", forward=_logsumexp, backward=_logsumexp_back)
