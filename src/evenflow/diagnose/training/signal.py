"""Rule on the signal through depth at the first sample: what an initialisation has done."""

from __future__ import annotations

import math

import numpy as np

from evenflow.diagnose.finding import Finding, Level
from evenflow.diagnose.rule import Skipped
from evenflow.diagnose.training.rule import TrainingRule
from evenflow.diagnose.training.series import hidden
from evenflow.diagnose.training.thresholds import Thresholds
from evenflow.diagnose.words import figure, times
from evenflow.record.run import Run

_FAINTEST = 1e-6
"""Share that differs between examples, below which float32 does not tell."""


class SignalNotLevel(TrainingRule):
    """The signal vanishes or explodes through depth before anything is learned.

    Where each layer's weights are too small the deeper layers see next to nothing of the input;
    where they are too large outputs are huge, and so are the first losses and steps.

    Measured at the first sample, behind hidden layers with weights, last beside first: E[x²] for
    growth, and for shrinking the part of it that differs between examples. Layers that give
    exactly 0 are left out (branches that start so are sound), and so are networks with
    normalisations, which make good for it. Of recurrent layers √units · the root mean square of
    the weights from state to state, which each step multiplies with anew.

    Warning where it shrinks by 2e5 or grows by 1e4, error at 1e12 and 1e8. Perceptrons with 1e-5
    left learn with SGD (`benchmarks/rule_thresholds.py`), below that they hardly do (`make
    calibrate`). Of recurrent weights warning from 3, error from 10: PyTorch's default has 0.6, an
    orthogonal matrix 1.

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
        """At most one finding: of recurrent weights, or else of the way through depth."""
        recurrent = _recurrent(run, limits)
        if recurrent is not None:
            return [self._of_recurrence(run, *recurrent, limits)]
        layers = [k for k in hidden(run) if run.forward["second_moment"][0, k] > 0]
        if len(layers) < 3:
            return Skipped("the network has fewer than three hidden layers")
        if any("Norm" in layer.op for layer in run.layers):
            return Skipped("the network has normalisations, which make good for it")
        seconds = run.forward["second_moment"][0, layers]
        distinct = seconds * np.maximum(1 - run.forward["correlation"][0, layers], _FAINTEST)
        if not math.isfinite(seconds[-1]):
            return []
        grown, shrunk = (float(values[-1] / values[0]) for values in (seconds, distinct))
        ratio = shrunk if shrunk < min(grown, 1.0) else grown
        level = _level(ratio, limits)
        if level is None:
            return []
        return [
            self.finding(
                level,
                where=run.layers[layers[-1]].name,
                measured=f"the second moment{' of what differs' if ratio == shrunk else ''} at "
                f"{run.layers[layers[-1]].name} is {times(ratio)} that at "
                f"{run.layers[layers[0]].name}, before the first step",
                expected="about the same in all layers",
                why="Deep layers see next to nothing of the input."
                if ratio < 1
                else "Outputs, losses and steps are huge from the start.",
                remedy="keep the signal level with ef.init_(model, inputs), or normalise",
            )
        ]

    def _of_recurrence(self, run: Run, weight: int, size: float, limits: Thresholds) -> Finding:
        return self.finding(
            "error" if size >= limits.recurrence_error else "warning",
            where=run.weights[weight].name,
            measured=f"weights from state to state that multiply it by about {figure(size)} at "
            "each step, before the first",
            expected="about 1",
            why="States saturate or explode within a few steps, and so do gradients.",
            remedy="draw them orthogonal, or with a standard deviation of 1/√units: "
            "ef.init_(model, inputs)",
        )


def _recurrent(run: Run, limits: Thresholds) -> tuple[int, float] | None:
    """The greatest of the recurrent weights that are too large, and its spectral radius.

    That of independent values is √units times their root mean square.
    """
    sizes = {
        k: math.sqrt(weight.shape[1]) * float(run.gradients["weight_rms"][0, k])
        for k, weight in enumerate(run.weights)
        if "weight_hh" in weight.name and len(weight.shape) == 2
    }
    large = {k: size for k, size in sizes.items() if size >= limits.recurrence_warning}
    return max(large.items(), key=lambda each: each[1]) if large else None


def _level(ratio: float, limits: Thresholds) -> Level | None:
    if ratio <= 1 / limits.vanishing_error or ratio >= limits.exploding_error:
        return "error"
    if ratio <= 1 / limits.signal_warning or ratio >= limits.exploding_warning:
        return "warning"
    return None


RULES = (SignalNotLevel,)
