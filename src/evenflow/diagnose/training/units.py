"""Rules on the units of layers in the course of a training: saturating, dying."""

from __future__ import annotations

import math

import numpy as np

from evenflow.diagnose.finding import Finding
from evenflow.diagnose.rule import Skipped
from evenflow.diagnose.training.rule import TrainingRule
from evenflow.diagnose.training.series import last, since
from evenflow.diagnose.training.thresholds import Thresholds
from evenflow.errors import InputError
from evenflow.record.run import Run
from evenflow.theory.activations import find


class Saturating(TrainingRule):
    """An activation saturates in the course of the training.

    Where an activation is flat it passes no gradient, so that its units hardly learn, nor does
    anything before them. Glorot and Bengio saw one layer after another saturate, the first first.

    Measured: the share of elements with |φ′(z)| < 0.1 · max|φ′|, by the activation's own curve,
    of activations with two flat tails (tanh, logistic, softsign, hard tanh).

    Warning from half way between the share under a standard normal and 1, error from nine tenths,
    in the median of the last five samples.

    Remedy: a lower learning rate; smaller weights at the start; a normalisation before the
    activation.
    """

    code = "EF805"
    name = "saturating"
    level = "error"
    explains = ("EF811",)

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """One finding: the layer that saturated first, and which others."""
        natural = np.array([_natural(layer.activation) for layer in run.layers])
        if np.isnan(natural).all():
            return Skipped("the network has no activation with two flat tails")
        share = run.forward["saturated_share"]
        bar = natural + limits.saturated_warning * (1 - natural)
        now = last(share, limits.settled)
        found = [int(k) for k in np.flatnonzero(now >= bar)]
        if not found:
            return []
        start = {k: since(run, ~(share[:, k] < bar[k])) for k in found}
        first = min(found, key=lambda k: (start[k] if start[k] >= 0 else math.inf, k))
        grave = any(now[k] >= natural[k] + limits.saturated_error * (1 - natural[k]) for k in found)
        layer = run.layers[first]
        return [
            self.finding(
                "error" if grave else "warning",
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


RULES = (Saturating,)
