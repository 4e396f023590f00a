"""Rules on the units of a layer: saturated, dead, or all pushed to one side."""

from __future__ import annotations

import math

from evenflow.diagnose.finding import Finding
from evenflow.diagnose.path import matrices, name_of, nodes_of, readers
from evenflow.diagnose.rule import Rule, Skipped
from evenflow.diagnose.words import figure
from evenflow.errors import InputError
from evenflow.record.record import LayerRecord, Record
from evenflow.theory.activations import Saturation, find


class Saturated(Rule):
    """An activation is saturated.

    Where an activation is flat it passes no gradient: a unit that sits in a saturated tail on most
    examples hardly learns, and neither does anything before it.

    Measured: the share of elements with |φ′(z)| < 0.1 · max|φ′|, by the activation's own curve.
    Some are natural: 7 % of tanh under a standard normal z.

    For activations with two such tails (tanh, logistic, softsign, hard tanh), warning from half
    way and error from nine tenths of the way between the natural share and 1. For those with one
    (ReLU, ELU, SiLU …), which half of all elements may sit in by design, warning from 0.95. Half
    is a choice: from there on the layer passes less than half of the gradient that it would.

    Remedy: smaller weights before the activation, inputs of variance 1, no large biases.
    """

    code = "EF103"
    name = "saturated"
    level = "error"
    needs = ("activations",)
    explains = ("EF201",)

    def check(self, record: Record) -> list[Finding] | Skipped:
        """One finding: the worst layer, and which others."""
        found = []
        for layer in record.layers:
            curve, natural = _curve(layer)
            if curve is None or math.isnan(layer.saturated_share):
                continue
            warning, error = _thresholds(curve, natural)
            if layer.saturated_share >= warning:
                found.append((layer.saturated_share >= error, layer.saturated_share, layer))
        if not found:
            return []
        found.sort(key=lambda each: each[:2], reverse=True)
        (grave, share, worst), *others = found
        return [
            self.finding(
                "error" if grave else "warning",
                where=name_of(worst),
                source=worst.source,
                others=tuple(name_of(layer) for *_, layer in others),
                measured=f"{share:.0%} of the elements lie where {worst.activation} is flat",
                expected=f"about {_curve(worst)[1]:.0%}, as under pre-activations of variance 1",
                why="Saturated units pass next to no gradient, neither to their own weights nor "
                "to the layers before them.",
                remedy="lower the weights before it with ef.init_(model, inputs), scale its "
                "inputs to variance 1, and set large biases to zero",
            )
        ]


def _curve(layer: LayerRecord) -> tuple[Saturation | None, float]:
    """Where the layer's activation saturates, and its share there under a standard normal."""
    try:
        curve = find(layer.activation).saturation if layer.activation else None
    except InputError:  # an activation of the user's own
        return None, math.nan
    if curve is None:
        return None, math.nan
    return curve, sum(_normal(high) - _normal(low) for low, high in curve.intervals)


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def _thresholds(curve: Saturation, natural: float) -> tuple[float, float]:
    if len(curve.intervals) == 1:
        return 0.95, math.inf
    return natural + 0.5 * (1 - natural), natural + 0.9 * (1 - natural)


class Dead(Rule):
    """Units are dead: their slope is zero on every example.

    A ReLU whose pre-activation is negative on all examples passes neither signal nor gradient, and
    so never comes back by itself. Negative biases, weights with a mean, and inputs far from zero
    kill whole layers; too high a learning rate does it later on.

    Measured: the share of units whose φ′ is exactly 0 on every example and position of the batch.

    Warning from 3/4 of the units, error from 95 %. With symmetric weights at most half can be
    dead by chance, and are where all examples look alike; three standard errors are added for
    layers of few units.

    Remedy: biases of zero or slightly above, centred inputs, weights with mean zero, or an
    activation with a slope on both sides (leaky ReLU, GELU).
    """

    code = "EF104"
    name = "dead"
    level = "error"
    needs = ("activations",)
    explains = ("EF201", "EF203")

    def check(self, record: Record) -> list[Finding] | Skipped:
        """One finding: the worst layer, and which others."""
        found = [
            layer
            for layer in record.layers
            if layer.dead_share >= max(0.75, min(0.5 + 1.5 / math.sqrt(_units(layer)), 1.0))
        ]
        if not found:
            return []
        worst = max(found, key=lambda layer: layer.dead_share)
        return [
            self.finding(
                "error" if worst.dead_share >= 0.95 else "warning",
                where=name_of(worst),
                source=worst.source,
                others=tuple(name_of(layer) for layer in found if layer is not worst),
                measured=f"{worst.dead_share:.0%} of the units are flat on every example",
                expected="less than half",
                why="A dead unit passes neither signal nor gradient, so it cannot come back.",
                remedy="set biases to zero, centre the inputs and the weights, or use an "
                "activation that has a slope on both sides",
            )
        ]


def _units(layer: LayerRecord) -> int:
    """Number of units: channels of an image, features of anything else."""
    return max(layer.shape[1] if len(layer.shape) > 3 else layer.shape[-1], 1)


class MeanShift(Rule):
    """The pre-activations of a whole layer are shifted to one side.

    Under weights with mean zero, each unit is shifted its own way and a layer as a whole is not.
    Where nearly all of a layer's second moment is one common mean, all units work on the same
    side of their activation: a ReLU is then all on or all off, a tanh saturated.

    Measured: m²/q, the squared mean over all elements as a share of the second moment, of results
    of weights that an activation reads.

    Warning from 0.8, for layers of at least 16 units: under weights with mean zero m²/q is about
    1 / units.

    Remedy: weights with mean zero, biases of zero.
    """

    code = "EF106"
    name = "mean-shift"
    level = "warning"
    needs = ("path", "activations")
    explains = ("EF103", "EF104", "EF105")

    def check(self, record: Record) -> list[Finding] | Skipped:
        """One finding: the first layer, and which others."""
        weighted = nodes_of(matrices(record))
        found = [
            layer
            for layer in record.layers
            if layer.node in weighted
            and _units(layer) >= 16
            and any(reader.activation for reader in readers(record, layer.node))
            and layer.forward.mean**2 >= 0.8 * layer.forward.second_moment > 0
        ]
        if not found:
            return []
        first, q = found[0], found[0].forward.second_moment
        return [
            self.finding(
                "warning",
                where=name_of(first),
                source=first.source,
                others=tuple(name_of(layer) for layer in found[1:]),
                measured=f"a mean of {figure(first.forward.mean)} beside a root mean square of "
                f"{figure(math.sqrt(q))}: {first.forward.mean**2 / q:.0%} of the second moment",
                expected=f"about {1 / _units(first):.1%}, as under weights with mean zero",
                why="All units work on the same side of their activation, which makes the layer "
                "linear, dead or saturated as a whole.",
                remedy="draw weights with mean zero, biases zero: ef.init_(model, inputs)",
            )
        ]


RULES = (Saturated, Dead, MeanShift)
