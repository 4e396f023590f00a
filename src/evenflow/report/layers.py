"""Layers for a reader: which of them a picture or a table follows, and what they are called."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Literal, TypeVar

from evenflow.diagnose.finding import Diagnosis
from evenflow.record.record import LayerRecord, Record, Statistics, WeightRecord
from evenflow.report.words import short

Pass = Literal["forward", "backward"]
Group = Literal["weighted sums", "activations", "other operations"]
GROUPS: tuple[Group, ...] = ("weighted sums", "activations", "other operations")

_WEIGHT_ROLES = {"linear", "conv", "conv_transpose", "bilinear", "recurrent", "embedding"}
_Item = TypeVar("_Item")


def main_path(record: Record, direction: Pass) -> tuple[LayerRecord, ...]:
    """The operations that best stand for the signal's way through the network.

    Forwards the outputs of the activations, backwards the gradients with respect to the weighted
    sums before them, as in the figures of Glorot and Bengio 2010: the gradient at the output is
    the loss's doing, not the network's. Where a network has fewer than two of these, the other
    kind, and failing that all operations.
    """
    groups = groups_of(record)
    measured = [layer for layer in record.layers if statistics(layer, direction) is not None]
    activations = tuple(layer for layer in measured if groups[layer.node] == "activations")
    sums = tuple(layer for layer in measured if groups[layer.node] == "weighted sums")
    last = max((layer.depth for layer in activations), default=-1)
    hidden = tuple(layer for layer in sums if layer.depth < last)
    for path in (activations, sums) if direction == "forward" else (hidden, sums, activations):
        if len(path) >= 2:
            return path
    return tuple(measured)


def groups_of(record: Record) -> dict[str, Group]:
    """Kind of every operation by its node's name."""
    weights = {weight.name for weight in record.weights if is_weight(weight)}

    def group(layer: LayerRecord) -> Group:
        if layer.activation is not None:
            return "activations"
        # An embedding looks its weight up: it starts the signal and sums nothing.
        sums = layer.op != "embedding" and bool(weights.intersection(layer.parameters))
        return "weighted sums" if sums else "other operations"

    return {layer.node: group(layer) for layer in record.layers}


def is_weight(weight: WeightRecord) -> bool:
    """Whether a parameter multiplies the signal, as biases and normalisations' own do not."""
    return weight.role in _WEIGHT_ROLES


def statistics(layer: LayerRecord, direction: Pass) -> Statistics | None:
    """What was measured of a layer in one direction."""
    return layer.forward if direction == "forward" else layer.backward


def prediction(layer: LayerRecord, direction: Pass) -> float:
    """Second moment that the derivation gives; NaN where it gives none."""
    return layer.predicted_forward if direction == "forward" else layer.predicted_backward


def labels(layers: Sequence[LayerRecord]) -> dict[str, str]:
    """A name for each node: its module's where that is unambiguous, otherwise the node's own."""
    uses = Counter(layer.layer for layer in layers)
    return {
        layer.node: layer.layer if layer.layer and uses[layer.layer] == 1 else layer.node
        for layer in layers
    }


def brief(names: Sequence[str], limit: int) -> tuple[str, list[str]]:
    """The modules that all names stand in, left out where names are long, and what is left.

    What is left is cut to ``limit`` characters.
    """
    common: list[str] = []
    if max(map(len, names), default=0) > limit:
        levels = zip(*(name.split(".")[:-1] for name in names), strict=False)
        shared = itertools.takewhile(lambda level: len(set(level)) == 1, levels)
        common = [level[0] for level in shared]
    left = [name.split(".", len(common))[-1] for name in names]
    return ".".join(common), [short(name, limit) for name in left]


def thin(items: Sequence[_Item], limit: int) -> tuple[_Item, ...]:
    """At most ``limit`` of the items, evenly spread, the first and the last among them."""
    last = len(items) - 1
    if last < limit:
        return tuple(items)
    return tuple(items[round(k * last / (limit - 1))] for k in range(limit))


def flagged(record: Record, diagnosis: Diagnosis) -> frozenset[str]:
    """Nodes that a finding names: themselves, their module or one of their parameters."""
    places = {place for finding in diagnosis.findings for place in (finding.where, *finding.others)}
    return frozenset(
        layer.node
        for layer in record.layers
        if places.intersection((layer.layer, layer.node, *layer.parameters))
    )


def notable(record: Record, diagnosis: Diagnosis, limit: int) -> tuple[LayerRecord, ...]:
    """At most ``limit`` layers in order: those that a finding names, then those at both ends.

    An even part of the others would, in a network of like blocks, show one operation of each.
    """
    places = flagged(record, diagnosis)
    named = thin([layer for layer in record.layers if layer.node in places], limit)
    others = [layer for layer in record.layers if layer.node not in places]
    room = limit - len(named)
    head = others[: room - room // 2]
    tail = others[len(head) :][-(room // 2) :] if room > 1 else []
    return tuple(sorted((*named, *head, *tail), key=lambda layer: layer.depth))
