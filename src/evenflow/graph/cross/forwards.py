"""Cross: E[a·b] of two values that the same weights have made.

Two uses of one weight are not independent. With W read at x and at y, E[Wx·Wy] is n v E[x·y] as for
one use, so a block that is used again and again adds what it has added before: in a sum of its
outputs the cross terms count. They follow from where the two values last had something in common:
through sums term by term, through activations by the correlation of what goes in (and, against
anything else, by Stein's E[φ(z) b] = E[φ′] E[z b]), back to a value that both are made of.

All of it is by where two elements differ, as Moments are. What is not covered counts as
independent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from evenflow.graph.algebra.contract import contracted
from evenflow.graph.algebra.through import across, mean_slope, slopes_across
from evenflow.graph.graph import Node, Ref
from evenflow.graph.moments import Array, Moments

if TYPE_CHECKING:  # the rules of sums import this file
    from evenflow.graph.rules.registry import Step

_SUMS = ("add", "sub")
_KEPT_APART = ("dropout", "to", "_to_copy", "clone", "contiguous", "alias")
_TRANSPOSES = ("t", "transpose", "numpy_T", "mT")
_DEEPEST = 200
"""Pairs of values that are followed for one sum; what is further away counts as independent."""


@dataclass
class Cross:
    """Cross moments of a network's values, found as they are asked for."""

    step: Step
    found: dict[tuple[str, str], Moments | None] = field(default_factory=dict)
    left: int = _DEEPEST

    def of(self, a: str, b: str) -> Moments | None:
        """E[a·b] with the layout of both; None where they have nothing but means in common."""
        key = (a, b) if self._place(a) <= self._place(b) else (b, a)
        if key not in self.found:
            self.left -= 1
            self.found[key] = self._between(*key) if self.left > 0 else None
        return self.found[key]

    def _place(self, name: str) -> int:
        return self.step.graph.place(name)

    def _between(self, earlier: str, later: str) -> Moments | None:
        known = self.step.known
        if earlier == later:
            return known.get(later)
        if earlier not in known or later not in known or not _alike(known[earlier], known[later]):
            return None
        node, other = self.step.graph.node(later), self.step.graph.node(earlier)
        if node is None:
            return None
        if looked_through(node):
            return self._over_terms(node, earlier)
        if other is not None and looked_through(other):
            return self._over_terms(other, later)
        if other is not None and same_weight(self.step, node, other):
            return self._mapped(node, other)
        return self._activated(node, other, earlier, later)

    def _over_terms(self, node: Node, other: str) -> Moments | None:
        found = None
        for sign, term in terms(node):
            each = self.of(term, other)
            if each is not None:
                each = replace(each, pairs=sign * each.pairs)
                found = each if found is None else summed_pairs(found, each)
        return found

    def _mapped(self, node: Node, other: Node) -> Moments | None:
        source = self.of(operand(other), operand(node)) or self._by_means(node, other)
        if source is None:
            return None
        use = replace(self.step, node=node)
        rows = "abcdefghij"[: len(source.axes) - 1]
        source = replace(source, mean=0.0)
        found = contracted(source, use.of("weight"), rows + "k", "ok", rows + "o")
        return found.plus(replace(use.of("bias"), mean=0.0)) if use.has("bias") else found

    def _by_means(self, node: Node, other: Node) -> Moments | None:
        """E[x]·E[y] of two maps' operands that are independent: the same weight makes it alike, and
        the same bias."""
        x, y = (self.step.known.get(operand(each)) for each in (other, node))
        if x is None or y is None or not _alike(x, y):
            return None
        return replace(x, pairs=np.full_like(x.pairs, x.mean * y.mean), spread=0.0)

    def _activated(
        self, node: Node, other: Node | None, earlier: str, later: str
    ) -> Moments | None:
        both = other is not None and node.activation is not None
        if both and other is not None and other.activation is node.activation:
            inner = self.of(operand(other), operand(node))
            return None if inner is None else self._curved(node, other, inner)
        for each, opposite in ((node, earlier), (other, later)):
            if each is None or each.activation is None:
                continue
            inner = self.of(operand(each), opposite)
            if inner is not None:
                return self._by_stein(each, opposite, inner)
        return None

    def _by_stein(self, node: Node, other: str, inner: Moments) -> Moments:
        z, behind, b = (self.step.known[n] for n in (operand(node), node.name, other))
        assert node.activation is not None
        steepness = mean_slope(z, node.activation)
        pairs = steepness * (inner.pairs - z.mean * b.mean) + behind.mean * b.mean
        return replace(inner, pairs=pairs)

    def _curved(self, node: Node, other: Node, inner: Moments) -> Moments:
        assert node.activation is not None
        z, y = self.step.known[operand(node)], self.step.known[operand(other)]
        return replace(inner, pairs=across(z, y, inner.pairs, node.activation))

    def slopes(self, node: Node, other: Node) -> Array | None:
        """E[φ′(z) φ′(y)] of two uses of an activation."""
        inner = self.of(operand(other), operand(node))
        if inner is None or node.activation is None:
            return None
        z, y = self.step.known[operand(node)], self.step.known[operand(other)]
        return slopes_across(z, y, inner.pairs, node.activation)


def product(x: Moments, y: Moments, crossed: Moments) -> Moments:
    """Of x·y for Gaussian tensors of E[x·y] = ``crossed``: E[x y x′y′] is the sum over the three
    ways to pair the four, less twice the product of their means (Isserlis 1918)."""
    found, own = x.times(y), crossed.second
    pairs = found.pairs + own**2 + crossed.pairs**2 - 2 * (x.mean * y.mean) ** 2
    return replace(found, mean=own, pairs=pairs)


def returned(step: Step) -> Moments | None:
    """What a weight brings back of what it has read before: Wᵀφ(Wx) holds n v E[φ′] x, for n rows.
    None where the weight has not made what it reads."""
    node = step.graph.node(operand(step.node))
    if node is not None and node.activation is not None:
        node = step.graph.node(operand(node))
    factor = None if node is None else made_again(step, step.node, node)
    return None if factor is None or node is None else step.known[operand(node)].scaled(factor)


def made_again(step: Step, reader: Node, maker: Node) -> float | None:
    """n v E[φ′], where ``reader`` maps by the transpose of the weight that ``maker`` maps by, with
    at most an activation φ between the two; else None."""
    by, first = replace(step, node=reader), replace(step, node=maker)
    weight = by.name("weight") or by.name("other") or by.name("mat2")
    turned = reader.op != "linear" or step.graph.node(weight) is not None
    if maker.op != "linear" or not turned or parameter_of(step, weight) != first.name("weight"):
        return None
    between = step.graph.node(operand(reader))
    steepness = 1.0
    if between is not None and between.activation is not None:
        steepness = mean_slope(step.known[maker.name], between.activation)
        between = step.graph.node(operand(between))
    if between is not maker:
        return None
    return first.shape("weight")[0] * first.of("weight").second * steepness


def parameter_of(step: Step, name: str) -> str:
    """The parameter that a value is the transpose of, or is; "" if it is of none."""
    node = step.graph.node(name)
    if node is not None and node.op in _TRANSPOSES:
        name = operand(node)
    return name if name in step.graph.parameters else ""


def operand(node: Node) -> str:
    """The value that an operation of one operand reads."""
    value = node.arguments.get("input")
    return value.name if isinstance(value, Ref) else ""


def looked_through(node: Node) -> bool:
    """Whether an operation is a sum of its operands, each times a number."""
    return node.op in _SUMS or node.op in _KEPT_APART or _by_number(node) is not None


def terms(node: Node) -> Iterator[tuple[float, str]]:
    """What such an operation sums, and what each is multiplied with."""
    if node.op not in _SUMS:
        yield _by_number(node) or 1.0, operand(node)
        return
    alpha = node.arguments.get("alpha", 1.0)
    factor = float(alpha) if isinstance(alpha, (int, float)) else 1.0
    for argument, sign in (("input", 1.0), ("other", factor * (-1 if node.op == "sub" else 1))):
        value = node.arguments.get(argument)
        if isinstance(value, Ref):
            yield sign, value.name


def _by_number(node: Node) -> float | None:
    """What a product with a number multiplies with; None for anything else."""
    number = node.arguments.get("other")
    if node.op == "neg":
        return -1.0
    if not isinstance(number, (int, float)) or not operand(node):
        return None
    return float(number) if node.op == "mul" else 1 / number if node.op == "div" else None


def same_weight(step: Step, one: Node, other: Node) -> bool:
    """Whether both are linear maps by the same weight."""
    if one.op != "linear" or other.op != "linear":
        return False
    first, second = (replace(step, node=node).name("weight") for node in (one, other))
    return first == second and first in step.graph.parameters


def summed_pairs(x: Moments, y: Moments) -> Moments:
    """Pairs of both together."""
    return replace(x, pairs=x.pairs + y.pairs) if _alike(x, y) else x


def _alike(x: Moments, y: Moments) -> bool:
    return x.shape == y.shape and x.pairs.shape == y.pairs.shape
