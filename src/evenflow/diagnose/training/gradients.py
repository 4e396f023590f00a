"""Rules on gradients in the course of a training: vanishing or exploding, through depth or time."""

from __future__ import annotations

import math

import numpy as np

from evenflow.diagnose.finding import Finding, Level
from evenflow.diagnose.rule import Skipped
from evenflow.diagnose.training.rule import TrainingRule
from evenflow.diagnose.training.series import LossCurve, ends, hidden, late, since
from evenflow.diagnose.training.thresholds import Thresholds
from evenflow.diagnose.words import figure, times
from evenflow.record.run import Run, Series

_NONE = Skipped("fewer than three hidden layers had their gradients measured")


def relative(run: Run) -> tuple[list[int], Series]:
    """Hidden layers, and at every sample E[(∂C/∂x)²] · E[x²] · elements an example of each.

    Rescaling a layer's output changes neither its effect on the loss nor this product, so that
    normalised networks are judged like others.
    """
    layers = hidden(run)
    sizes = [math.prod(run.layers[k].shape[1:]) for k in layers]
    with np.errstate(invalid="ignore"):  # 0 · ∞ in a training that has failed
        values = run.backward["second_moment"][:, layers] * run.forward["second_moment"][:, layers]
        return layers, values * np.array(sizes)


def depth_ratio(run: Run, samples: int) -> tuple[int, int, float, Series]:
    """First and last hidden layer, how much greater the gradient is at the first, and the same
    ratio at every sample; of parallel branches the strongest counts.
    """
    layers, values = relative(run)
    first, last = ends(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = first / last
    now = float(late(ratio[:, None], samples)[0])
    return layers[0], layers[-1], now, ratio


class ExplodingGradients(TrainingRule):
    """Gradients grow on their way back, or from step to step.

    A gradient that is a thousand times greater in the first layers than in the last makes every
    learning rate wrong for most of the network; one that grows from step to step ends in NaN.

    Measured: E[(∂C/∂x)²] · E[x²] of hidden layers, which rescaling a layer does not change, first
    beside last, in the median of the last five samples; and the greatest norm of all gradients
    beside the median of those before it.

    Warning where it grows by 1e4 through depth, error by 1e8; warning where the norm leaps to a
    thousand times its median.

    Remedy: weights that keep gradients level, ef.init_(model, inputs); normalisation or residual
    branches in deep networks; gradient clipping in recurrent ones.
    """

    code = "EF803"
    name = "exploding-gradients"
    level = "error"
    explains = ("EF801", "EF802", "EF805", "EF806", "EF809", "EF811")

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding: through depth, or through time."""
        deep = _through_depth(run, limits)
        if deep is None:
            return self._in_time(run, limits)
        first, last, ratio, _ = deep
        if not ratio >= limits.exploding_warning:
            return self._in_time(run, limits)
        level: Level = "error" if ratio >= limits.exploding_error else "warning"
        return [
            self.finding(
                level,
                where=run.layers[first].name,
                measured=f"gradients {figure(ratio)} times as strong at {run.layers[first].name} "
                f"as at {run.layers[last].name}, in the second moment",
                expected="about the same in all layers",
                why="No learning rate is right for both ends of the network.",
                remedy="start from weights that keep gradients level, ef.init_(model, inputs), or "
                "add normalisation",
            )
        ]

    def _in_time(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        known = np.flatnonzero(np.isfinite(run.norm_before) & (run.norm_before > 0))
        if len(known) < 2 * limits.settled:
            return _NONE
        norms = run.norm_before[known]
        usual = np.array([np.median(norms[:k]) for k in range(limits.settled, len(norms))])
        leap = norms[limits.settled :] / usual
        worst = int(leap.argmax())
        if leap[worst] < limits.norm_growth:
            return []
        greatest = float(norms[limits.settled + worst])
        step = int(run.steps[known[limits.settled + worst]])
        return [
            self.finding(
                "warning",
                where="model",
                measured=f"a gradient norm of {figure(greatest)} at step {step}, "
                f"{times(float(leap[worst]))} the median before",
                expected="norms within a factor of a hundred of each other",
                why="One such step undoes what a thousand others have learned.",
                remedy="clip gradients, lower the learning rate, or warm it up",
            )
        ]


class VanishingGradients(TrainingRule):
    """Gradients shrink to nothing on their way back.

    The first layers then hardly learn, and the network is no deeper than what still learns.

    Measured: as for exploding-gradients, last hidden layer beside the first.

    Warning from a factor of 1e6, error from 1e12: SGD and Adam both learn with 1e-5 of the
    gradient left, with 1e-7 Adam alone, with 1e-13 neither. Note where the loss has halved.

    Remedy: weights that keep gradients level, ef.init_(model, inputs); another activation than
    the logistic; residual branches or normalisation.
    """

    code = "EF804"
    name = "vanishing-gradients"
    level = "error"
    explains = ("EF809", "EF810", "EF811", "EF812")

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding."""
        deep = _through_depth(run, limits)
        if deep is None:
            return _NONE
        first, last, ratio, course = deep
        if not ratio <= 1 / limits.vanishing_warning:
            return []
        level: Level = "error" if ratio <= 1 / limits.vanishing_error else "warning"
        if LossCurve.of(run).halved:
            level = "note"
        start = since(run, course <= 1 / limits.vanishing_warning)
        return [
            self.finding(
                level,
                where=run.layers[first].name,
                measured=f"gradients at {run.layers[first].name} are {times(ratio)} those at "
                f"{run.layers[last].name} in the second moment, since step {max(start, 0)}",
                expected="about the same in all layers",
                why="The first layers hardly learn.",
                remedy="start from weights that keep gradients level, ef.init_(model, inputs), or "
                "add residual branches or normalisation",
            )
        ]


def _through_depth(run: Run, limits: Thresholds) -> tuple[int, int, float, Series] | None:
    if len(hidden(run)) < 3 or not np.isfinite(relative(run)[1]).any():
        return None
    found = depth_ratio(run, limits.settled)
    return found if math.isfinite(found[2]) else None


RULES = (ExplodingGradients, VanishingGradients)
