"""Residual branches: where they end, and how many write into one stream.

A sum x + f(x) of L independent branches grows the stream's second moment L-fold; scaling the last
weight of each branch by 1/√L keeps the sum of all branches at the size of one. A stream goes on
through an activation behind a sum, as in the first residual networks.
"""

from __future__ import annotations

from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.rules.shape import ORDER_ONLY
from evenflow.planning.uses import Use

_TRANSPARENT = ORDER_ONLY | {"dropout", "feature_dropout"}


def branch_ends(graph: Graph, uses: dict[str, tuple[Use, ...]]) -> dict[str, int]:
    """For each weight that ends a residual branch: L, the number of branches on its stream."""
    weight_at = {use.node: use.parameter for each in uses.values() for use in each if use.is_weight}
    position = {node.name: place for place, node in enumerate(graph.nodes)}
    stream: dict[str, int] = {}  # residual sum -> how many sums are on its stream up to it
    ends: dict[str, tuple[str, str]] = {}  # parameter -> (residual sum, its stream's root)
    roots: dict[str, str] = {}
    for node in graph.nodes:
        sides = _sides(graph, node, position)
        if sides is None:
            continue
        branch, skip = sides
        root = roots.get(_through(graph, skip, _TRANSPARENT | {"activation"}), skip)
        roots[node.name] = root
        stream[root] = stream.get(root, 0) + 1
        if branch in weight_at:
            ends[weight_at[branch]] = (node.name, root)
    return {parameter: stream[root] for parameter, (_, root) in ends.items()}


def _sides(graph: Graph, node: Node, position: dict[str, int]) -> tuple[str, str] | None:
    """(end of the branch, start of the skip) where ``node`` is a residual sum x + f(x)."""
    values = [node.arguments.get(name) for name in ("input", "other")]
    if node.op != "add" or not all(isinstance(v, Ref) for v in values):
        return None
    left, right = (_through(graph, v.name, _TRANSPARENT) for v in values if isinstance(v, Ref))
    if _depends(graph, right, left, position):
        return right, left
    if _depends(graph, left, right, position):
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


def _depends(graph: Graph, name: str, on: str, position: dict[str, int]) -> bool:
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
