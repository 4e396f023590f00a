"""Attention written out: softmax(q kᵀ·scale + bias) v by single operations becomes fused attention.

Its rows see different keys under a mask, and only the operation as a whole knows what that makes
of queries, keys and values (``graph.levels.attention``). Scales by numbers, casts and dropout may
stand between the two products, and any masks and biases whose numbers the code alone makes;
attention that holds anything else stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from evenflow.graph.graph import Argument, Graph, Node, Ref
from evenflow.graph.numbers.constants import HIDING, core_of
from evenflow.graph.simplify.fuse import reached
from evenflow.graph.simplify.sources import behind, input_of

_CASTS = ("to", "_to_copy", "type_as", "alias", "contiguous", "clone")
_PRODUCTS = {"matmul": "other", "bmm": "mat2"}
_SOFTMAX = ("softmax", "_softmax", "_safe_softmax")
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Logits:
    """scale · q kᵀ, and what is added to it: biases, −∞ where a key is hidden."""

    query: str
    key: str
    scale: float = 1.0
    added: tuple[tuple[str, float], ...] = ()
    """Names of known values; what each is multiplied with, or for a mask that says which keys are
    hidden (or seen) +∞ (or −∞)."""


def fused(graph: Graph) -> Graph:
    """The same network with one node for each attention that is written out."""
    masks: dict[tuple[object, ...], Node] = {}
    values = dict(graph.values)
    nodes: list[Node] = []
    for node in graph.nodes:
        found = _attention(graph, node)
        if found is None:
            nodes.append(node)
            continue
        logits, arguments = found
        key = (logits.added, graph.shape(logits.query)[-2], graph.shape(logits.key)[-2])
        if logits.added and key not in masks:
            mask = _mask(graph, logits)
            name = f"{node.name}_mask"
            masks[key] = Node(name, "mask", {}, mask.shape, str(mask.dtype), node.layer)
            values[name] = mask
            nodes.append(masks[key])
        arguments["attn_mask"] = Ref(masks[key].name) if logits.added else None
        target = "aten.scaled_dot_product_attention.default"
        op = "scaled_dot_product_attention"
        nodes.append(replace(node, op=op, arguments=arguments, target=target))
    return replace(graph, nodes=reached(graph, nodes), values=values)


def _attention(graph: Graph, node: Node) -> tuple[_Logits, dict[str, Argument]] | None:
    """The logits of an attention, and the arguments of the operation that it is."""
    if node.op not in _PRODUCTS:
        return None
    value = node.arguments.get(_PRODUCTS[node.op])
    name, dropped = _undropped(graph, input_of(node))
    softmax = graph.node(name)
    if not isinstance(value, Ref) or softmax is None or softmax.op not in _SOFTMAX:
        return None
    if softmax.arguments.get("dim") not in (-1, len(softmax.shape) - 1):
        return None
    logits = _logits(graph, input_of(softmax))
    if logits is None or graph.shape(logits.query)[:-2] != graph.shape(value.name)[:-2]:
        return None
    return logits, {
        "query": Ref(logits.query),
        "key": Ref(logits.key),
        "value": value,
        "dropout_p": dropped,
        "is_causal": False,
        "scale": logits.scale,
        "enable_gqa": False,
    }


def _undropped(graph: Graph, name: str) -> tuple[str, float]:
    """What dropout and casts were made of, and the share that is dropped."""
    name = behind(graph, name, _CASTS)
    node = graph.node(name)
    if node is None or node.op != "dropout":
        return name, 0.0
    share = node.arguments.get("p")
    drops = bool(node.arguments.get("train")) and isinstance(share, (int, float))
    return behind(graph, input_of(node), _CASTS), float(share) if drops else 0.0  # type: ignore[arg-type]


def _logits(graph: Graph, name: str) -> _Logits | None:
    """What a softmax reads, back to the product of queries and keys."""
    scale, added = 1.0, list[tuple[str, float]]()
    while (node := graph.node(behind(graph, name, _CASTS))) is not None:
        if node.op in _PRODUCTS:
            key = _turned(graph, node)
            alike = key and graph.shape(input_of(node))[:-2] == graph.shape(key)[:-2]
            return _Logits(input_of(node), key, scale, tuple(added)) if alike else None
        factor = _factor(node)
        step = None if factor is not None else next(_additions(graph, node), None)
        if factor is not None:
            name, scale = input_of(node), scale * factor
        elif step is not None:
            name, other, sign = step
            added.append((other, sign * scale))
        else:
            return None
    return None


def _factor(node: Node) -> float | None:
    """The number that logits are multiplied with."""
    number = node.arguments.get("other")
    if node.op not in ("mul", "div") or not isinstance(number, (int, float)) or not number:
        return None
    return float(number) if node.op == "mul" else 1 / float(number)


def _additions(graph: Graph, node: Node) -> Iterator[tuple[str, str, float]]:
    """Of a sum with known values, or of a choice by a known mask: the logits, what is known, and
    what it counts."""
    arguments = {k: v.name for k, v in node.arguments.items() if isinstance(v, Ref)}
    first, other = arguments.get("input", ""), arguments.get("other", "")
    if node.op == "add" and node.arguments.get("alpha", 1) == 1:
        for logits, known in ((first, other), (other, first)):
            if logits and known in graph.values and logits not in graph.values:
                yield logits, known, 1.0
    choices = {"masked_fill": ("mask", "value", np.inf), "where": ("condition", "other", -np.inf)}
    if node.op in choices:
        mask, filled, sign = choices[node.op]
        if arguments.get(mask) in graph.values and _hides(graph, node.arguments.get(filled)):
            yield first, arguments[mask], sign


def _hides(graph: Graph, value: Argument) -> bool:
    if isinstance(value, Ref):
        known = graph.values.get(value.name)
        value = float(known.reshape(-1)[0]) if known is not None and known.size == 1 else None
    return isinstance(value, (int, float)) and value <= HIDING


def _mask(graph: Graph, logits: _Logits) -> Array:
    """Which keys are seen; where biases are added these, and −∞ for the keys that are not."""
    hidden, bias = np.zeros((1, 1), dtype=bool), np.zeros((1, 1))
    for name, factor in logits.added:
        known = core_of(graph.values[name])[0]
        if np.isinf(factor):
            hidden = hidden | (known.astype(bool) == (factor > 0))
        else:
            hidden = hidden | (known <= HIDING)
            bias = bias + factor * np.where(known <= HIDING, 0.0, known)
    hidden, bias = np.broadcast_arrays(hidden, bias)
    mask = np.where(hidden, -np.inf, bias) if bias.any() else ~hidden
    shape = graph.shape(logits.query)
    whole = (*shape[:-1], graph.shape(logits.key)[-2])
    return np.broadcast_to(mask, np.broadcast_shapes(mask.shape, whole))


def _turned(graph: Graph, product: Node) -> str:
    """The keys that a product reads with their last two axes exchanged; "" where it does not."""
    value = product.arguments.get(_PRODUCTS[product.op])
    node = graph.node(behind(graph, value.name, _CASTS)) if isinstance(value, Ref) else None
    if node is None or node.op not in ("transpose", "mT"):
        return ""
    rank = len(node.shape)
    axes = {node.arguments.get("dim0", -1), node.arguments.get("dim1", -2)}
    turned = {axis % rank for axis in axes if isinstance(axis, int)}
    return input_of(node) if turned == {rank - 1, rank - 2} else ""
