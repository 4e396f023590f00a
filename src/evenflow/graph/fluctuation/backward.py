"""Fluctuations of gradients, against execution order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from evenflow.graph.algebra.through import slope_pairs, slopes
from evenflow.graph.fluctuation.fluctuation import Fluctuation
from evenflow.graph.fluctuation.forward import COPIES, SUMS, window_of
from evenflow.graph.fluctuation.known import Known
from evenflow.graph.fluctuation.scatter import (
    mean_pair,
    mixed,
    not_normal,
    scatter,
    seen_alike,
    told,
    weighed,
    windows,
)
from evenflow.graph.fluctuation.slopes import contracts, mixes, sent, slope_back, sources
from evenflow.graph.graph import Node
from evenflow.graph.moments import Moments
from evenflow.graph.rules import Step
from evenflow.graph.rules.attention import Attention
from evenflow.graph.rules.shape import ORDER_ONLY, PARTS
from evenflow.graph.softmax.visible import everything, visible

NORMS = ("layer_norm", "rms_norm", "batch_norm", "group_norm", "instance_norm", "standardise")
"""Operations that divide by the size of what they read."""
_PASSES = ORDER_ONLY | {"add", "sub"}
_JOINS = ("cat", "concat", "stack", "hstack")


def backwards(known: Known, ahead: Mapping[str, Fluctuation]) -> dict[str, Fluctuation]:
    """Of the gradient of every value that has one; the cotangents at the outputs are given.

    ``ahead`` are the fluctuations of the values.
    """
    found: dict[str, Fluctuation] = {}
    for node in reversed(known.graph.nodes):
        if node.name in known.gradients or known.arriving(node) is not None:
            found[node.name] = _gathered(known, node, found, ahead)
    return {name: f for name, f in found.items() if name in known.gradients}


def _gathered(
    known: Known, node: Node, found: Mapping[str, Fluctuation], ahead: Mapping[str, Fluctuation]
) -> Fluctuation:
    """Of a sum of gradients that all users of a value send back, and of its own cotangent."""
    users = [user for user in known.graph.users(node.name) if user.name in found]
    arriving = [
        _Sent(known, known.step(user), node.name, found[user.name], ahead).fluctuation()
        for user in users
    ]
    total = sum(share for share, _ in arriving)
    gradient = known.gradients.get(node.name)
    if node.name in known.graph.outputs and gradient is not None:
        own = scatter(gradient)
        arriving.append((max(gradient.second - total, 0.0), Fluctuation(own=own)))
    elif gradient is not None:
        arriving = _as_large(arriving, [user.op in _PASSES for user in users], gradient.second)
    total = sum(share for share, _ in arriving)
    total = total or 1.0
    return Fluctuation(
        sum(share * f.shift for share, f in arriving) / total,
        (sum(share * math.sqrt(f.kernel) for share, f in arriving) / total) ** 2,
        sum((share / total) ** 2 * f.own for share, f in arriving),
        min(sum(share * f.chance for share, f in arriving) / total, 1.0),
    )


def _as_large(
    arriving: list[tuple[float, Fluctuation]], exact: list[bool], second: float
) -> list[tuple[float, Fluctuation]]:
    """Shares such that they add up: those of rules that know nothing of levels make up the rest."""
    passed = sum(share for (share, _), known in zip(arriving, exact, strict=True) if known)
    others = sum(share for share, _ in arriving) - passed
    factor = (second - passed) / others if others > 0 and second > passed else 1.0
    return [
        (share if known else share * factor, f)
        for (share, f), known in zip(arriving, exact, strict=True)
    ]


def _named(gradient: Moments, value: Moments | None) -> Moments:
    """With what the value's axes stand for: a product's other operand may call them otherwise."""
    sizes = [[atom.size for atom in axis] for axis in gradient.axes]
    if value is None or sizes != [[atom.size for atom in axis] for axis in value.axes]:
        return gradient
    return replace(gradient, axes=value.axes)


class _Sent:
    """What one user sends back to one of its operands."""

    def __init__(
        self,
        known: Known,
        step: Step,
        name: str,
        after: Fluctuation,
        ahead: Mapping[str, Fluctuation],
    ) -> None:
        self.known, self.step, self.name = known, step, name
        self.after, self.ahead = after, ahead
        arriving = known.arriving(step.node)
        assert arriving is not None  # the user's own fluctuation was found
        self.arriving = arriving
        parts = arriving if isinstance(arriving, tuple) else (arriving,)
        gradient = next(part for part in parts if part is not None)
        self.gradient = _named(gradient, known.values.get(step.node.name))

    def fluctuation(self) -> tuple[float, Fluctuation]:
        """Its size, and how it fluctuates."""
        op = self.step.node.op
        if op == "getitem" and self.name in self.known.several:
            return self.gradient.second * math.prod(self.gradient.shape), self.after
        back = sent(self.step, self.name, self.arriving)
        if back is not None:
            back = _named(back, self.known.values.get(self.name))
        if back is None or back.second <= 0:
            return self.known.gradients[self.name].second, self.after
        if op in ORDER_ONLY or op in PARTS:
            return back.second, self.after
        if op in ("add", "sub") and back.shape == self.gradient.shape:
            return back.second, self.after
        if op == "scaled_dot_product_attention":
            to_value = self.name == self.step.name("value")
            return back.second, self._spread(back) if to_value else self._attended(back)
        if mixes(self.step, self.ahead):
            return back.second, self._spread(back)
        shift, kernel = self._brought(back, fresh=contracts(self.step))
        chance = self._chance()
        return back.second, Fluctuation(shift, kernel, self._own(back, chance), chance)

    def _brought(self, back: Moments, *, fresh: bool) -> tuple[float, float]:
        """Shift and variance that the arriving gradient and the operands have so far; ``fresh``
        weights take their own parts as given."""
        after = self.after.given() if fresh else self.after
        shift, kernel = after.shift, after.kernel
        divides = self.step.node.op in NORMS
        for operand in sources(self.step, self.ahead):
            slope = slope_back(self.step, self.name, operand, self.arriving, back.second)
            before = self.ahead[operand].given() if fresh else self.ahead[operand]
            kernel += slope**2 * before.kernel
            shift += slope * before.shift
            if divides:
                kernel += slope**2 * self._own_of(operand)
        return shift, kernel

    def _own_of(self, operand: str) -> float:
        """An operand's own part, as the positions that what is sent back consists of have it."""
        before, x = self.ahead[operand], self.step.known[operand]
        mine, weights = self.known.levels.get(operand), self.known.levels_back.get(self.name)
        whole = scatter(x, before.chance, mine)
        ratio = weighed(x, mine, before.chance, weights) / whole if whole else 1.0
        return before.own * ratio

    def _spread(self, back: Moments) -> Fluctuation:
        """A mean over rows: of attention, or by numbers that are the same in all draws."""
        shift, kernel = self._brought(back, fresh=False)
        chance, levels = self.after.chance, self.known.levels_back.get(self.name)
        kernel += mixed(self.gradient, back, chance, levels)
        return Fluctuation(shift, kernel, scatter(back, chance, levels), chance)

    def _attended(self, back: Moments) -> Fluctuation:
        """Queries and keys are sent products of gradients, values
        and keys or queries, drawn by three weights, each as unlike in its rows as what is sent."""
        shift, kernel = self._brought(back, fresh=False)
        chance = self.after.chance
        own = scatter(back, chance, self.known.levels_back.get(self.name))
        return Fluctuation(shift, kernel + self._factors(own), own, chance)

    def _factors(self, own: float) -> float:
        """What gradients, values, and keys or queries bring, but for the part that is fresh."""
        query, key, value = (self.step.name(n) for n in ("query", "key", "value"))
        other = key if self.name == query else query
        read = [self.ahead[n] for n in (value, other) if n in self.ahead]
        brought = sum(max(f.given().kernel - f.kernel, own) for f in (self.after, *read))
        return brought - own + _of_logits(self.step)

    def _chance(self) -> float:
        if contracts(self.step):
            taps, groups = window_of(self.step)
            chance = self.after.chance / windows(taps)
            return min(chance + seen_alike(self.gradient, taps, groups), 1.0)
        node = self.step.node
        if node.op == "activation" and node.activation is not None:
            z = self.step.of("input")
            sloped = replace(z, pairs=np.broadcast_to(slopes(z, node.activation), z.pairs.shape))
            if sloped.second <= 0:
                return 0.0
            return self.after.chance * (sloped.shared_examples / sloped.second) ** 2
        return self.after.chance

    def _own(self, back: Moments, chance: float) -> float:
        """At the units that the gradient arrives at."""
        op, levels = self.step.node.op, self.known.levels_back.get(self.name)
        if contracts(self.step):
            return max(scatter(back, chance, levels) + not_normal(self.step, back), 0.0)
        if op == "activation":
            return self._own_of_activation()
        if op in COPIES or op in _JOINS or op in ("add", "sub") or op.startswith(SUMS):
            mine = self.known.levels_back.get(self.step.node.name)
            whole = scatter(self.gradient, self.after.chance, mine)
            ratio = scatter(back, self.after.chance, levels) / whole if whole else 1.0
            return self.after.own * ratio
        if op == "mul":
            others = [n for n in sources(self.step, self.ahead) if n != self.name]
            return self.after.own + sum(self.ahead[n].own for n in others)
        return self.after.own

    def _own_of_activation(self) -> float:
        curve = self.step.node.activation
        assert curve is not None
        arriving, z = self.gradient, self.step.of("input")
        # δ and φ′(z) are independent: (1 + κ) of a product is the product of both.
        slope = replace(z, mean=0.0, pairs=1 + slope_pairs(z, curve))
        square = (told(arriving) / arriving.second) ** 2
        square = square + self.after.chance * (1 - square)
        product = replace(arriving, mean=0.0, pairs=1 + 2 * square).times(slope)
        levels = self.known.levels_back.get(self.name)
        return mean_pair(product, product.pairs - 1, levels)


def _of_logits(step: Step) -> float:
    """Relative variance of a sum over logits of their squared gradients, each a product of a
    gradient with a value's distance from the mean of a row's keys, times a key or a query.

    A row of n keys has n of them, of size 1/n²: where rows see unlike numbers of keys, few count.
    """
    use = Attention(step)
    shape, seen = use.logits.shape, use.seen
    if seen is None and use.logits.hidden is not None:
        seen = visible(use.logits.hidden, len(shape), len(shape) - 1, shape[-1])
    if seen is None:
        seen = everything(shape[-1])
    keys = seen.keys[frozenset()]
    rows, n = keys.weights * keys.number, keys.number
    total, squares = float(rows @ ((n - 1) / n**2)), float(rows @ ((n - 1) / n**4))
    if total <= 0:
        return 0.0
    fourth = 3 * (1 + 2 / step.shape("query")[-1]) ** 2
    return (fourth - 1) * squares / total**2 / math.prod(shape[:-1])
