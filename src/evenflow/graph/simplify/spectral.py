"""Spectral norm: a weight over its largest singular value, as single operations.

PyTorch's parametrisation writes W/(uᵀWv), u and v being the singular vectors that power iteration
has found: functions of W, which rules that take operands as independent get wrong by far.
"""

from __future__ import annotations

from dataclasses import replace

from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.simplify.fuse import reached
from evenflow.graph.simplify.sources import behind

_VIEWS = ("flatten", "view", "reshape", "permute", "_to_copy", "to", "detach", "alias")


def spectral(graph: Graph) -> Graph:
    """The same network with one "spectral_norm" node for each weight that is so normalised."""
    nodes = [_normalised(graph, node) or node for node in graph.nodes]
    return replace(graph, nodes=reached(graph, nodes))


def _normalised(graph: Graph, node: Node) -> Node | None:
    weight = node.arguments.get("input")
    product = _producer(graph, node, "other")
    if node.op != "div" or not isinstance(weight, Ref) or product is None:
        return None
    mapped = _producer(graph, product, "tensor") or _producer(graph, product, "other")
    matrix = mapped.arguments.get("input") if mapped is not None and mapped.op == "mv" else None
    if product.op not in ("vdot", "dot") or not isinstance(matrix, Ref):
        return None
    if behind(graph, matrix.name, _VIEWS) != behind(graph, weight.name, _VIEWS):
        return None
    rows, columns = graph.shape(matrix.name)
    return replace(
        node,
        op="spectral_norm",
        arguments={"input": weight, "rows": rows, "columns": columns},
    )


def _producer(graph: Graph, node: Node, argument: str) -> Node | None:
    value = node.arguments.get(argument)
    return graph.node(value.name) if isinstance(value, Ref) else None
