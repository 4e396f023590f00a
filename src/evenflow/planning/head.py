"""The head: outputs small enough that the loss starts near chance.

Logits of variance σ² start a cross-entropy about σ²/2 above that of the even guess, and a squared
error σ² above that of the mean. A head that its fans would make louder than ``_LOUDEST`` is scaled
down; the gradients of everything behind it shrink alike, so that levels stay level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.moments import Moments
from evenflow.graph.rules.shape import ORDER_ONLY
from evenflow.planning.plan import Entry
from evenflow.planning.scaling import rescaled
from evenflow.planning.uses import Use

_LOUDEST = 0.5
"""Second moment of outputs: a cross-entropy then starts a quarter above chance at most. Quieter
heads start nearer to it, but send so much less gradient back that training starts more slowly
(``make bench-trainability``)."""


def quiet_heads(
    graph: Graph,
    entries: Mapping[str, Entry],
    readings: Mapping[str, tuple[Use, ...]],
    ahead: Callable[[Mapping[str, Entry]], Mapping[str, Moments]],
) -> dict[str, Entry]:
    """``entries`` with every head scaled to outputs of second moment ``_LOUDEST`` at most.

    A head is a linear layer whose result the model returns and which has fewer outputs than
    inputs; a layer as wide as its input may well be a trunk's last, and is left alone.
    """
    given = dict(entries)
    heads = [
        (use, node)
        for each in readings.values()
        for use in each
        if (node := _of_outputs(graph, use)) is not None and use.fan_out < use.fan_in
    ]
    if not heads:
        return given
    known = ahead(entries)
    for use, node in heads:
        entry, output = given.get(use.parameter), known.get(node.name)
        if entry is None or entry.distribution is None or output is None:
            continue
        if len(readings[use.parameter]) == 1 and output.second > _LOUDEST:
            factor = math.sqrt(_LOUDEST / output.second)
            why = f"{entry.why}; a head, scaled by {factor:.3g} so that the loss starts near chance"
            given[use.parameter] = replace(
                entry, distribution=rescaled(entry.distribution, factor), why=why
            )
    return given


def _of_outputs(graph: Graph, use: Use) -> Node | None:
    """The operation of a linear weight, if the model returns its result as it is."""
    node = graph.node(use.node)
    if use.role != "linear" or node is None or use.magnitude:
        return None
    return node if node.name in origins(graph) else None


def origins(graph: Graph) -> set[str]:
    """What the outputs are, seen through reshaping."""
    found = set()
    for name in graph.outputs:
        node = graph.node(name)
        while node is not None and node.op in ORDER_ONLY:
            value = node.arguments.get("input")
            name = value.name if isinstance(value, Ref) else ""
            node = graph.node(name)
        found.add(name)
    return found
