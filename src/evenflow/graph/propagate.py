"""Propagate: Moments of every tensor forwards, of its gradient backwards, from the Graph alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from evenflow.errors import ActivationError, NoRuleError
from evenflow.graph.graph import Graph, Node
from evenflow.graph.moments import Moments
from evenflow.graph.rules import RULES, Rule, Step
from evenflow.graph.rules.registry import Cotangents

_FLOATS = ("float", "bfloat")


@dataclass(frozen=True)
class Derivation:
    """What the calculus says about a Graph.

    A floating-point value missing from ``forward`` or ``backward`` has the reason in
    ``obstacles_forward`` or ``obstacles_backward``: the first operation without a rule that stands
    in its way. Indices and masks have no Moments and stand in nobody's way by themselves.
    """

    forward: Mapping[str, Moments]
    """Moments of every value: inputs, parameters and results, by name."""
    backward: Mapping[str, float]
    """Second moment of the gradient with respect to every value that one flows to."""
    obstacles_forward: Mapping[str, str]
    obstacles_backward: Mapping[str, str]


def propagate(
    graph: Graph,
    parameters: Mapping[str, Moments],
    inputs: Mapping[str, Moments] | None = None,
    cotangents: Mapping[str, float] | None = None,
) -> Derivation:
    """Derive ``graph`` for parameters and inputs of given Moments.

    Floating-point inputs not given count as independent with mean 0 and second moment 1.
    ``cotangents`` are the second moments of the gradients that reach the outputs; 1 where none is
    given.
    """
    known = _known(graph) | dict(inputs or {}) | dict(parameters)
    forward, blocked = _forwards(graph, known)
    backward, blocked_backward = _backwards(graph, forward, blocked, cotangents or {})
    return Derivation(forward, backward, blocked, blocked_backward)


def _known(graph: Graph) -> dict[str, Moments]:
    """What is known of a Graph's values without being told."""
    inputs = {
        name: Moments.independent()
        for name in graph.inputs
        if graph.input_dtypes.get(name, "float32").startswith(_FLOATS)
    }
    constants = {p.name: p.moments for p in graph.parameters.values() if p.moments is not None}
    return inputs | constants


def _forwards(
    graph: Graph, forward: dict[str, Moments]
) -> tuple[dict[str, Moments], dict[str, str]]:
    blocked: dict[str, str] = {}
    for node in graph.nodes:
        if not node.dtype.startswith((*_FLOATS, "complex")):
            continue
        reason = next((blocked[name] for _, name in node.refs() if name in blocked), "")
        if not reason:
            try:
                moments = _rule_of(node).forward(Step(graph, node, forward))
                _require_finite(moments.second, "values")
                forward[node.name] = moments
            except (NoRuleError, ActivationError) as error:
                reason = _obstacle(node, error)
        if reason:
            blocked[node.name] = reason
    return forward, blocked


def _rule_of(node: Node) -> Rule:
    if node.op not in RULES or node.dtype.startswith("complex"):
        raise NoRuleError(f"no rule for {node.op!r}")
    return RULES[node.op]


def _require_finite(second: float, what: str) -> None:
    if not math.isfinite(second):
        raise NoRuleError(f"{what} overflow")


def _obstacle(node: Node, error: NoRuleError | ActivationError) -> str:
    what = f"{error.where}: {error.what}" if error.where else error.what
    place = node.layer or "the top of the model"
    return f"{what} in {place}" + (f" ({node.source})" if node.source else "")


def _backwards(
    graph: Graph,
    forward: Mapping[str, Moments],
    blocked_forward: Mapping[str, str],
    cotangents: Mapping[str, float],
) -> tuple[dict[str, float], dict[str, str]]:
    floats = forward.keys() | blocked_forward.keys()
    gradients = {name: cotangents.get(name, 1.0) for name in graph.outputs if name in floats}
    blocked: dict[str, str] = {}
    for node in reversed(graph.nodes):
        reason = blocked.get(node.name, "")
        if node.name not in gradients and not reason:  # no gradient flows here
            continue
        reason = reason or blocked_forward.get(node.name, "")
        if not reason:
            try:
                for name, second in _gathered(graph, node, forward, gradients).items():
                    gradients[name] = gradients.get(name, 0.0) + second
            except (NoRuleError, ActivationError) as error:
                reason = _obstacle(node, error)
        if reason:
            for _, name in node.refs():
                if name in floats:
                    blocked.setdefault(name, reason)
    for name in blocked:
        gradients.pop(name, None)
    return gradients, blocked


def _gathered(
    graph: Graph, node: Node, forward: Mapping[str, Moments], gradients: Mapping[str, float]
) -> Cotangents:
    gathered = _rule_of(node).backward(Step(graph, node, forward), gradients[node.name])
    _require_finite(sum(gathered.values()), "gradients")
    return gathered
