"""Gated linear units: one half of the units times the logistic function of the other."""

from __future__ import annotations

from dataclasses import replace

from evenflow.graph.algebra.layout import sliced
from evenflow.graph.algebra.through import slopes, through
from evenflow.graph.moments import Moments
from evenflow.graph.rules.registry import Cotangents, Step, register
from evenflow.graph.rules.shape import scattered
from evenflow.theory.activations import find


def _halves(step: Step) -> tuple[Moments, int, int]:
    """Moments of either half, the axis that is cut, and its length."""
    axis = int(step.number("dim")) % len(step.shape("input"))
    size = step.shape("input")[axis]
    return sliced(step.of("input"), axis, size // 2), axis, size


def _forward(step: Step) -> Moments:
    half, _, _ = _halves(step)
    return half.times(through(half, find("logistic")))


def _backward(step: Step, cotangent: Moments) -> Cotangents:
    half, axis, size = _halves(step)
    logistic = find("logistic")
    slope = replace(half, mean=0.0, pairs=slopes(half, logistic), spread=0.0)
    to_value = cotangent.times(through(half, logistic))
    to_gate = cotangent.times(half).times(slope)
    first = scattered(to_value, axis, size)
    return {step.name("input"): first.plus(scattered(to_gate, axis, size, size // 2))}


register("glu", forward=_forward, backward=_backward)
