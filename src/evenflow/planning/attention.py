"""Attention: queries small enough that no softmax starts saturated.

Logits q·k of d independent terms have variance d, which attention divides out by 1/√d. Where a
network leaves that to the initialisation (T5 does), weights of unit gain would start its softmax
saturated: one key takes all, and no gradient passes. The derivation says what the logits' variance
over the keys is; where it is above ``_LARGEST``, the weight that makes the queries is scaled down.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from evenflow.graph.algebra.layout import dims_of
from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.moments import Moments
from evenflow.graph.rules.shape import ORDER_ONLY, PARTS
from evenflow.planning.plan import Entry
from evenflow.planning.scaling import rescaled
from evenflow.planning.uses import Use

_LARGEST = 2.0
"""Variance of logits: a softmax over many keys then still weighs e^−2 ≈ 1/7 of them."""
_TRANSPARENT = ORDER_ONLY | PARTS | {"dropout", "add", "mul", "div", "masked_fill", "where"}
_FUSED = "scaled_dot_product_attention"
_PRODUCTS = ("matmul", "bmm", "baddbmm", "einsum")


def scaled_queries(
    graph: Graph,
    entries: Mapping[str, Entry],
    readings: Mapping[str, tuple[Use, ...]],
    ahead: Callable[[Mapping[str, Entry]], Mapping[str, Moments]],
) -> dict[str, Entry]:
    """``entries`` with the weights of queries scaled where a softmax would start saturated."""
    given = dict(entries)
    attentions = [node for node in graph.nodes if "softmax" in node.op or node.op == _FUSED]
    if not attentions:
        return given
    weights = {use.node: use.parameter for each in readings.values() for use in each}
    known = ahead(entries)
    for node in attentions:
        query = _query(graph, node, weights)
        entry = given.get(query)
        if entry is None or entry.distribution is None:
            continue
        variance = _fused_variance(known, node) if node.op == _FUSED else _variance(known, node)
        if variance > _LARGEST and given[query] is entries[query]:
            factor = 1 / math.sqrt(variance)
            why = (
                f"{entry.why}; makes queries, scaled by {factor:.3g}: else the logits of the "
                f"attention would have variance {variance:.3g} over the keys"
            )
            given[query] = replace(
                entry, distribution=rescaled(entry.distribution, factor), why=why
            )
    return given


def _name(node: Node, argument: str) -> str:
    value = node.arguments.get(argument)
    return value.name if isinstance(value, Ref) else ""


def _variance(known: Mapping[str, Moments], node: Node) -> float:
    """Variance of logits along the axis of a softmax; 0 where it is unknown."""
    logits = known.get(_name(node, "input"))
    if logits is None or not logits.axes:
        return 0.0
    dim = node.arguments.get("dim")
    axis = (dim if isinstance(dim, int) else -1) % len(logits.axes)
    return logits.second - _apart(logits, axis)


def _fused_variance(known: Mapping[str, Moments], node: Node) -> float:
    """The same where queries and keys are handed over: scale² d q_q (q_k − s_k)."""
    query, key = known.get(_name(node, "query")), known.get(_name(node, "key"))
    if query is None or key is None:
        return 0.0
    d = query.shape[-1]
    scale = node.arguments.get("scale")
    factor = float(scale) if isinstance(scale, (int, float)) else d**-0.5
    return factor**2 * d * query.second * (key.second - _apart(key, len(key.axes) - 2))


def _apart(x: Moments, axis: int) -> float:
    """E[x·x′] of two elements that differ along one axis alone."""
    index = [0] * x.pairs.ndim
    for place in dims_of(x, axis):
        index[place] = -1
    return float(x.pairs[tuple(index)])


def _query(graph: Graph, node: Node, weights: Mapping[str, str]) -> str:
    """The weight that makes the queries of an attention; "" if there is none."""
    if node.op == _FUSED:
        first = _name(node, "query")
    else:
        product = _behind(graph, _name(node, "input"), lambda n: n.op.startswith(_PRODUCTS))
        if product is None or product.name in weights:  # logits made by a weight: no attention
            return ""
        first = next((name for _, name in product.refs()), "")
    made = _behind(graph, first, lambda n: n.name in weights)
    return weights[made.name] if made is not None else ""


def _behind(graph: Graph, name: str, wanted: Callable[[Node], bool]) -> Node | None:
    """The nearest operation behind ``name`` that is wanted, through those that only move, scale or
    shift."""
    node = graph.node(name)
    while node is not None and not wanted(node):
        if node.op not in _TRANSPARENT:
            return None
        node = graph.node(next((read for _, read in node.refs()), ""))
    return node
