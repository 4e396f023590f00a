"""What a reader is told of each tensor of a derivation, and of each module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from evenflow.graph.fluctuation import Interval
from evenflow.graph.graph import Graph, Node
from evenflow.graph.moments import Moments
from evenflow.graph.propagate import Derivation
from evenflow.planning.uses import Use, uses
from evenflow.report.derivation.sentences import backward_sentence, forward_sentence


@dataclass(frozen=True)
class TensorRow:
    """One floating-point result of an operation."""

    name: str
    op: str
    layer: str
    source: str
    depth: int
    shape: tuple[int, ...]
    forward: Moments | None
    forward_interval: Interval | None
    backward: Moments | None
    backward_interval: Interval | None
    forward_sentence: str
    backward_sentence: str
    reads: tuple[str, ...]
    """Results that it reads, nearest first."""
    remark: str
    """"sampled: …", "unknown: …" or ""."""


def tensor_rows(derivation: Derivation) -> list[TensorRow]:
    """A row for every floating-point result, in execution order, but those that the code alone
    makes."""
    graph = derivation.graph
    by_node: dict[str, Use] = {
        use.node: use for each in uses(graph).values() for use in each if use.is_weight
    }
    return [
        _row(derivation, node, depth, by_node)
        for depth, node in enumerate(graph.nodes)
        if _is_derived(graph, node)
    ]


def _is_derived(graph: Graph, node: Node) -> bool:
    """Whether a result is one to have Moments: a number that no folded value already is."""
    return node.dtype.startswith(("float", "bfloat")) and node.name not in graph.values


def _row(derivation: Derivation, node: Node, depth: int, by_node: dict[str, Use]) -> TensorRow:
    name = node.name
    return TensorRow(
        name=name,
        op=node.activation.name if node.activation else node.op,
        layer=node.layer,
        source=node.source,
        depth=depth,
        shape=node.shape,
        forward=derivation.forward.get(name),
        forward_interval=derivation.interval_forward.get(name),
        backward=derivation.backward.get(name),
        backward_interval=derivation.interval_backward.get(name),
        forward_sentence=forward_sentence(derivation, node, by_node.get(name)),
        backward_sentence=backward_sentence(derivation, node, by_node),
        reads=tuple(dict.fromkeys(_read(derivation.graph, node))),
        remark=remark(derivation, name),
    )


def _read(graph: Graph, node: Node) -> Iterator[str]:
    """Results that have rows of their own among what an operation reads."""
    for _, name in node.refs():
        source = graph.node(name)
        if source is not None and name not in graph.values:
            yield name


def remark(derivation: Derivation, name: str) -> str:
    """What sets a tensor apart: sampled instead of derived, or unknown and why."""
    if name in derivation.sampled:
        return f"sampled: no rule for {derivation.sampled[name]}"
    obstacle = derivation.obstacles_forward.get(name) or derivation.obstacles_backward.get(name)
    return f"unknown: {obstacle}" if obstacle else ""


@dataclass(frozen=True)
class ModuleRow:
    """The last tensor of a module, and what its tensors have in common."""

    layer: str
    last: TensorRow
    operations: int
    sampled: int
    unknown: int


def module_rows(rows: list[TensorRow], depth: int) -> list[ModuleRow]:
    """Modules down to ``depth`` parts of their names, in the order in which they end."""
    return list(_modules(rows, depth))


def _modules(rows: list[TensorRow], depth: int) -> Iterator[ModuleRow]:
    groups: list[tuple[str, list[TensorRow]]] = []
    for row in rows:
        layer = ".".join(row.layer.split(".")[:depth])
        if not groups or groups[-1][0] != layer:
            groups.append((layer, []))
        groups[-1][1].append(row)
    for layer, members in groups:
        yield ModuleRow(
            layer,
            members[-1],
            len(members),
            sum(row.remark.startswith("sampled") for row in members),
            sum(row.remark.startswith("unknown") for row in members),
        )


def coverage(derivation: Derivation) -> tuple[int, int, int]:
    """Floating-point operations derived by rule, sampled, and without Moments."""
    nodes = [node for node in derivation.graph.nodes if _is_derived(derivation.graph, node)]
    sampled = sum(node.name in derivation.sampled for node in nodes)
    known = sum(node.name in derivation.forward for node in nodes)
    return known - sampled, sampled, len(nodes) - known
