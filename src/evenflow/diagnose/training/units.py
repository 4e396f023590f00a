"""Rules on the units of layers in the course of a training: saturating, dying, collapsing."""

from __future__ import annotations

import math

import numpy as np

from evenflow.diagnose.finding import Finding, Level
from evenflow.diagnose.rule import Skipped
from evenflow.diagnose.training.rule import TrainingRule
from evenflow.diagnose.training.series import LossCurve, late, since
from evenflow.diagnose.training.thresholds import Thresholds
from evenflow.diagnose.words import figure
from evenflow.errors import InputError
from evenflow.record.run import Run
from evenflow.theory.activations import find


class Saturating(TrainingRule):
    """An activation saturates in the course of the training.

    Where an activation is flat it passes no gradient, so that its units hardly learn, nor does
    anything before them. Glorot and Bengio saw one layer after another saturate, the first first.

    Measured: the share of elements with |φ′(z)| < 0.1 · max|φ′|, by the activation's own curve,
    of hidden activations with two flat tails (tanh, logistic, softsign, hard tanh).

    Warning from half way between the share under a standard normal and 1, error from nine tenths,
    in the median of the last five samples. Note where it has come about in a training whose loss
    has halved: a network that is sure of its answers saturates.

    Remedy: a lower learning rate; smaller weights at the start; a normalisation before the
    activation.
    """

    code = "EF805"
    name = "saturating"
    level = "error"
    explains = ("EF804", "EF808", "EF809", "EF810", "EF811", "EF812")

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """One finding: the layer that saturated first, and which others."""
        natural = np.array([_natural(layer.activation) for layer in run.layers])
        natural[_output(run) :] = math.nan  # a network that is sure of its answers saturates there
        if np.isnan(natural).all():
            return Skipped("the network has no hidden activation with two flat tails")
        share = run.forward["saturated_share"]
        bar = natural + limits.saturated_warning * (1 - natural)
        now = late(share, limits.settled)
        found = [int(k) for k in np.flatnonzero(now >= bar)]
        if not found:
            return []
        start = {k: since(run, ~(share[:, k] < bar[k])) for k in found}
        first = min(found, key=lambda k: (start[k] if start[k] >= 0 else math.inf, k))
        grave = any(now[k] >= natural[k] + limits.saturated_error * (1 - natural[k]) for k in found)
        layer = run.layers[first]
        level: Level = "error" if grave else "warning"
        if start[first] > 0 and LossCurve.of(run).halved:
            level = "note"
        return [
            self.finding(
                level,
                where=layer.name,
                others=tuple(run.layers[k].name for k in found if k != first),
                measured=f"{now[first]:.0%} of the elements lie where {layer.activation} is flat, "
                f"since step {max(start[first], 0)}; {share[0, first]:.0%} at the first sample",
                expected=f"about {natural[first]:.0%}, as under inputs of variance 1",
                why="Saturated units pass next to no gradient, neither to their own weights nor "
                "to the layers before them.",
                remedy="lower the learning rate, start from smaller weights (ef.init_), or "
                "normalise before the activation",
            )
        ]


class Dying(TrainingRule):
    """Units die in the course of the training.

    A ReLU whose pre-activation is negative on every example passes neither signal nor gradient,
    and so never comes back by itself. One step that is too long can kill a whole layer.

    Measured: the share of units whose slope is exactly 0 on all sampled examples and positions,
    in the median of the last five samples.

    Warning from 3/4 of a layer's units, error from 95 %. Note where the loss has halved all the
    same, and less than 95 % are dead.

    Remedy: a lower learning rate, biases of zero or slightly above, centred inputs, or an
    activation with a slope on both sides (leaky ReLU, GELU).
    """

    code = "EF806"
    name = "dying-units"
    level = "error"
    explains = ("EF804", "EF808", "EF809", "EF810", "EF811", "EF812")

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """One finding: the layer where most have died, and which others."""
        share = run.forward["dead_share"]
        now = late(share, limits.settled)
        if np.isnan(now).all():
            return Skipped("the network has no activation that can die")
        found = [int(k) for k in np.flatnonzero(now >= limits.dead_warning)]
        if not found:
            return []
        worst = max(found, key=lambda k: now[k])
        start = since(run, share[:, worst] >= limits.dead_warning)
        level: Level = "error" if now[worst] >= limits.dead_error else "warning"
        if level == "warning" and LossCurve.of(run).halved:
            level = "note"
        return [
            self.finding(
                level,
                where=run.layers[worst].name,
                others=tuple(run.layers[k].name for k in found if k != worst),
                measured=f"{now[worst]:.0%} of the units are flat on every example, since step "
                f"{max(start, 0)}; {share[0, worst]:.0%} at the first sample",
                expected="less than half",
                why="A dead unit passes neither signal nor gradient, so it cannot come back.",
                remedy="lower the learning rate; biases of zero, centred inputs, or an activation "
                "with a slope on both sides",
            )
        ]


class TopLayerCollapse(TrainingRule):
    """The last hidden layer is driven to zero.

    With the logistic function, whose outputs are never zero on average, a network first learns to
    do without the last hidden layer: its outputs go to 0, where the logistic is flat, and the
    layers below see no gradient. Glorot and Bengio's Figure 2 shows it, and that some networks
    come out of it again after long.

    Measured: the 98th percentile of the last hidden logistic layer.

    Warning below 0.15 in five samples in a row until now, note where it has come out again.

    Remedy: an activation symmetric about 0 (tanh, softsign), or a normalisation.
    """

    code = "EF807"
    name = "top-layer-collapse"
    level = "warning"
    explains = ("EF804", "EF811", "EF812")

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding."""
        inside = run.layers[: _output(run)]
        layers = [k for k, layer in enumerate(inside) if layer.activation == "logistic"]
        if not layers:
            return Skipped("the network has no hidden logistic layer")
        top = layers[-1]
        low = run.forward["percentile_98"][:, top] < limits.collapsed
        start, end = _longest(low)
        if end - start < limits.settled:
            return []
        escaped = end < len(low)
        until = f"to step {int(run.steps[end])}" if escaped else "until now"
        return [
            self.finding(
                "note" if escaped else "warning",
                where=run.layers[top].name,
                measured=f"98 % of its outputs below "
                f"{figure(float(np.nanmax(run.forward['percentile_98'][start:end, top])))} "
                f"from step {int(run.steps[start])} {until}",
                expected="outputs spread around a half",
                why="At 0 the logistic function is flat: the layers below see no gradient.",
                remedy="use an activation symmetric about 0, or normalise before it",
            )
        ]


def _output(run: Run) -> int:
    """Number of the first layer after the last one that holds weights: the network's own output."""
    weighted = [k for k, layer in enumerate(run.layers) if layer.weights]
    return weighted[-1] + 1 if weighted else len(run.layers)


def _longest(true: np.ndarray) -> tuple[int, int]:
    """Start and end (exclusive) of the longest stretch of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]]).astype(int)))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return 0, 0
    best = int((ends - starts).argmax())
    return int(starts[best]), int(ends[best])


def _natural(activation: str) -> float:
    """Share in the flat tails under a standard normal; NaN unless there are two of them."""
    try:
        curve = find(activation).saturation if activation else None
    except InputError:
        return math.nan
    if curve is None or len(curve.intervals) < 2:
        return math.nan
    return sum(_normal(high) - _normal(low) for low, high in curve.intervals)


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


RULES = (Saturating, Dying, TopLayerCollapse)
