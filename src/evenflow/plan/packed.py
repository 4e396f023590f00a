"""Packed weights: one matrix product whose output is at once cut into several (Q, K and V …)."""

from __future__ import annotations

from evenflow.graph.graph import Graph, Node
from evenflow.graph.rules.shape import ORDER_ONLY


def packed_sizes(graph: Graph, node: Node) -> tuple[int, ...]:
    """Sizes along the output axis of the matrices that ``node`` computes at once; () for one."""
    width = node.shape[-1] if node.shape else 0
    for user in graph.users(node.name):
        if user.op in ("split", "chunk", "split_with_sizes") and user.shapes:
            sizes = tuple(shape[-1] for shape in user.shapes)
            if len(sizes) > 1 and sum(sizes) == width:
                return sizes
    return _sliced(graph, node, width) or _taken_apart(graph, node, width)


def _sliced(graph: Graph, node: Node, width: int) -> tuple[int, ...]:
    """Slices of the last axis that together cover it: ``h[..., :n], h[..., n:]``."""
    slices = [u for u in graph.users(node.name) if u.op in ("slice", "narrow")]
    if len(slices) != len(graph.users(node.name)):
        return ()
    sizes = tuple(u.shape[-1] for u in slices)
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
