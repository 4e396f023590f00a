"""Levels of recurrent layers: moments of time, and layers among the last states.

The rule of recurrent layers knows every two moments apart, and each layer's last state. A gradient
that arrives at some moments alone, or at the last layer's state alone, is run back as such.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evenflow.graph.levels.levels import Levels, kernel_of
from evenflow.graph.levels.registry import Found, Several, Use, register
from evenflow.graph.moments import Array, Moments
from evenflow.graph.recurrent.cells import CELLS
from evenflow.graph.recurrent.sequences import lags_of, sequence
from evenflow.graph.rules.recurrent import Stack, sent_back, stack_of
from evenflow.graph.rules.registry import Arriving, Result


def _told(stack: Stack, x: Moments, levels: Levels | None, shape: tuple[int, ...]) -> Array | None:
    """E[x·x′] of every two moments of the same example, where levels tell more than Moments."""
    axis = stack.time_axis
    if levels is None or axis is None or stack.steps < stack.length or levels.axis(shape) != axis:
        return None
    kernel = kernel_of(x, levels, levels, shape)
    return None if kernel is None else x.second * kernel


def _run(use: Use, result: Result) -> Several:
    stack = stack_of(use.step)
    moments = result if isinstance(result, tuple) else (result,)
    x = use.step.of("input")
    told = _told(stack, x, use.of("input"), use.step.shape("input"))
    run = stack
    if told is not None:
        run = Stack(use.step, np.stack([told, stack.levels[0][0].source[1]]))
    states = [_by_layer(run.last(place), state) for place, state in enumerate(moments[1:])]
    return (_by_moment(run, moments[0]), *states)


def _by_moment(stack: Stack, output: Moments) -> Levels | None:
    if stack.time_axis is None or stack.steps < stack.length or stack.length < 2:
        return None
    kernel = stack.output[0] / max(output.second, 1e-300)
    return Levels.along(np.diagonal(kernel), stack.time_axis, output.shape, kernel)


def _by_layer(seconds: Array, state: Moments) -> Levels | None:
    if seconds.size < 2 or state.second <= 0:
        return None
    return Levels.along(seconds / state.second, 0, state.shape)


def _run_back(use: Use, cotangent: Arriving, levels: Found) -> Mapping[str, Levels | None]:
    step, stack = use.step, stack_of(use.step)
    several = cotangent if isinstance(cotangent, tuple) else (cotangent,)
    known = levels if isinstance(levels, tuple) else (levels,)
    if all(each is None for each in known):
        return {}
    arriving = np.zeros((2, stack.steps, stack.steps))
    if several[0] is not None:
        output = several[0]
        arriving = sequence(lags_of(output, stack.batch_axis, stack.time_axis), stack.steps)
        told = _told(stack, output, known[0], output.shape)
        if told is not None:  # of two examples in the same proportion
            arriving = np.stack([told, told * arriving[1] / np.where(arriving[0], arriving[0], 1)])
    parts = sum(len(level) for level in stack.levels)
    final = [_final(c, each, parts) for c, each in zip(several[1:], known[1:], strict=True)]
    found, kernel = sent_back(stack, arriving, np.stack(final, axis=1))
    sent = {
        name: Levels.of_factor(each.second / use.sent[name].second)
        for name, each in found.items()
        if name in use.sent and use.sent[name].second > 0
    }
    by_rule = use.sent.get(step.name("input"))
    if by_rule is not None and by_rule.second > 0:
        sent[step.name("input")] = _by_moment_back(stack, kernel[0] / by_rule.second, by_rule)
    return sent


def _by_moment_back(stack: Stack, kernel: Array, by_rule: Moments) -> Levels:
    if stack.time_axis is None or stack.steps < stack.length or stack.length < 2:
        return Levels.of_factor(float(np.diagonal(kernel).mean()))
    return Levels.along(np.diagonal(kernel), stack.time_axis, by_rule.shape, kernel)


def _final(state: Moments | None, levels: Levels | None, parts: int) -> Array:
    """Of each layer and direction, (same example or another)."""
    if state is None:
        return np.zeros((parts, 2))
    here = levels is not None and levels.axis(state.shape) == 0
    values = levels.values if levels is not None and here else np.ones(parts)
    return np.outer(values, [state.second, state.shared_examples])


register(*CELLS, forward=_run, backward=_run_back, makes=True)
