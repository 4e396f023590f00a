"""What an operation was made of, seen through others that leave it as it is."""

from __future__ import annotations

from collections.abc import Collection

from evenflow.graph.graph import Graph, Node, Ref


def input_of(node: Node) -> str:
    """Name of the value that an operation reads first; "" where it is none."""
    value = node.arguments.get("input")
    return value.name if isinstance(value, Ref) else ""


def behind(graph: Graph, name: str, operations: Collection[str]) -> str:
    """The value that ``name`` was made of by these operations (casts, views) alone."""
    node = graph.node(name)
    while node is not None and node.op in operations and input_of(node):
        name = input_of(node)
        node = graph.node(name)
    return name
