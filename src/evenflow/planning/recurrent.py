"""Recurrent operations: which of their many arguments are weights, of how many gates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from evenflow.graph.graph import Node, Ref

_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
RECURRENT = (*_GATES, *(f"{name}_cell" for name in _GATES))
"""Operations whose parameters ``recurrent_weights`` lists."""


class RecurrentWeight(NamedTuple):
    """A weight or bias of a recurrent operation."""

    name: str
    gates: int
    """How many matrices lie on top of each other in it."""
    source: str
    """The tensor that it is applied to; the operation itself where that is the layer before; "" for
    the hidden state."""


def recurrent_weights(node: Node) -> Iterator[RecurrentWeight]:
    """Every weight and bias of a recurrent layer or cell."""
    given = node.arguments.get("input")
    source = given.name if isinstance(given, Ref) else ""
    gates = _GATES[node.op.removesuffix("_cell")]
    if node.op.endswith("_cell"):
        for argument, after in (("w_ih", source), ("w_hh", ""), ("b_ih", ""), ("b_hh", "")):
            value = node.arguments.get(argument)
            if isinstance(value, Ref):
                yield RecurrentWeight(value.name, gates, after)
        return
    packed = node.arguments.get("params")
    names = [p.name for p in packed if isinstance(p, Ref)] if isinstance(packed, tuple) else []
    directions = 2 if node.arguments.get("bidirectional") else 1
    layers = node.arguments.get("num_layers")
    each = len(names) // (directions * layers) if isinstance(layers, int) else len(names)
    for place, name in enumerate(names):
        layer, position = divmod(place, each)
        projection = position == each - 1 and each % 2 == 1  # an LSTM with proj_size
        after = source if layer < directions else node.name
        yield RecurrentWeight(name, 1 if projection else gates, "" if position else after)
