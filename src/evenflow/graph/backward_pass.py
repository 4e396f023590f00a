"""The pass against execution order: Moments of the gradient with respect to every value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property

from evenflow.errors import ActivationError, NoRuleError
from evenflow.graph.cross.backwards import CrossBack
from evenflow.graph.cross.forwards import Cross
from evenflow.graph.forward_pass import Forward, obstacle, require_finite
from evenflow.graph.graph import Node
from evenflow.graph.kinds import as_corrected, mean_of
from evenflow.graph.kinds import backward as kinds_backward
from evenflow.graph.laws.joined import summed
from evenflow.graph.levels import Levels
from evenflow.graph.levels import backward as levels_backward
from evenflow.graph.levels.levels import by_parts, together
from evenflow.graph.levels.registry import Found
from evenflow.graph.moments import Moments, roles_of
from evenflow.graph.recurrent.chains import Alike, Chain, results_of
from evenflow.graph.recurrent.recurrences import Recurrence
from evenflow.graph.rules import RULES, unrolled
from evenflow.graph.rules.passing import backwards
from evenflow.graph.rules.registry import Arriving, Cotangents, Step

_NO_GRADIENT = ("bool", "complex")


class Backward:
    """Gradients, gathered from all that read a value."""

    def __init__(self, forward: Forward, cotangents: Mapping[str, float]) -> None:
        self.forward, self.graph = forward, forward.graph
        values = (forward.known.keys() | forward.blocked.keys()) - self.graph.values.keys()
        self.floats = {n for n in values if not self.graph.dtype(n).startswith(_NO_GRADIENT)}
        self.gradients: dict[str, Moments] = {}
        self.parts: dict[str, dict[int, Moments]] = {}
        """Gradients of single results of operations that have several."""
        self.blocked: dict[str, str] = {}
        self.levels: dict[str, Levels] = {}
        self.levels_of_parts: dict[str, dict[int, Levels]] = {}
        self.kinds: dict[str, tuple[Moments, ...]] = {}
        self.alike = Alike()
        self._arrived: dict[str, Moments] = {}
        for name in self.graph.outputs:
            if name in self.floats:
                self._arrived[name] = self._arriving(name, cotangents.get(name, 1.0))
                self._add(name, self._arrived[name])

    def _arriving(self, name: str, second: float) -> Moments:
        shape = self.graph.shape(name)
        return Moments.independent(0.0, second, shape, roles_of(shape))

    def run(self) -> None:
        """From the outputs to the inputs."""
        for unit in reversed(self.forward.order):
            if isinstance(unit, Node):
                self._with_common_weights(unit.name)
                self._one(unit)
            elif isinstance(unit, Chain):
                self._chain(unit)
            else:
                self._scan(unit)
        for name in self.graph.inputs:
            self._with_common_weights(name)
        for name in self.graph.reused:
            for parameter, extra in self._crossed.extra_of_parameters(name).items():
                self._increase(parameter, extra)
        for name in self.blocked:
            self.gradients.pop(name, None)

    def _with_common_weights(self, name: str) -> None:
        """All readers of a value have sent their gradients; some share weights."""
        if self.graph.reused and name in self.gradients:
            self._increase(name, self._crossed.extra(name))

    def _increase(self, name: str, extra: Moments | None) -> None:
        known = self.gradients.get(name)
        if known is not None and extra is not None and extra.pairs.shape == known.pairs.shape:
            self.gradients[name] = replace(known, pairs=known.pairs + extra.pairs, parts=None)

    @cached_property
    def _crossed(self) -> CrossBack:
        step = self.forward.step(self.graph.nodes[-1])
        return CrossBack(Cross(step), self.gradients, self._arrived.__getitem__)

    def _one(self, node: Node) -> None:
        reason = self.blocked.get(node.name, "")
        if not self._reached(node) and not reason:
            return  # no gradient flows here
        reason = reason or self.forward.blocked.get(node.name, "")
        if not reason:
            try:
                self._pass(node)
            except (NoRuleError, ActivationError) as error:
                reason = obstacle(node, error)
        if reason:
            self._block((name for _, name in node.refs()), reason)

    def _reached(self, node: Node) -> bool:
        return node.name in self.gradients or node.name in self.parts

    def _block(self, names: Iterable[str], reason: str) -> None:
        for name in names:
            if name in self.floats:
                self.blocked.setdefault(name, reason)

    def _scan(self, scan: Recurrence) -> None:
        names = [node.name for node in scan.nodes]
        arriving = {name: self.gradients[name] for name in names if name in self.gradients}
        reason = next((self.blocked[name] for name in names if name in self.blocked), "")
        if not arriving and not reason:
            return
        last = scan.nodes[-1]
        sample = self.forward.sample
        if not reason and sample is not None:
            try:
                found = sample.backward(scan, self.forward.step(last), arriving)
            except NoRuleError as error:
                reason = obstacle(last, error)
        if reason:
            self._block([*names, *scan.boundary()], reason)
            return
        for name, moments in found.items():
            if name in names:
                self.gradients[name] = moments
            elif name in self.floats:
                self._add(name, moments)

    def _chain(self, chain: Chain) -> None:
        """What arrived so far is from elsewhere: all that takes results apart comes after."""
        reason = next((self.blocked[c.name] for c in chain.cells if c.name in self.blocked), "")
        if reason:
            self._block([*(node.name for node in chain.nodes), *chain.needs()], reason)
            return
        arriving = [self._cotangent(cell) if self._reached(cell) else None for cell in chain.cells]
        if all(each is None for each in arriving):
            return
        step = self.forward.step(chain.cells[0])
        own, sent = unrolled.backward(chain, step, arriving, self.forward.alike, self.alike)
        for cell, several in zip(chain.cells, own, strict=True):
            for name, index in results_of(self.graph, cell):
                self.gradients[name] = several[index]
        for name, moments in sent.items():
            if name in self.floats:
                self._add(name, moments)

    def _pass(self, node: Node) -> None:
        step = self.forward.step(node)
        if node.op == "getitem" and step.name("input") in self.forward.several:
            index = int(step.number("index"))
            parts = self.parts.setdefault(step.name("input"), {})
            found = self.gradients[node.name]
            parts[index] = parts[index].plus(found) if index in parts else found
            if node.name in self.levels:
                by_index = self.levels_of_parts.setdefault(step.name("input"), {})
                by_index[index] = self.levels[node.name]
            return
        arriving = self._cotangent(node)
        gradients = self.forward.derived(node, lambda rule, step: backwards(rule, step, arriving))
        sent = levels_backward(self.forward.use(node), arriving, self._levels_of(node), gradients)
        kinds = self._kinds(node, step, arriving, gradients)
        for name, moments in gradients.items():
            own = kinds.get(name, ())
            found = mean_of(own, moments) if own else moments
            moments, levels = by_parts(found, sent.get(name))
            own = as_corrected(own, found, moments)
            require_finite(moments, "gradients")
            if name in self.floats:
                self._add(name, moments, levels, own)

    def _kinds(
        self, node: Node, step: Step, arriving: Arriving, sent: Cotangents
    ) -> dict[str, tuple[Moments, ...]]:
        if node.name in self.forward.sampled or not isinstance(arriving, Moments):
            return {}
        own = self.kinds.get(node.name, ())
        return kinds_backward(RULES[node.op], step, arriving, own, sent, self.forward.kinds)

    def _levels_of(self, node: Node) -> Found:
        """Of the gradient that arrives, or of those of an operation's several results."""
        if node.name not in self.forward.several:
            return self.levels.get(node.name)
        parts = self.levels_of_parts.get(node.name, {})
        return tuple(parts.get(i) for i in range(len(self.forward.several[node.name])))

    def _cotangent(self, node: Node) -> Arriving:
        if node.name not in self.forward.several:
            return self.gradients[node.name]
        parts = self.parts.get(node.name, {})
        if node.name in self.gradients:
            parts.setdefault(0, self.gradients[node.name])
        return tuple(parts.get(i) for i in range(len(self.forward.several[node.name])))

    def _add(
        self,
        name: str,
        moments: Moments,
        levels: Levels | None = None,
        kinds: tuple[Moments, ...] = (),
    ) -> None:
        known = self.gradients.get(name)
        total = moments if known is None else summed(known, moments)
        if known is not None and total.second > 0:
            share = known.second / total.second
            parts = [(share, self.levels.pop(name, None), known), (1 - share, levels, moments)]
            levels = together(parts, total.shape)
        self.gradients[name], levels = by_parts(_not_negative(total), levels)
        if levels is not None:
            self.levels[name] = levels
        if name not in self.graph.parameters:
            self._add_kinds(name, known, moments, kinds, total)

    def _add_kinds(
        self,
        name: str,
        known: Moments | None,
        moments: Moments,
        kinds: tuple[Moments, ...],
        total: Moments,
    ) -> None:
        before = self.kinds.pop(name, ())
        if known is not None and (before or kinds):
            count = len(before or kinds)
            pairs = zip(before or (known,) * count, kinds or (moments,) * count, strict=True)
            kinds = tuple(summed(one, other) for one, other in pairs)
        if kinds:
            self.kinds[name] = as_corrected(kinds, total, self.gradients[name])


def _not_negative(x: Moments) -> Moments:
    """A mean square that rounding has left below zero, where all terms cancel, is zero."""
    if x.second >= 0:
        return x
    pairs = x.pairs.copy()
    pairs.flat[0] = 0.0
    return replace(x, pairs=pairs)
