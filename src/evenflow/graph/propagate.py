"""Propagate: Moments of every tensor forwards, of its gradient backwards, from the Graph alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evenflow.graph.graph import Graph, Node
from evenflow.graph.moments import Moments
from evenflow.graph.rules import RULES, Step


@dataclass(frozen=True)
class Derivation:
    """What the calculus says about a Graph.

    A value missing from ``forward`` or ``backward`` has the reason in ``obstacles_forward`` or
    ``obstacles_backward``: the first operation without a rule that stands in its way.
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

    Inputs not given count as independent with mean 0 and second moment 1. ``cotangents`` are the
    second moments of the gradients that reach the outputs; 1 where none is given.
    """
    forward: dict[str, Moments] = {name: Moments.independent() for name in graph.inputs}
    forward.update(inputs or {})
    forward.update(parameters)
    blocked: dict[str, str] = {}
    for node in graph.nodes:
        obstacle = _obstacle(node, blocked)
        if obstacle:
            blocked[node.name] = obstacle
        else:
            forward[node.name] = RULES[node.op].forward(Step(graph, node, forward))
    backward, blocked_backward = _backwards(graph, forward, blocked, cotangents or {})
    return Derivation(forward, backward, blocked, blocked_backward)


def _obstacle(node: Node, blocked: Mapping[str, str]) -> str:
    """Why a node cannot be derived, "" if it can."""
    for _, name in node.refs():
        if name in blocked:
            return blocked[name]
    if node.op not in RULES:
        place = node.layer or "the top of the model"
        return f"no rule for {node.op!r} in {place}"
    return ""


def _backwards(
    graph: Graph,
    forward: Mapping[str, Moments],
    blocked_forward: Mapping[str, str],
    cotangents: Mapping[str, float],
) -> tuple[dict[str, float], dict[str, str]]:
    gradients = {name: cotangents.get(name, 1.0) for name in graph.outputs}
    blocked: dict[str, str] = {}
    for node in reversed(graph.nodes):
        if node.name in blocked:
            reason = blocked[node.name]
        elif node.name in blocked_forward and node.name in gradients:
            reason = blocked_forward[node.name]
        elif node.name in gradients:
            step = Step(graph, node, forward)
            for name, second in RULES[node.op].backward(step, gradients[node.name]).items():
                gradients[name] = gradients.get(name, 0.0) + second
            continue
        else:
            continue
        for _, name in node.refs():
            blocked.setdefault(name, reason)
    for name in blocked:
        gradients.pop(name, None)
    return gradients, blocked
