"""Residual sums x + f(x): where they are, which parameter ends the branch, how many one stream has.

A stream goes on through activations and normalisations between its sums, as in the first residual
networks and in post-norm transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.rules.shape import ORDER_ONLY
from evenflow.planning.before import NORMS
from evenflow.planning.uses import Use

_TRANSPARENT = ORDER_ONLY | {"dropout", "feature_dropout"}
_STREAM = _TRANSPARENT | NORMS | {"activation"}


@dataclass(frozen=True)
class Sum:
    """One residual sum."""

    node: str
    branch: str
    """What is added: the value at the end of f."""
    skip: str
    """What it is added to."""
    end: str
    """The parameter that the branch is proportional to: its last weight, or the scale of the
    normalisation that ends it; "" if there is none."""
    stream: str
    """Where the stream began that it is a part of."""
    branches: int
    """Sums on that stream."""


def residual_sums(graph: Graph, uses: Mapping[str, tuple[Use, ...]]) -> tuple[Sum, ...]:
    """All residual sums in execution order."""
    ends = {use.node: use.parameter for each in uses.values() for use in each if use.is_weight}
    ends |= {use.node: use.parameter for each in uses.values() for use in each if _scales(use)}
    position = {node.name: place for place, node in enumerate(graph.nodes)}
    roots: dict[str, str] = {}
    found: list[Sum] = []
    for node in graph.nodes:
        sides = _sides(graph, node, position)
        if sides is None:
            continue
        branch, skip = sides
        before = _through(graph, skip, _STREAM)
        roots[node.name] = roots.get(before, before)
        end = ends.get(_through(graph, branch, _TRANSPARENT), "")
        found.append(Sum(node.name, branch, skip, end, roots[node.name], 1))
    counts: dict[str, int] = {}
    for each in found:
        counts[each.stream] = counts.get(each.stream, 0) + 1
    return tuple(replace(each, branches=counts[each.stream]) for each in found)


def _scales(use: Use) -> bool:
    return use.role == "scale"


def _sides(graph: Graph, node: Node, position: Mapping[str, int]) -> tuple[str, str] | None:
    """(end of the branch, start of the skip) where ``node`` is a residual sum x + f(x)."""
    values = [node.arguments.get(name) for name in ("input", "other")]
    left, right = (v.name if isinstance(v, Ref) else "" for v in values)
    if node.op != "add" or not left or not right:
        return None
    ours, theirs = (_through(graph, name, _TRANSPARENT) for name in (left, right))
    if _depends(graph, theirs, ours, position):
        return right, left
    if _depends(graph, ours, theirs, position):
        return left, right
    return None


def _through(graph: Graph, name: str, operations: frozenset[str]) -> str:
    """Look through ``operations`` to the one that made the value."""
    node = graph.node(name)
    while node is not None and node.op in operations:
        value = node.arguments.get("input")
        if not isinstance(value, Ref):
            break
        name = value.name
        node = graph.node(name)
    return name


def _depends(graph: Graph, name: str, on: str, position: Mapping[str, int]) -> bool:
    """Whether the value ``name`` is computed from the value ``on``; looks only between the two."""
    start = position.get(on, -1)
    waiting, seen = [name], {name}
    while waiting:
        node = graph.node(waiting.pop())
        for _, source in node.refs() if node is not None else ():
            if source == on:
                return True
            if source not in seen and position.get(source, -1) > start:
                seen.add(source)
                waiting.append(source)
    return False
