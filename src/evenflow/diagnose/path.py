"""The signal's path: what each layer with a weight still has to build on, and how strong it is.

A network is cut just before every layer with a weight but the first. What crosses the cut (results
that are read from there on, residual streams included) carries all that the rest of the network
will ever know, so the strongest of it says how much of the signal is left; likewise its gradient
backwards. A weak branch beside a strong stream is no fault, and is not seen as one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evenflow.planning.uses import WEIGHTS
from evenflow.record.record import LayerRecord, Record, WeightRecord

NORMALISATIONS = frozenset({"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"})
_ROOTS = frozenset({"sqrt", "norm", "linalg_norm", "linalg_vector_norm"})


@dataclass(frozen=True)
class Cut:
    """What crosses a cut; of each quantity the greatest over the tensors that do."""

    layer: LayerRecord
    """The last layer with a weight before the cut."""
    second: float
    """E[x²]."""
    share: float
    """(q − s_B)/q of the tensor whose q − s_B is greatest: what tells examples apart."""
    gradient: float
    """Squared norm of ∂C/∂x, summed over the tensor."""
    relative: float
    """Squared norm of ∂C/∂x times E[x²]: it does not change when x is rescaled."""

    @property
    def name(self) -> str:
        """Name of the layer for a reader."""
        return name_of(self.layer)


@dataclass(frozen=True)
class Path:
    """The cuts behind hidden layers, in execution order.

    Where a normalisation follows, the scale of what comes before it is of no consequence; the
    two stretches are therefore judged apart.
    """

    normalised: tuple[Cut, ...]
    """Cuts with a normalisation somewhere after them."""
    free: tuple[Cut, ...]
    """Cuts after the last normalisation: all of them in a network that has none."""


def path(record: Record) -> Path:
    """The signal's path through the network that was recorded."""
    layers = carriers(record)
    weighted = nodes_of(matrices(record))
    border = last_normalisation(layers)
    cuts: tuple[list[Cut], list[Cut]] = ([], [])
    before: LayerRecord | None = None
    for i, crossing in enumerate(_crossing(layers)):
        if layers[i].node not in weighted:
            continue
        if before is not None and crossing:
            cuts[i > border].append(_cut(before, crossing))
        before = layers[i]
    return Path(tuple(cuts[0]), tuple(cuts[1]))


def last_normalisation(layers: Sequence[LayerRecord]) -> int:
    """Index of the last operation that divides its input by the input's own size; −1 for none.

    Written out by hand that is a product with a reciprocal root, or a quotient by a root or norm.
    """
    ops = {layer.node: layer.op for layer in layers}
    found = [
        i
        for i, layer in enumerate(layers)
        if layer.op in NORMALISATIONS
        or (layer.op == "mul" and "rsqrt" in map(ops.get, layer.inputs))
        or (layer.op == "div" and not _ROOTS.isdisjoint(map(ops.get, layer.inputs)))
    ]
    return found[-1] if found else -1


def alone(record: Record) -> set[str]:
    """Operations that the whole signal passes: nothing runs beside them, to be read later on."""
    layers = carriers(record)
    crossing = [[other.node for other in each] for each in _crossing(layers)]
    return {
        layer.node
        for layer, here, after in zip(layers, crossing, [*crossing[1:], []], strict=True)
        if not set(here).intersection(after)
    }


def matrices(record: Record) -> list[WeightRecord]:
    """The weights that are multiplied with the signal, so not biases, scales and look-up tables."""
    roles = {role for role in WEIGHTS if role != "embedding"}
    return [weight for weight in record.weights if weight.role in roles]


def nodes_of(weights: Iterable[WeightRecord]) -> set[str]:
    """Names of the operations that read any of the weights."""
    return {node for weight in weights for node in weight.layers}


def before_any(record: Record, targets: set[str]) -> set[str]:
    """Operations from whose result one of ``targets`` can be reached (not the targets as such)."""
    found: set[str] = set()
    for layer in reversed(record.layers):  # execution order: readers come after what they read
        if layer.node in targets or layer.node in found:
            found.update(layer.inputs)
    return found


def readers(record: Record, name: str) -> list[LayerRecord]:
    """The recorded operations that read a value, by its name."""
    return [layer for layer in record.layers if name in layer.inputs]


def name_of(layer: LayerRecord) -> str:
    """Qualified name of the module, or the operation's own at the top of the model."""
    return layer.layer or layer.node


def carriers(record: Record) -> list[LayerRecord]:
    """The operations on the signal's way: they rest on an input, and gradient reaches them.

    Masks and position codes pass no gradient or rest on no input.
    """
    gradients = any(layer.backward is not None for layer in record.layers)
    return [
        layer
        for layer in record.layers
        if layer.inputs and (layer.backward is not None or not gradients)
    ]


def _crossing(layers: Sequence[LayerRecord]) -> list[list[LayerRecord]]:
    """For each operation: the results so far that it, or a later one, reads."""
    last_read: dict[str, int] = {}
    for i, layer in enumerate(layers):
        last_read.update(dict.fromkeys(layer.inputs, i))
    alive: list[LayerRecord] = []
    crossing = []
    for i, layer in enumerate(layers):
        alive = [other for other in alive if last_read[other.node] >= i]
        crossing.append(alive)
        alive = [*alive, layer] if layer.node in last_read else alive
    return crossing


def _cut(layer: LayerRecord, crossing: list[LayerRecord]) -> Cut:
    seconds = [other.forward.second_moment for other in crossing]
    shares = [1 - other.forward.correlation for other in crossing]
    signals = [q * share for q, share in zip(seconds, shares, strict=True)]
    gradients = [
        math.nan if (g := other.backward) is None else g.second_moment * g.count
        for other in crossing
    ]
    told = [i for i, signal in enumerate(signals) if not math.isnan(signal)]
    return Cut(
        layer,
        second=_greatest(seconds),
        share=max(shares[max(told, key=signals.__getitem__)], 0.0) if told else math.nan,
        gradient=_greatest(gradients),
        relative=_greatest(g * q for g, q in zip(gradients, seconds, strict=True)),
    )


def _greatest(values: Iterable[float]) -> float:
    return max((value for value in values if not math.isnan(value)), default=math.nan)
