"""Units: a graph's operations in an order in which they can be derived, some of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evenflow.graph.graph import Graph, Node
from evenflow.graph.recurrent.chains import Chain
from evenflow.graph.recurrent.recurrences import Recurrence

Unit = Node | Recurrence | Chain


def units(graph: Graph, together: Sequence[Recurrence | Chain]) -> list[Unit]:
    """All operations, those that belong together as one; what would be in two is in the first."""
    owner: dict[str, Recurrence | Chain] = {}
    for each in together:
        names = {node.name for node in each.nodes}
        if names.isdisjoint(owner):
            owner |= dict.fromkeys(names, each)
    if not owner:
        return list(graph.nodes)
    waiting: list[Unit] = []
    seen: set[int] = set()
    for node in graph.nodes:
        unit = owner.get(node.name, node)
        if id(unit) not in seen:
            seen.add(id(unit))
            waiting.append(unit)
    return list(_ordered(graph, waiting))


def _ordered(graph: Graph, waiting: list[Unit]) -> Iterator[Unit]:
    ready = {*graph.inputs, *graph.parameters}
    while waiting:
        later: list[Unit] = []
        for unit in waiting:
            if _needed(unit) <= ready:
                ready.update(node.name for node in nodes_of(unit))
                yield unit
            else:
                later.append(unit)
        if len(later) == len(waiting):  # an operand that nothing makes
            yield from later
            return
        waiting = later


def nodes_of(unit: Unit) -> tuple[Node, ...]:
    """The operations of a unit, in execution order."""
    return (unit,) if isinstance(unit, Node) else unit.nodes


def _needed(unit: Unit) -> set[str]:
    if isinstance(unit, Node):
        return {name for _, name in unit.refs()}
    return set(unit.needs())
