"""Levels of matrix products: rows of the left factor stay apart, and columns of the right one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from evenflow.graph.levels.levels import Levels, product, together
from evenflow.graph.levels.registry import Found, Use, one, register
from evenflow.graph.rules.registry import Arriving, Result


def _rows(levels: Levels | None, before: int, after: int) -> Levels | None:
    """Levels of rows of ``before`` elements that become rows of ``after``."""
    if levels is None or levels.inner % before:
        return None
    return replace(levels, inner=levels.inner // before * after)


def _linear(use: Use, result: Result) -> Levels | None:
    step, whole = use.step, one(result)
    matrix, source = ("mat2", "mat1") if step.node.op == "addmm" else ("weight", "input")
    rows = _rows(use.of(source), step.shape(source)[-1], step.node.shape[-1])
    added = "input" if matrix == "mat2" else "bias"
    if rows is None or whole.second <= 0 or len(step.shape(matrix)) != 2:
        return None
    bias = step.of(added).second / whole.second if step.has(added) else 0.0
    return together([(1 - bias, rows, whole), (bias, None, None)], step.node.shape)


def _linear_back(use: Use, _cotangent: Arriving, levels: Found) -> Mapping[str, Levels | None]:
    assert not isinstance(levels, tuple)
    step = use.step
    matrix, source = ("mat2", "mat1") if step.node.op == "addmm" else ("weight", "input")
    if len(step.shape(matrix)) != 2:
        return {}
    columns, inner = step.node.shape[-1], step.shape(source)[-1]
    arrived = _rows(levels, columns, inner)
    x = step.of(source)
    both = product([(arrived, x), (use.of(source), x)], step.shape(source))
    mean = None if both is None else Levels.of_factor(float(both.values.mean()))
    return {step.name(source): arrived, step.name(matrix): mean}


register("linear", "addmm", forward=_linear, backward=_linear_back)
