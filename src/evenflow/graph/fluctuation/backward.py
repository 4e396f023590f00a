"""Fluctuations of gradients, against execution order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from evenflow.graph.fluctuation.fluctuation import Fluctuation
from evenflow.graph.fluctuation.forward import COPIES, SUMS, window_of
from evenflow.graph.fluctuation.known import Known
from evenflow.graph.fluctuation.scatter import (
    mean_pair,
    mixed,
    scatter,
    seen_alike,
    told,
    weighed,
    windows,
)
from evenflow.graph.fluctuation.slopes import contracts, sent, slope_back, sources
from evenflow.graph.graph import Node
from evenflow.graph.levels import Levels
from evenflow.graph.moments import Moments
from evenflow.graph.rules import Step
from evenflow.graph.rules.shape import ORDER_ONLY, PARTS
from evenflow.graph.through import slope_pairs, slopes

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
    arriving = [
        _Sent(known, known.step(user), node.name, found[user.name], ahead).fluctuation()
        for user in known.graph.users(node.name)
        if user.name in found
    ]
    total = sum(share for share, _ in arriving)
    if node.name in known.graph.outputs:
        gradient = known.gradients[node.name]
        own = scatter(gradient)
        arriving.append((max(gradient.second - total, 0.0), Fluctuation(own=own)))
        total = sum(share for share, _ in arriving)
    total = total or 1.0
    return Fluctuation(
        sum(share * f.shift for share, f in arriving) / total,
        (sum(share * math.sqrt(f.kernel) for share, f in arriving) / total) ** 2,
        sum((share / total) ** 2 * f.own for share, f in arriving),
        max((f.chance for _, f in arriving), default=0.0),
    )


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
        self.gradient = next(part for part in parts if part is not None)

    def fluctuation(self) -> tuple[float, Fluctuation]:
        """Its size, and how it fluctuates."""
        op = self.step.node.op
        if op == "getitem" and self.name in self.known.several:
            return self.gradient.second * math.prod(self.gradient.shape), self.after
        back = sent(self.step, self.name, self.arriving)
        if back is None or back.second <= 0:
            return self.known.gradients[self.name].second, self.after
        if op in ORDER_ONLY or op in PARTS:
            return back.second, self.after
        if op in ("add", "sub") and back.shape == self.gradient.shape:
            return back.second, self.after
        if op == "scaled_dot_product_attention":
            return back.second, self._attended(back)
        shift, kernel = self._brought(back.second, fresh=contracts(self.step))
        chance = self._chance()
        return back.second, Fluctuation(shift, kernel, self._own(back, chance), chance)

    def _brought(self, second: float, *, fresh: bool) -> tuple[float, float]:
        """Shift and variance that the arriving gradient and the operands have so far; ``fresh``
        weights take their own parts as given."""
        after = self.after.given() if fresh else self.after
        shift, kernel = after.shift, after.kernel
        for operand in sources(self.step, self.ahead):
            slope = slope_back(self.step, self.name, operand, self.arriving, second)
            before = self.ahead[operand].given() if fresh else self.ahead[operand]
            kernel += slope**2 * before.kernel
            shift += slope * before.shift
        return shift, kernel

    def _attended(self, back: Moments) -> Fluctuation:
        """Values are sent a mean over rows. Queries and keys are sent products of gradients, values
        and keys or queries, drawn by three weights, each as unlike in its rows as what is sent."""
        shift, kernel = self._brought(back.second, fresh=False)
        chance, levels = self.after.chance, self.known.levels_back.get(self.name)
        own = scatter(back, chance, levels)
        if self.name == self.step.name("value"):
            kernel += mixed(self.gradient, back, chance, levels)
        else:
            kernel += 2 * own
        return Fluctuation(shift, kernel, own, chance)

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
            return scatter(back, chance, levels)
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
        return self.after.own + self._divided(back, levels)

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

    def _divided(self, back: Moments, levels: Levels | None) -> float:
        """What the operands' own parts add where a gradient is divided by their size."""
        total = 0.0
        for operand in sources(self.step, self.ahead):
            slope = slope_back(self.step, self.name, operand, self.arriving, back.second)
            before, x = self.ahead[operand], self.step.known[operand]
            mine = self.known.levels.get(operand)
            whole = scatter(x, before.chance, mine)
            ratio = weighed(x, mine, before.chance, levels) / whole if whole else 1.0
            total += slope**2 * before.own * ratio
        return total
