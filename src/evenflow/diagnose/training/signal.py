"""Rule on the signal through depth at the first sample: what an initialisation has done."""

from __future__ import annotations

import math

from evenflow.diagnose.finding import Finding, Level
from evenflow.diagnose.rule import Skipped
from evenflow.diagnose.training.rule import TrainingRule
from evenflow.diagnose.training.series import hidden
from evenflow.diagnose.training.thresholds import Thresholds
from evenflow.diagnose.words import figure, times
from evenflow.record.run import Run


class SignalNotLevel(TrainingRule):
    """The signal vanishes or explodes through depth before anything is learned.

    Where each layer's weights are too small the deeper layers see next to nothing of the input;
    where they are too large outputs are huge, and so are the first losses and steps.

    Measured: E[x²] of hidden layers with weights at the first sample, last beside first; a
    network with normalisations is left out, since they make good for it.

    Warning where it shrinks by 1e6 or grows by 1e4, error at 1e12 and 1e8.

    Remedy: ef.init_(model, inputs), which keeps the signal level; normalisation in deep networks.
    """

    code = "EF710"
    name = "signal-not-level"
    level = "error"
    explains = (
        *("EF701", "EF702", "EF801", "EF802", "EF803", "EF804", "EF805", "EF806", "EF807"),
        *("EF808", "EF809", "EF810", "EF811", "EF812"),
    )

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding."""
        layers = hidden(run)
        if len(layers) < 3:
            return Skipped("the network has fewer than three hidden layers")
        if any("Norm" in layer.op for layer in run.layers):
            return Skipped("the network has normalisations, which make good for it")
        first, last = run.forward["second_moment"][0, [layers[0], layers[-1]]]
        if not first > 0 or not math.isfinite(last):
            return []
        ratio = float(last / first)
        level = _level(ratio, limits)
        if level is None:
            return []
        return [
            self.finding(
                level,
                where=run.layers[layers[-1]].name,
                measured=f"the second moment at {run.layers[layers[-1]].name} is {times(ratio)} "
                f"that at {run.layers[layers[0]].name}, {figure(float(first))}, before the "
                "first step",
                expected="about the same in all layers",
                why="Deep layers see next to nothing of the input."
                if ratio < 1
                else "Outputs, losses and steps are huge from the start.",
                remedy="keep the signal level with ef.init_(model, inputs), or normalise",
            )
        ]


def _level(ratio: float, limits: Thresholds) -> Level | None:
    if ratio <= 1 / limits.vanishing_error or ratio >= limits.exploding_error:
        return "error"
    if ratio <= 1 / limits.vanishing_warning or ratio >= limits.exploding_warning:
        return "warning"
    return None


RULES = (SignalNotLevel,)
