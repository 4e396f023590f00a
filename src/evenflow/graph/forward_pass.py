"""The pass in execution order: Moments of every value, by the rules of the operations."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from evenflow.errors import ActivationError, NoRuleError
from evenflow.graph.graph import Graph, Node
from evenflow.graph.kinds import KnownKinds, as_corrected, mean_of, told_together
from evenflow.graph.kinds import forward as kinds_forward
from evenflow.graph.levels import Levels
from evenflow.graph.levels import forward as levels_forward
from evenflow.graph.levels.levels import by_parts, corrected
from evenflow.graph.levels.registry import Several, Use
from evenflow.graph.moments import Moments
from evenflow.graph.recurrent.chains import Alike, Chain
from evenflow.graph.recurrent.recurrences import Recurrence, recurrences
from evenflow.graph.recurrent.units import Unit, units
from evenflow.graph.rules import RULES, Rule, Step, unrolled
from evenflow.graph.rules.passing import forwards
from evenflow.graph.rules.registry import Result
from evenflow.graph.sampler import Sampler

FLOATS = ("float", "bfloat")
_FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
_T = TypeVar("_T")


class Forward:
    """What is known of a Graph's values, more with each operation."""

    def __init__(self, graph: Graph, known: dict[str, Moments], sample: Sampler | None) -> None:
        self.graph, self.sample = graph, sample
        self.known = {name: told_together(each) for name, each in known.items()}
        self.kinds = KnownKinds()
        for name, each in known.items():
            if each.kinds and not graph.reused:
                self.kinds.enter(name, each.kinds)
        self.order: list[Unit] = []
        """As derived; what could not be derived at once as its single operations."""
        self.sampled: dict[str, str] = {}
        self.several: dict[str, tuple[Moments, ...]] = {}
        self.blocked: dict[str, str] = {}
        self.levels: dict[str, Levels] = {}
        self.levels_of_several: dict[str, Several] = {}
        self.chances: dict[str, float] = {}
        self.alike = Alike()

    def run(self) -> None:
        """From the inputs to the outputs."""
        scans = [] if self.sample is None else recurrences(self.graph)
        for unit in units(self.graph, [*scans, *unrolled.chains_of(self.graph)]):
            if isinstance(unit, Node):
                self._one(unit)
            elif not (self._chain(unit) if isinstance(unit, Chain) else self._scan(unit)):
                for node in unit.nodes:
                    self._one(node)

    def _one(self, node: Node) -> None:
        self.order.append(node)
        if node.name in self.graph.values:
            return
        if not node.dtype.startswith(FLOATS):
            self._enter_other(node)
            return
        blocked = (self.blocked[name] for _, name in node.refs() if name in self.blocked)
        reason = next(blocked, "")
        if not reason:
            try:
                self._derive(node)
            except (NoRuleError, ActivationError) as error:
                reason = obstacle(node, error)
        if reason:
            self.blocked[node.name] = reason

    def _derive(self, node: Node) -> None:
        result = self.derived(node, forwards)
        kinds: tuple[Moments, ...] = ()
        if node.name not in self.sampled and isinstance(result, Moments):
            kinds = kinds_forward(RULES[node.op], self.step(node), result, self.kinds)
            result = mean_of(kinds, result) if kinds else result
        found = self._levelled(node, result)
        self._enter(node, found)
        if kinds and isinstance(result, Moments):
            self.kinds.enter(node.name, as_corrected(kinds, result, self.known[node.name]))

    def _levelled(self, node: Node, result: Result) -> Result:
        """The result with what its operands' levels make of it."""
        found = levels_forward(self.use(node), result)
        if isinstance(result, tuple):
            each = found if isinstance(found, tuple) else (None,) * len(result)
            pairs = [corrected(*pair) for pair in zip(result, each, strict=True)]
            if found is not None:
                self.levels_of_several[node.name] = tuple(levels for _, levels in pairs)
            return tuple(moments for moments, _ in pairs)
        assert not isinstance(found, tuple)
        by_channel = node.op in RULES and RULES[node.op].by_channel
        moments, levels = (by_parts if by_channel else corrected)(result, found)
        if levels is not None:
            self.levels[node.name] = levels
        return moments

    def use(self, node: Node) -> Use:
        """A node with the levels of what it reads."""
        return Use(self.step(node), self.levels, self.levels_of_several, chances=self.chances)

    def _scan(self, scan: Recurrence) -> bool:
        """Whether all steps of a scan could be sampled at once."""
        assert self.sample is not None
        try:
            found = self.sample.forward(scan, self.step(scan.nodes[-1]))
        except NoRuleError:
            return False
        self.order.append(scan)
        for node in scan.nodes:
            self._enter(node, found[node.name])
            self.sampled[node.name] = f"{node.op!r} of a scan in {_place(node)}"
        return True

    def _chain(self, chain: Chain) -> bool:
        """Whether all cells of a loop could be derived at once."""
        if any(name in self.blocked for name in chain.needs()):
            return False
        try:
            found = unrolled.forward(chain, self.step(chain.cells[0]), self.alike)
            for cell, result in zip(chain.cells, found, strict=True):
                self._enter(cell, result)
        except (NoRuleError, *_FAULTS):
            return False
        self.order.append(chain)
        for node in chain.taking_apart:
            self._one(node)
        return True

    def derived(self, node: Node, by: Callable[[Rule, Step], _T]) -> _T:
        """What the operation's rule says, or if it has none, what sampling does."""
        step = self.step(node)
        try:
            return _asked(rule_of(node), f"the rule of {node.op!r}", step, by)
        except NoRuleError as error:
            if self.sample is None:
                raise
            try:
                found = _asked(self.sample.rule, f"{node.op!r}", step, by)
            except NoRuleError as failure:
                what = f"{error.what}, and sampling fails: {failure.what}"
                raise NoRuleError(what, where=error.where) from failure
            self.sampled[node.name] = f"{node.op!r} in {_place(node)}"
            return found

    def _enter_other(self, node: Node) -> None:
        """Masks have probabilities as their Moments where a rule says so; indices have none.

        What reads them without Moments is sampled from the values that they come from. So is what
        reads complex numbers; without sampling these are obstacles.
        """
        if node.dtype == "bool" and node.op in RULES:
            with suppress(NoRuleError, ActivationError):
                self._enter(node, forwards(RULES[node.op], self.step(node)))
        elif node.dtype.startswith("complex") and self.sample is None:
            self.blocked[node.name] = obstacle(node, NoRuleError(f"no rule for {node.op!r}"))

    def step(self, node: Node) -> Step:
        """A node with everything known before it."""
        return Step(self.graph, node, self.known, self.several)

    def _enter(self, node: Node, result: Result) -> None:
        several = result if isinstance(result, tuple) else (result,)
        for moments in several:
            require_finite(moments, "values")
        if isinstance(result, tuple):
            self.several[node.name] = result
        self.known[node.name] = several[0]


def _asked(rule: Rule, name: str, step: Step, by: Callable[[Rule, Step], _T]) -> _T:
    """What the rule says. One that fails at a use which nobody thought of covers it not: a fault of
    ours must not keep users from their plan, and is told as an obstacle."""
    try:
        return by(rule, step)
    except _FAULTS as error:
        raise NoRuleError(f"{name} fails: {type(error).__name__}: {error}") from error


def rule_of(node: Node) -> Rule:
    """The rule of a node's operation; ``NoRuleError`` if there is none."""
    if node.op not in RULES:
        raise NoRuleError(f"no rule for {node.op!r}")
    return RULES[node.op]


def require_finite(moments: Moments, what: str) -> None:
    """``NoRuleError`` where moments are beyond all numbers."""
    if not math.isfinite(moments.second):
        raise NoRuleError(f"{what} overflow")


def obstacle(node: Node, error: NoRuleError | ActivationError) -> str:
    """Which operation stands in the way, why, and where it is in the user's model."""
    what = f"{error.where}: {error.what}" if error.where else error.what
    return f"{what} in {_place(node)}"


def _place(node: Node) -> str:
    place = node.layer or "the top of the model"
    return place + (f" ({node.source})" if node.source else "")
