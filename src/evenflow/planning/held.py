"""Held: which parameter a value is, seen through reshaping, cutting and weight normalisation."""

from __future__ import annotations

from dataclasses import dataclass, replace

from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.rules.shape import ORDER_ONLY, PARTS

LOOKED_THROUGH = ORDER_ONLY | PARTS | {"_weight_norm"}


@dataclass(frozen=True)
class Held:
    """A parameter, or a part of one, as an operation reads it."""

    parameter: str
    axis: int | None
    """Where an axis of the value lies in the parameter; None if it is no single axis of it."""
    start: int = 0
    """The first index along that axis that belongs to the value."""
    magnitude: str = ""
    """The parameter that sets the size of a weight-normalised weight."""


def held(graph: Graph, name: str, axis: int = 0) -> Held | None:
    """The parameter that the value ``name`` is made of, and where its ``axis`` lies in it.

    None for values that are computed, inputs and buffers.
    """
    found = Held("", axis % max(len(graph.shape(name)), 1))
    while name not in graph.parameters:
        node = graph.node(name)
        if node is None or node.op not in LOOKED_THROUGH:
            return None
        found = _before(graph, node, found)
        name = _name(node, "v" if node.op == "_weight_norm" else "input")
    return None if graph.parameters[name].buffer else replace(found, parameter=name)


def _name(node: Node, argument: str) -> str:
    value = node.arguments.get(argument)
    return value.name if isinstance(value, Ref) else ""


def _before(graph: Graph, node: Node, found: Held) -> Held:
    """Where the axis lay before ``node`` reshaped or cut the tensor."""
    if node.op == "_weight_norm":
        return replace(found, magnitude=_name(node, "g"))
    if found.axis is None:
        return found
    if node.op == "getitem":
        return replace(found, start=found.start + _offset(graph, node, found.axis))
    if node.op in ("slice", "narrow") and _axis(node, "dim") == found.axis:
        length = graph.shape(_name(node, "input"))[found.axis]
        return replace(found, start=found.start + _integer(node, "start") % max(length, 1))
    return replace(found, axis=_moved(graph, node, found.axis))


def _offset(graph: Graph, node: Node, axis: int) -> int:
    """Where one of the pieces of a split begins."""
    cut = graph.node(_name(node, "input"))
    if cut is None or cut.op == "unbind" or _axis(cut, "dim") != axis:
        return 0
    return sum(shape[axis] for shape in cut.shapes[: _integer(node, "index")])


def _moved(graph: Graph, node: Node, axis: int) -> int | None:
    """The axis of the operation's input that became ``axis`` of its result."""
    rank = len(node.shape)
    if node.op in ("t", "numpy_T"):
        return rank - 1 - axis
    if node.op in ("transpose", "swapaxes"):
        first, second = ("dim0", "dim1") if node.op == "transpose" else ("axis0", "axis1")
        swap = {_axis(node, first): _axis(node, second), _axis(node, second): _axis(node, first)}
        return swap.get(axis, axis)
    if node.op == "permute":
        dims = node.arguments.get("dims")
        return int(dims[axis]) % rank if isinstance(dims, tuple) else None  # type: ignore[arg-type]
    if node.op in ("select", "unbind"):
        return axis + (_axis(node, "dim") <= axis)
    kept = graph.shape(_name(node, "input")) == node.shape
    return axis if kept or node.op in PARTS else None


def _integer(node: Node, argument: str) -> int:
    value = node.arguments.get(argument)
    return value if isinstance(value, int) else 0


def _axis(node: Node, argument: str) -> int:
    """An axis among the arguments, counted from the front."""
    rank = len(node.shape) + (node.op in ("select", "unbind"))
    return _integer(node, argument) % max(rank, 1)
