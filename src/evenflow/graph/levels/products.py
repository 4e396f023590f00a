"""Levels of matrix products: rows of the left factor stay apart, and columns of the right one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from evenflow.graph.levels.levels import Levels, together
from evenflow.graph.levels.registry import Found, Use, one, register
from evenflow.graph.rules.registry import Arriving, Result

_ARGUMENTS = {"linear": ("weight", "input", "bias"), "addmm": ("mat2", "mat1", "input")}
"""Of each map its matrix, what it maps, and what is added."""


def _rows(levels: Levels | None, before: int, after: int) -> Levels | None:
    """Levels of rows of ``before`` elements that become rows of ``after``."""
    if levels is None or levels.inner % before:
        return None
    return replace(levels, inner=levels.inner // before * after)


def _linear(use: Use, result: Result) -> Levels | None:
    step, whole = use.step, one(result)
    matrix, source, added = _ARGUMENTS[step.node.op]
    rows = _rows(use.of(source), step.shape(source)[-1], step.node.shape[-1])
    if rows is None or whole.second <= 0 or len(step.shape(matrix)) != 2:
        return None
    bias = step.of(added).second / whole.second if step.has(added) else 0.0
    return together([(1 - bias, rows, whole), (bias, None, None)], step.node.shape)


def _linear_back(use: Use, _cotangent: Arriving, levels: Found) -> Mapping[str, Levels | None]:
    assert not isinstance(levels, tuple)
    step = use.step
    matrix, source, _ = _ARGUMENTS[step.node.op]
    if len(step.shape(matrix)) != 2:
        return {}
    columns, inner = step.node.shape[-1], step.shape(source)[-1]
    arrived = _rows(levels, columns, inner)
    read = use.of(source)
    mean = None
    if arrived is not None and read is not None and arrived.like(read):
        mean = Levels.of_factor(float((arrived.values * read.values).mean()))
    return {step.name(source): arrived, step.name(matrix): mean}


register(*_ARGUMENTS, forward=_linear, backward=_linear_back)
