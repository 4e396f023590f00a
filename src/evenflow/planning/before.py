"""What stands before a weight: the activation whose gains it has to make up for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.rules.shape import ORDER_ONLY, PARTS
from evenflow.theory.activations import Activation, find
from evenflow.theory.cells import CELL_GAINS

PRELU_SLOPE = 0.25
"""He et al. 2015: the slope of a PReLU before training."""
_TRANSPARENT = ORDER_ONLY | PARTS | {"dropout", "feature_dropout", "constant_pad_nd", "pad"}
POOLS = ("max_pool", "avg_pool", "adaptive_")
NORMS = frozenset(
    {"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "standardise"}
)


@dataclass(frozen=True)
class Before:
    """The activation in front of a weight, and whether a normalisation holds its input."""

    activation: Activation
    node: str
    pinned: bool
    """True: a normalisation before the activation holds its input at second moment 1."""


def before(graph: Graph, source: str) -> Before | None:
    """The activation whose output, pooled or reshaped or not, is the value ``source``."""
    node = _walk(graph, source)
    activation = _activation(node)
    if node is None or activation is None:
        return None
    producer = _walk(graph, _input(node))
    return Before(activation, node.name, producer is not None and producer.op in NORMS)


def cell_before(graph: Graph, source: str) -> str:
    """Kind of the recurrent cell whose states are the value ``source``: "lstm" or "gru"; "" for
    none."""
    node = _walk(graph, source)
    kind = node.op.removesuffix("_cell") if node is not None else ""
    return kind if kind in CELL_GAINS else ""


def _activation(node: Node | None) -> Activation | None:
    """What an operation computes element by element; a PReLU at the slope that it starts with."""
    if node is not None and node.op == "prelu":
        return find("prelu", negative_slope=PRELU_SLOPE)
    return node.activation if node is not None else None


def _walk(graph: Graph, name: str) -> Node | None:
    """The nearest operation behind ``name`` that does more than pool, reorder or drop."""
    node = graph.node(name)
    while node is not None and (node.op in _TRANSPARENT or node.op.startswith(POOLS)):
        node = graph.node(_input(node))
    return node


def _input(node: Node) -> str:
    value = node.arguments.get("input")
    return value.name if isinstance(value, Ref) else ""


def free_depth(graph: Graph, activation: Activation, sums: Collection[str] = ()) -> int:
    """Most activations of this kind, none held by a normalisation, on any path of the graph from
    one residual sum to the next: the stream, and not what a branch makes of it, goes on."""
    depth: dict[str, int] = {}
    for node in graph.nodes:
        behind = max((depth.get(name, 0) for _, name in node.refs()), default=0)
        counts = 0
        if _activation(node) == activation:
            found = before(graph, node.name)
            counts = int(found is not None and not found.pinned)
        depth[node.name] = 0 if node.name in sums else behind + counts
    return max(depth.values(), default=0)
