"""Propagate: Moments of every tensor forwards, of its gradient backwards, from the Graph alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from evenflow.errors import ActivationError, NoRuleError
from evenflow.graph.constants import of_constants
from evenflow.graph.fluctuation import Fluctuation, Interval, backwards, forwards
from evenflow.graph.graph import Graph, Node
from evenflow.graph.levels import Levels
from evenflow.graph.levels import backward as levels_backward
from evenflow.graph.levels import forward as levels_forward
from evenflow.graph.levels.levels import corrected, together
from evenflow.graph.levels.registry import Found, Several, Use
from evenflow.graph.moments import Moments, Role
from evenflow.graph.recurrences import Recurrence, units
from evenflow.graph.rules import RULES, Rule, Step
from evenflow.graph.rules.registry import Arriving, Result
from evenflow.graph.sampler import Sampler

_FLOATS = ("float", "bfloat")
_NO_GRADIENT = ("bool",)

_FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Derivation:
    """What the calculus says about a Graph.

    A floating-point value missing from ``forward`` or ``backward`` has the reason in
    ``obstacles_forward`` or ``obstacles_backward``: the first operation without a rule that stands
    in its way. Indices and masks have no Moments and stand in nobody's way by themselves.
    """

    forward: Mapping[str, Moments]
    """Moments of every value: inputs, parameters and results, by name."""
    backward: Mapping[str, Moments]
    """Moments of the gradient with respect to every value that one flows to."""
    obstacles_forward: Mapping[str, str]
    obstacles_backward: Mapping[str, str]
    graph: Graph
    several: Mapping[str, tuple[Moments, ...]]
    """Moments of each result of the operations that have several."""
    sampled: Mapping[str, str]
    """Values that no rule derives, and that were sampled instead: name → operation and place."""
    levels_forward: Mapping[str, Levels]
    """How the positions of a value differ in size, where they do and a rule knows it."""
    levels_backward: Mapping[str, Levels]
    """The same of gradients."""

    @cached_property
    def interval_forward(self) -> Mapping[str, Interval]:
        """Between what the measured second moment of a value lies in 90 % of draws of the weights:
        the 5th and the 95th percentile."""
        return {name: f.interval(self.forward[name]) for name, f in self._fluctuations[0].items()}

    @cached_property
    def interval_backward(self) -> Mapping[str, Interval]:
        """The same of the second moments of gradients."""
        return {name: f.interval(self.backward[name]) for name, f in self._fluctuations[1].items()}

    @cached_property
    def _fluctuations(self) -> tuple[Mapping[str, Fluctuation], Mapping[str, Fluctuation]]:
        # What was sampled has no rule that says how it answers to a change.
        nodes = (
            replace(node, op="sampled", activation=None) if node.name in self.sampled else node
            for node in self.graph.nodes
        )
        graph = replace(self.graph, nodes=tuple(nodes))
        ahead = forwards(graph, self.forward, self.several)
        return ahead, backwards(graph, self.forward, self.backward, self.several, ahead)


def propagate(
    graph: Graph,
    parameters: Mapping[str, Moments],
    inputs: Mapping[str, Moments] | None = None,
    cotangents: Mapping[str, float] | None = None,
    *,
    sample: Sampler | None = None,
    strict: bool = False,
) -> Derivation:
    """Derive ``graph`` for parameters and inputs of given Moments.

    Floating-point inputs not given count as independent with mean 0 and second moment 1.
    ``cotangents`` are the second moments of the gradients that reach the outputs, independent in
    each element; 1 where none is given.

    ``sample`` stands in for the rule of every operation that has none, and for uses that its rule
    does not cover; without it such an operation is an obstacle. With ``strict`` either is an error:
    ``NoRuleError`` names the operation and its place.
    """
    forward = _Forward(graph, _known(graph, parameters, inputs or {}), sample)
    forward.run()
    backward = _Backward(forward, cotangents or {})
    backward.run()
    if strict:
        _require_rules(forward, backward)
    return Derivation(
        forward.known,
        backward.gradients,
        forward.blocked,
        backward.blocked,
        graph,
        forward.several,
        forward.sampled,
        forward.levels,
        backward.levels,
    )


def _require_rules(forward: _Forward, backward: _Backward) -> None:
    """Refuse what was not derived by rules alone."""
    for found in (forward.sampled, forward.blocked, backward.blocked):
        for reason in found.values():
            raise NoRuleError(
                f"no rule covers {reason}",
                remedy="derive without strict: it is then sampled where it can be, and marked so",
            )


def propagate_forwards(
    graph: Graph, parameters: Mapping[str, Moments], inputs: Mapping[str, Moments] | None = None
) -> Mapping[str, Moments]:
    """What ``propagate`` says of values, without the pass backwards."""
    forward = _Forward(graph, _known(graph, parameters, inputs or {}), None)
    forward.run()
    return forward.known


def roles_of(shape: tuple[int, ...]) -> tuple[Role, ...]:
    """What the axes of an input stand for: examples first; channels second in images and in
    nothing else; units last."""
    if len(shape) < 2:
        alone: tuple[Role, ...] = ("examples",)
        return alone * len(shape)
    places: list[Role] = ["positions"] * (len(shape) - 2)
    found: list[Role] = ["examples", *places, "units"]
    if len(shape) >= 4:
        found = ["examples", "units", *places]
    return tuple(found)


def _known(
    graph: Graph, parameters: Mapping[str, Moments], inputs: Mapping[str, Moments]
) -> dict[str, Moments]:
    """What is told of a Graph's values, and what is known without being told."""
    unlike = {
        name: Moments.independent(shape=shape, roles=roles_of(tuple(shape)))
        for name, shape in graph.inputs.items()
        if graph.input_dtypes.get(name, "float32").startswith(_FLOATS)
    }
    constants = {p.name: p.moments for p in graph.parameters.values() if p.moments is not None}
    folded = {
        name: array
        for name, array in graph.values.items()
        if array.dtype.kind in "fb" and name not in parameters and _is_read(graph, name)
    }
    return unlike | constants | dict(inputs) | dict(parameters) | of_constants(folded)


def _is_read(graph: Graph, name: str) -> bool:
    """Whether an operation reads a folded value whose own result is not folded."""
    users = graph.users(name)
    return name in graph.outputs or any(user.name not in graph.values for user in users)


class _Forward:
    """The pass in execution order."""

    def __init__(self, graph: Graph, known: dict[str, Moments], sample: Sampler | None) -> None:
        self.graph, self.known, self.sample = graph, known, sample
        self.order: list[Node | Recurrence] = []
        """As derived; scans that could not be sampled at once as their single operations."""
        self.sampled: dict[str, str] = {}
        self.several: dict[str, tuple[Moments, ...]] = {}
        self.blocked: dict[str, str] = {}
        self.levels: dict[str, Levels] = {}
        self.levels_of_several: dict[str, Several] = {}
        self.chances: dict[str, float] = {}

    def run(self) -> None:
        for unit in self.graph.nodes if self.sample is None else units(self.graph):
            if isinstance(unit, Node):
                self._one(unit)
            elif not self._scan(unit):
                for node in unit.nodes:
                    self._one(node)

    def _one(self, node: Node) -> None:
        self.order.append(node)
        if node.name in self.graph.values:
            return
        if not node.dtype.startswith(_FLOATS):
            self._enter_other(node)
            return
        blocked = (self.blocked[name] for _, name in node.refs() if name in self.blocked)
        reason = next(blocked, "")
        if not reason:
            try:
                self._enter(node, self._levelled(node, self.derived(node, _rule_forward)))
            except (NoRuleError, ActivationError) as error:
                reason = obstacle(node, error)
        if reason:
            self.blocked[node.name] = reason

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
        moments, levels = corrected(result, found)
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

    def derived(self, node: Node, by: Callable[[Rule, Step], _T]) -> _T:
        """What the operation's rule says, or if it has none, what sampling does."""
        step = self.step(node)
        try:
            return _by_rule(node, step, by)
        except NoRuleError as error:
            if self.sample is None:
                raise
            try:
                found = by(self.sample.rule, step)
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
                self._enter(node, RULES[node.op].forward(self.step(node)))
        elif node.dtype.startswith("complex") and self.sample is None:
            self.blocked[node.name] = obstacle(node, NoRuleError(f"no rule for {node.op!r}"))

    def step(self, node: Node) -> Step:
        return Step(self.graph, node, self.known, self.several)

    def _enter(self, node: Node, result: Result) -> None:
        several = result if isinstance(result, tuple) else (result,)
        for moments in several:
            _require_finite(moments, "values")
        if isinstance(result, tuple):
            self.several[node.name] = result
        self.known[node.name] = several[0]


def _rule_forward(rule: Rule, step: Step) -> Result:
    return rule.forward(step)


def _by_rule(node: Node, step: Step, by: Callable[[Rule, Step], _T]) -> _T:
    """What the rule says. One that fails at a use which nobody thought of covers it not: a fault of
    ours must not keep users from their plan, and is told as an obstacle."""
    rule = rule_of(node)
    try:
        return by(rule, step)
    except _FAULTS as error:
        what = f"the rule of {node.op!r} fails: {type(error).__name__}: {error}"
        raise NoRuleError(what) from error


def rule_of(node: Node) -> Rule:
    """The rule of a node's operation; ``NoRuleError`` if there is none."""
    if node.op not in RULES:
        raise NoRuleError(f"no rule for {node.op!r}")
    return RULES[node.op]


def _require_finite(moments: Moments, what: str) -> None:
    if not math.isfinite(moments.second):
        raise NoRuleError(f"{what} overflow")


def obstacle(node: Node, error: NoRuleError | ActivationError) -> str:
    """Which operation stands in the way, why, and where it is in the user's model."""
    what = f"{error.where}: {error.what}" if error.where else error.what
    return f"{what} in {_place(node)}"


def _place(node: Node) -> str:
    place = node.layer or "the top of the model"
    return place + (f" ({node.source})" if node.source else "")


class _Backward:
    """The pass against execution order."""

    def __init__(self, forward: _Forward, cotangents: Mapping[str, float]) -> None:
        self.forward, self.graph = forward, forward.graph
        values = (forward.known.keys() | forward.blocked.keys()) - self.graph.values.keys()
        self.floats = {name for name in values if self.graph.dtype(name) not in _NO_GRADIENT}
        self.gradients: dict[str, Moments] = {}
        self.parts: dict[str, dict[int, Moments]] = {}
        """Gradients of single results of operations that have several."""
        self.blocked: dict[str, str] = {}
        self.levels: dict[str, Levels] = {}
        self.levels_of_parts: dict[str, dict[int, Levels]] = {}
        for name in self.graph.outputs:
            if name in self.floats:
                self._add(name, self._arriving(name, cotangents.get(name, 1.0)))

    def _arriving(self, name: str, second: float) -> Moments:
        shape = self.graph.shape(name)
        return Moments.independent(0.0, second, shape, roles_of(shape))

    def run(self) -> None:
        for unit in reversed(self.forward.order):
            if isinstance(unit, Node):
                self._one(unit)
            else:
                self._scan(unit)
        for name in self.blocked:
            self.gradients.pop(name, None)

    def _one(self, node: Node) -> None:
        reason = self.blocked.get(node.name, "")
        if node.name not in self.gradients and node.name not in self.parts and not reason:
            return  # no gradient flows here
        reason = reason or self.forward.blocked.get(node.name, "")
        if not reason:
            try:
                self._pass(node)
            except (NoRuleError, ActivationError) as error:
                reason = obstacle(node, error)
        if reason:
            self._block((name for _, name in node.refs()), reason)

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
        gradients = self.forward.derived(node, lambda rule, step: rule.backward(step, arriving))
        sent = levels_backward(self.forward.use(node), arriving, self._levels_of(node), gradients)
        for name, moments in gradients.items():
            moments, levels = corrected(moments, sent.get(name))
            _require_finite(moments, "gradients")
            if name in self.floats:
                self._add(name, moments, levels)

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

    def _add(self, name: str, moments: Moments, levels: Levels | None = None) -> None:
        known = self.gradients.get(name)
        total = moments if known is None else known.plus(moments)
        if known is not None and total.second > 0:
            share = known.second / total.second
            parts = [(share, self.levels.pop(name, None), known), (1 - share, levels, moments)]
            levels = together(parts, total.shape)
        self.gradients[name], levels = corrected(total, levels)
        if levels is not None:
            self.levels[name] = levels
