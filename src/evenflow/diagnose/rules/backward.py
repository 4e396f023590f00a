"""Rules on the gradient's way backwards: it vanishes, explodes, or does not arrive at all."""

from __future__ import annotations

import math

from evenflow.diagnose.finding import Finding, Level
from evenflow.diagnose.path import before_any, nodes_of, path
from evenflow.diagnose.rule import Rule, Skipped
from evenflow.diagnose.trend import Trend, growing, shrinking, trend
from evenflow.diagnose.words import figure
from evenflow.record.record import Record, WeightRecord

_WARNING = 1e7
"""Shrinking backwards worth a warning by itself, beyond what the signal loses forwards."""
_NORMALISED_WARNING, _NORMALISED_ERROR = 1e8, 1e12
_NOTHING = Skipped(
    "no gradient reaches the hidden layers: the output layer may start at zero, which is healthy; "
    "check again after one step"
)


def gradients(record: Record) -> tuple[Trend, Trend]:
    """The gradient's way from the last hidden layer to the first: free stretch, normalised one.

    Squared norms of ∂C/∂x, which stay level where widths change. Before a normalisation the scale
    of x is free, and the gradient goes with its inverse: there it is taken times E[x²].
    """
    way = path(record)
    free, normalised = way.free[::-1], way.normalised[::-1]
    return (
        trend([cut.name for cut in free], [cut.gradient for cut in free]),
        trend([cut.name for cut in normalised], [cut.relative for cut in normalised]),
    )


class VanishingBackward(Rule):
    """The gradient vanishes on its way backwards.

    Each layer multiplies the gradient's second moment by fan-out × E[w²] × E[φ′²]. Below 1 in
    every layer, the first layers get next to no gradient and hardly learn, whatever the last ones
    do. Logistic units do this by themselves: E[φ′²] is at most 1/16.

    Measured: the squared norm of ∂C/∂x, the greatest over all tensors still to be read, behind
    every hidden layer that has a weight, first over last. Before a normalisation it is taken times
    E[x²], which makes it independent of the scale that the normalisation puts right.

    Note from 1/30, warning from 1e-7, error from 1e-12. Where the signal vanishes forwards by the
    same factor, vanishing-forward speaks up at 5e-6 already; where a connection past the first
    layers keeps the signal whole, as in radiance fields, networks with 2e-6 left train well.

    Remedy: `ef.init_(model, inputs)`; activations with slope 1 at zero; residual connections or
    normalisation in networks of more than ten layers.
    """

    code = "EF201"
    name = "vanishing-backward"
    level = "error"
    needs = ("path", "gradients")

    def check(self, record: Record) -> list[Finding] | Skipped:
        """One finding for the whole way, at the layer where it begins."""
        free, normalised = gradients(record)
        if any(t.values and t.values[0] == 0 for t in (free, normalised)):
            return _NOTHING
        way, level = free, shrinking(free.ratio, _WARNING)
        if normalised.ratio < min(free.ratio, 1 / _WARNING):
            way, level = normalised, shrinking(normalised.ratio, _WARNING)
        if level is None or way.ratio == 0:  # exactly zero is for no-gradient to tell
            return []
        boost = 1 / math.sqrt(way.rate)
        return [
            self.finding(
                level,
                where=way.start,
                measured=way.describe("the gradient's squared norm, going down,"),
                expected="a squared norm that stays level, within a factor 30 from end to end",
                why="The first layers get next to no gradient: they hardly learn while the last "
                "ones do.",
                remedy="initialise with ef.init_(model, inputs); by hand, raise the weights' "
                f"standard deviation by {figure(boost)} in each layer, or use an activation whose "
                "slope at zero is 1",
            )
        ]


class ExplodingBackward(Rule):
    """The gradient explodes on its way backwards.

    Each layer multiplies the gradient's second moment by fan-out × E[w²] × E[φ′²]. Above 1 in
    every layer, the first layers get gradients many times those of the last: a learning rate that
    suits one end is wrong for the other. It happens while activations look healthy, where these
    are bounded: 30 tanh layers whose gain is taken at variance 1 multiply it by about 50.

    Measured like vanishing-backward: the squared norm of ∂C/∂x, first hidden layer over last;
    before a normalisation times E[x²].

    Note from 30-fold, warning from 1e4-fold, error from 1e8-fold; before a normalisation, which
    makes weights insensitive to the scale of their gradient, warning from 1e8 and error from
    1e12: a residual network of 56 layers with batch normalisation has 7e3, a vision transformer
    whose class token starts at zero has 5e6.

    Remedy: `ef.init_(model, inputs)`, which chooses the operating point where both directions
    stay level; residual connections; gradient clipping only as a second line.
    """

    code = "EF202"
    name = "exploding-backward"
    level = "error"
    needs = ("path", "gradients")
    explains = ("EF204",)

    def check(self, record: Record) -> list[Finding] | Skipped:
        """One finding for the whole way, at the layer where it begins."""
        free, normalised = gradients(record)
        if any(t.values and t.values[0] == 0 for t in (free, normalised)):
            return _NOTHING
        way, level = free, growing(free.ratio)
        if normalised.ratio >= _NORMALISED_WARNING:
            way = normalised
            level = "error" if normalised.ratio >= _NORMALISED_ERROR else "warning"
        if level is None:
            return []
        return [
            self.finding(
                level,
                where=way.start,
                measured=way.describe("the gradient's squared norm, going down,"),
                expected="a squared norm that stays level, within a factor 30 from end to end",
                why="No learning rate suits both ends: what moves the last layers at a sensible "
                "pace throws the first ones off.",
                remedy="initialise with ef.init_(model, inputs); by hand, divide the weights' "
                f"standard deviation by {figure(math.sqrt(way.rate))} in each layer",
            )
        ]


class NoGradient(Rule):
    """A trainable parameter gets no gradient.

    What gets no gradient stays as it was initialised. A parameter that the output was computed
    from and that yet has none is cut off, by a detach, a rounding, an argmax or a conversion to
    another library; one whose gradient is exactly zero sits behind dead units or zero weights.

    Measured: the gradient of every trainable parameter after one backward pass. Not counted are
    biases (before a normalisation their gradient is zero by nature), parameters that a later
    weight which starts at zero shuts off for the first step (zero-initialised heads, residual
    branches and adapters), and parameters of outputs that take no part in the loss.

    Error where the way back is cut, warning where the gradient is exactly zero, note where the
    forward pass never uses the parameter at all.

    Remedy: remove what cuts the graph, freeze or remove what is not meant to learn.
    """

    code = "EF203"
    name = "no-gradient"
    level = "error"
    needs = ("gradients",)

    def check(self, record: Record) -> list[Finding] | Skipped:
        """At most one finding for each of the three reasons."""
        trainable = [weight for weight in record.weights if weight.trainable]
        unused = [w for w in trainable if w.gradient is None and not w.layers]
        live = {layer.node for layer in record.layers if layer.backward is not None}
        upstream = before_any(record, live)
        cut = [w for w in trainable if w.gradient is None and upstream.intersection(w.layers)]
        shut = waiting(record)
        zero = [
            w
            for w in trainable
            if w.role not in ("bias", "shift", "other", "unused")
            and w.gradient is not None
            and w.gradient.second_moment == 0
            and w.name not in shut
        ]
        return [
            *self._told("error", cut, "no gradient, though later results that do have one use it"),
            *self._told("warning", zero, "a gradient that is exactly zero"),
            *self._told("note", unused, "no gradient: the forward pass never reads it"),
        ]

    def _told(self, level: Level, weights: list[WeightRecord], what: str) -> list[Finding]:
        if not weights:
            return []
        remedy = {
            "error": "look between this parameter and the loss for detach(), no_grad(), argmax, "
            "rounding, .item() or NumPy; freeze it (requires_grad_(False)) if that is meant",
            "warning": "revive what comes after it: units that are dead, weights that are zero; "
            "freeze it if it is not meant to learn",
            "note": "remove the parameter, or use it; distributed training stumbles over such",
        }[level]
        return [
            self.finding(
                level,
                where=weights[0].name,
                others=tuple(weight.name for weight in weights[1:]),
                measured=what,
                expected="a gradient",
                why="It will stay as it was initialised.",
                remedy=remedy,
            )
        ]


def waiting(record: Record) -> set[str]:
    """Parameters that a later one, which starts at zero and will leave it, shuts off for a step.

    Where such a parameter is read in a way that the record does not follow (an element at a time,
    say), it may stand after any other.
    """
    gates = [
        weight
        for weight in record.weights
        if weight.values.minimum == weight.values.maximum == 0
        and weight.gradient is not None
        and weight.gradient.second_moment > 0
        and weight.role not in ("bias", "shift", "unused")
    ]
    known = {layer.node for layer in record.layers}
    if any(not known.intersection(gate.layers) for gate in gates):
        return {weight.name for weight in record.weights}
    shut = before_any(record, nodes_of(gates))
    return {weight.name for weight in record.weights if shut.intersection(weight.layers)}


RULES = (VanishingBackward, ExplodingBackward, NoGradient)
