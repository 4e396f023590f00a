"""Packed weights: one matrix product whose output is at once cut into several (Q, K and V …)."""

from __future__ import annotations

from collections.abc import Iterator

from evenflow.graph.graph import Graph, Node
from evenflow.graph.rules.shape import ORDER_ONLY

_CUTS = ("split", "split_with_sizes", "chunk")


def packed_sizes(graph: Graph, node: Node) -> tuple[int, ...]:
    """Sizes along the output axis of the matrices that ``node`` computes at once; () for one."""
    width = node.shape[-1] if node.shape else 0
    readers = list(_readers(graph, node, width))
    for reader in readers:
        sizes = tuple(shape[-1] for shape in reader.shapes if shape)
        if reader.op in _CUTS and len(sizes) > 1 and sum(sizes) == width:
            return sizes
        if reader.op == "glu" and reader.shape[-1] * 2 == width:
            return (width // 2, width // 2)
    return _sliced(readers, width) or _taken_apart(graph, node, width)


def _readers(graph: Graph, node: Node, width: int) -> Iterator[Node]:
    """What reads the result, seen through reshaping that leaves the last axis whole."""
    for user in graph.users(node.name):
        if user.op in ORDER_ONLY and user.shape[-1:] == (width,):
            yield from _readers(graph, user, width)
        else:
            yield user


def _sliced(readers: list[Node], width: int) -> tuple[int, ...]:
    """Slices of the last axis that together cover it: ``h[..., :n], h[..., n:]``."""
    if any(reader.op not in ("slice", "narrow") for reader in readers):
        return ()
    sizes = tuple(reader.shape[-1] for reader in readers)
    return sizes if len(sizes) > 1 and sum(sizes) == width else ()


def _taken_apart(graph: Graph, node: Node, width: int) -> tuple[int, ...]:
    """A view (…, k, width/k …) of which the k parts are then read one by one."""
    (*_, user) = graph.users(node.name) or (None,)
    if user is None or user.op not in ("view", "reshape", "unflatten") or len(user.shape) < 2:
        return ()
    kept = len(node.shape) - 1
    parts = user.shape[kept] if user.shape[:kept] == node.shape[:kept] else 0
    if not 2 <= parts <= 4 or width % parts or len(user.shape) <= kept + 1:
        return ()
    return (width // parts,) * parts if _read_apart(graph, user, parts) else ()


def _read_apart(graph: Graph, node: Node, parts: int) -> bool:
    """Whether the tensor, reordered or not, is unbound or indexed along an axis of ``parts``."""
    users = graph.users(node.name)
    if any(u.op == "unbind" and len(u.shapes) == parts for u in users):
        return True
    if sum(u.op == "select" for u in users) >= parts:
        return True
    return len(users) == 1 and users[0].op in ORDER_ONLY and _read_apart(graph, users[0], parts)
