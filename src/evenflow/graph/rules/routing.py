"""Routing to experts: the largest of each row, and products with the weights of one expert each.

The largest k of n exchangeable values, taken as Gaussian around what the row has in common: a value
z is among them where fewer than k of the others are above it, which gives the mean a₁ and the
second moment a₂ of a standard normal one. Two rows choose alike as far as their values are alike.

A row that goes to one of E experts shares its weights with one row in E.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from evenflow.graph.algebra.contract import contracted
from evenflow.graph.moments import Array, Atom, Moments, aligned
from evenflow.graph.rules.registry import Cotangents, Step, register
from evenflow.graph.softmax.attention import apart, stacked


@lru_cache(maxsize=256)
def _largest(k: int, n: int) -> tuple[float, float]:
    """a₁ and a₂"""
    from scipy.special import bdtr, ndtr  # slow to import

    z = np.linspace(-9.0, 9.0, 1801)
    density = np.exp(-z * z / 2) * bdtr(k - 1, n - 1, 1 - ndtr(z)) if k < n else np.exp(-z * z / 2)
    density /= density.sum()
    return float(density @ z), float(density @ z**2)


class _Choice:
    """The largest k along an axis."""

    def __init__(self, step: Step) -> None:
        x = step.of("input")
        self.axis = int(step.number("dim", -1)) % len(x.axes)
        self.kept, self.size = step.node.shape[self.axis], x.shape[self.axis]
        self.sign = 1.0 if step.node.arguments.get("largest", True) else -1.0
        self.same, self.common = apart(x, self.axis)
        kappa = self.same.pairs - self.common.pairs
        self.variance = max(float(kappa.flat[0]), 0.0)
        self.alike = np.clip(kappa / max(self.variance, 1e-300), 0.0, 1.0)
        self.x = x

    def values(self) -> Moments:
        """Moments of what is chosen, its ranks taken as one."""
        first, second = _largest(self.kept, self.size)
        high = self.sign * self.variance**0.5 * first
        unlike = self.common.pairs + 2 * self.x.mean * high + high**2
        own = unlike + self.alike * self.variance * (second - first**2)
        found = Moments(self.x.mean + high, own, self.same.axes)
        if self.kept == 1:
            return found
        return stacked(found, unlike, self.axis, Atom(self.kept, "units"))

    def back(self, cotangent: Moments) -> Moments:
        """Only what was chosen gets a gradient."""
        k, n = self.kept, self.size
        same, other = apart(cotangent, self.axis)
        everything = replace(same, pairs=k * same.pairs + k * (k - 1) * other.pairs)
        alike = Moments(0.0, self.alike, self.same.axes)
        one, likeness, axes = aligned(same, alike)
        whole = aligned(everything, alike)[0]
        chosen = likeness * one * k / n + (1 - likeness) * whole / n**2
        found = Moments(0.0, chosen, axes)
        rest = (whole - n * chosen) / (n * max(n - 1, 1))
        return stacked(found, rest, self.axis, Atom(n, "units"))


def _topk(step: Step) -> tuple[Moments, ...]:
    found = _Choice(step).values()
    return found, Moments.constant(0.0, found.shape)  # indices have no Moments


def _topk_back(step: Step, cotangent: tuple[Moments | None, ...]) -> Cotangents:
    if cotangent[0] is None:
        return {}
    return {step.name("input"): _Choice(step).back(cotangent[0])}


register("topk", forward=_topk, backward=_topk_back)


def _of_rows(weights: Moments, rows: int) -> Moments:
    """(rows, in, out): each row's weights, those of one of all experts."""
    own, another = apart(weights, 0)
    share = 1 / weights.shape[0]
    other: Array = share * own.pairs + (1 - share) * another.pairs
    return stacked(own, other, 0, Atom(rows, "positions"))


def _grouped(step: Step) -> tuple[str, str]:
    """Names of the arguments: rows and weights."""
    return ("input", "weight") if step.has("weight") else ("input", "mat2")


def _grouped_product(step: Step) -> Moments:
    x, w = (step.of(name) for name in _grouped(step))
    return contracted(x, _of_rows(w, x.shape[0]), "rk", "rkn", "rn")


def _grouped_back(step: Step, cotangent: Moments) -> Cotangents:
    rows, weights = _grouped(step)
    x, w = step.of(rows), step.of(weights)
    count, experts = x.shape[0], w.shape[0]
    each = _of_rows(w, count)
    same, other = apart(contracted(cotangent, x, "rn", "rk", "rkn"), 0)
    chance = count * (count - 1) / experts
    own = replace(same, pairs=(count * same.pairs + chance * other.pairs) / experts)
    across = other.pairs * chance / experts
    return {
        step.name(rows): contracted(cotangent, each, "rn", "rkn", "rk"),
        step.name(weights): stacked(own, across, 0, Atom(experts, "units")),
    }


register(
    "_grouped_mm",
    "transformers.grouped_mm_fallback",
    forward=_grouped_product,
    backward=_grouped_back,
)
