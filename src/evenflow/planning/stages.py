"""Stages: the blocks of a network, told apart by what sets their level.

A block ends at a residual sum; in a network without any, at each weight, with the normalisation or
the product that reads it. The blocks of one residual stream are a stage, and so is a single
weight's. What can be compared are stages that lead to one another: an encoder's levels say nothing
of a decoder's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from evenflow.graph.graph import Graph, Node
from evenflow.graph.rules.shape import ORDER_ONLY, PARTS
from evenflow.planning.before import NORMS, POOLS
from evenflow.planning.head import origins
from evenflow.planning.residual import Sum
from evenflow.planning.response import response
from evenflow.planning.uses import Use

_ATTENTION = ("matmul", "bmm", "baddbmm", "scaled_dot_product_attention")
_LEVERS = ("linear", "conv", "conv_transpose", "bilinear")
_ONE = np.zeros(())
"""Log of a second moment of 1."""
_COPIES = ORDER_ONLY | {"dropout", "feature_dropout", "constant_pad_nd", "pad"}


@dataclass(frozen=True)
class Stage:
    """Blocks whose level is set at one place."""

    outputs: tuple[str, ...]
    """Values at which they end, in execution order."""
    source: str
    """The operation that sets their level: a weight's, or a normalisation that holds it."""
    weight: str
    """The parameter that the level is proportional to; "" where there is none."""
    held: bool = False
    """Whether a normalisation holds their level."""
    behind: tuple[int, ...] = ()
    """Places, among all stages, of those that these blocks are computed from."""


def stages(
    graph: Graph, readings: Mapping[str, tuple[Use, ...]], sums: Sequence[Sum]
) -> tuple[Stage, ...]:
    """All stages of a network, of the given residual sums, in execution order."""
    weights = {
        use.node: use for each in readings.values() for use in each if use.is_weight and use.fan_in
    }
    alone = {
        name
        for name, use in weights.items()
        if use.role in _LEVERS and len(readings[use.parameter]) == 1 and not use.magnitude
    }
    found = list(_streams(graph, sums, weights.keys()))
    found = found or list(_weights(graph, weights.keys()))
    ends = {output: place for place, stage in enumerate(found) for output in stage.outputs}
    for place, stage in enumerate(found):
        use = weights.get(stage.source)
        behind, inputs = _behind(graph, stage.source, ends)
        known = not (behind and inputs)  # nothing is known of what joins later (a graph's edges …)
        weight = use.parameter if use and known and stage.source in alone else ""
        node = graph.node(stage.source)
        held = node is not None and node.op in NORMS
        found[place] = replace(stage, weight=weight, held=held, behind=tuple(sorted(behind)))
    return tuple(found)


def chains(found: tuple[Stage, ...]) -> tuple[tuple[int, ...], ...]:
    """Places of the stages that lead to one another, together."""
    chain = list(range(len(found)))
    for place, stage in enumerate(found):
        for other in stage.behind:
            chain = [chain[other] if each == chain[place] else each for each in chain]
    return tuple(
        tuple(place for place, each in enumerate(chain) if each == name)
        for name in dict.fromkeys(chain)
    )


def is_plain(graph: Graph, found: tuple[Stage, ...], place: int) -> bool:
    """Whether a stage is a weight, and nothing but an activation stands between it and the stage
    before it, or the input, of about the same size."""
    stage = found[place]
    node = graph.node(stage.source)
    if node is None or stage.outputs != (node.name,):
        return False
    ends = {name for each in stage.behind for name in found[each].outputs}
    name = node.name
    while node is not None and (name == stage.source or node.op in (*_COPIES, "activation")):
        name = next((each for _, each in node.refs()), "")
        node = graph.node(name) if name not in ends else None
    if name not in ends and name not in graph.inputs:
        return False
    sizes = [prod(graph.shape(each)[1:]) for each in (name, stage.source)]
    return max(sizes) <= 2 * min(sizes)


def _streams(graph: Graph, sums: Sequence[Sum], weights: Collection[str]) -> Iterator[Stage]:
    """One stage for each residual stream."""
    streams: dict[str, list[str]] = {}
    starts: dict[str, str] = {}
    for each in sums:
        streams.setdefault(each.stream, []).append(each.node)
        starts.setdefault(each.stream, each.skip)
    for stream, outputs in streams.items():
        yield Stage(tuple(outputs), _source(graph, starts[stream], weights), "")


def _source(graph: Graph, name: str, weights: Collection[str]) -> str:
    """What sets the level of a stream that starts with the value ``name``."""
    node = graph.node(name)
    while node is not None and node.name not in weights:
        passed = node.op in _COPIES or node.op == "activation" or node.op.startswith(POOLS)
        if not passed:
            break
        name = next((each for _, each in node.refs()), "")
        node = graph.node(name)
    return name


def _weights(graph: Graph, weights: Collection[str]) -> Iterator[Stage]:
    """One stage for each place where a block of weights ends; the network's outputs are none."""
    last = origins(graph)
    sources: dict[str, str] = {}
    for node in graph.nodes:
        if node.name in weights and node.name not in last and (found := _end(graph, node)):
            end, sets_level = found
            if sets_level or end.name not in sources:
                sources[end.name] = node.name if sets_level else end.name
    for node in graph.nodes:
        if node.name in sources:
            yield Stage((node.name,), sources[node.name], "")


def _end(graph: Graph, node: Node) -> tuple[Node, bool] | None:
    """Where the block of a weight's operation ends, and whether its level there is proportional to
    the weight; None for queries, keys and values, whose block is the attention.

    A block goes on through the normalisation, the product with a gate, and the concatenation or
    the sum with what was there before, that alone reads it.
    """
    if node.shapes:  # of several results, the first that is read
        results = [each for each in graph.users(node.name) if each.op == "getitem"]
        return (results[0], True) if results else None
    readers = list(_readers(graph, node, _COPIES | PARTS))
    if any(each.op in _ATTENTION and _joins(graph, each) for each in readers):
        return None
    following = [each for reader in readers for each in _readers(graph, reader, _COPIES)]
    if readers and all(each.op == "activation" for each in readers):
        gated = [each for each in following if each.op == "mul" and _joins(graph, each)]
        return (_sum(graph, gated[0]), _grows(readers[0])) if gated else (node, True)
    if len(readers) != 1:
        return node, True
    (reader,) = readers
    if reader.op in NORMS:
        return reader, False
    if reader.op == "mul" and _joins(graph, reader):
        return _sum(graph, reader), True
    return (reader, False) if reader.op == "cat" and _joins(graph, reader) else (node, True)


def _grows(node: Node) -> bool:
    """Whether an activation's output follows the level of its input, as a gate's does not."""
    return node.activation is not None and bool(response(node.activation).slope(_ONE) > 0.3)


def _sum(graph: Graph, node: Node) -> Node:
    """The sum that alone reads ``node``, if there is one."""
    readers = list(_readers(graph, node, _COPIES))
    return readers[0] if len(readers) == 1 and readers[0].op == "add" else node


def _readers(graph: Graph, node: Node, through: Collection[str]) -> Iterator[Node]:
    """What reads a result, seen through operations that leave it as it is."""
    for user in graph.users(node.name):
        if user.op in through:
            yield from _readers(graph, user, through)
        else:
            yield user


def _joins(graph: Graph, node: Node) -> bool:
    """Whether an operation takes several computed tensors."""
    names = {name for _, name in node.refs()}
    return sum(graph.node(name) is not None and name not in graph.values for name in names) > 1


def _behind(graph: Graph, name: str, ends: Mapping[str, int]) -> tuple[set[int], set[str]]:
    """Stages and inputs that the operation ``name`` reads from, through anything but stages."""
    waiting, seen, found = [name], {name}, set()
    while waiting:
        node = graph.node(waiting.pop())
        for _, source in node.refs() if node is not None else ():
            if source in ends:
                found.add(ends[source])
            elif source not in seen:
                seen.add(source)
                waiting.append(source)
    return found, seen & graph.inputs.keys()
