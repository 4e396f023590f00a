"""Rules on the course of the loss."""

from __future__ import annotations

import numpy as np

from evenflow.diagnose.finding import Finding
from evenflow.diagnose.rule import Skipped
from evenflow.diagnose.training.rule import TrainingRule
from evenflow.diagnose.training.series import LossCurve, middle, update_ratios
from evenflow.diagnose.training.thresholds import Thresholds
from evenflow.diagnose.words import figure
from evenflow.record.run import Run

_TOO_FEW = Skipped("too few losses were given to judge their course")


class Diverging(TrainingRule):
    """The loss rises instead of falling.

    Steps that are too long overshoot: each lands higher up than it began, and the weights run
    away.

    Measured: the median of the last tenth of the losses beside the first.

    Error where it lies above the first by half of it, and by five times its own scatter.

    Remedy: a lower learning rate, by ten at first; a warm-up; clipped gradients. A loss that is
    maximised by mistake has the wrong sign.
    """

    code = "EF802"
    name = "diverging"
    level = "error"
    explains = ("EF805", "EF806", "EF811")

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding."""
        curve = LossCurve.of(run)
        if len(curve.values) < limits.settled:
            return _TOO_FEW
        bar = max(limits.divergence * abs(curve.start), 5 * curve.scatter)
        if not curve.end - curve.start > bar:
            return []
        return [
            self.finding(
                "error",
                where="model",
                measured=f"a loss of {figure(curve.end)} at step {int(curve.steps[-1])}, "
                f"{figure(curve.start)} at the start",
                expected="a loss that falls",
                why="Each step lands higher than it began: the weights run away.",
                remedy="lower the learning rate, by ten at first; warm it up, or clip gradients",
            )
        ]


class NotLearning(TrainingRule):
    """The loss does not fall.

    After the first hundred steps any network that learns has brought its loss below where it
    began, if only by learning how frequent each class is.

    Measured: the median of the last tenth of the losses beside the first.

    Where it has not fallen by 2 % of the start, or by no more than it scatters: error, if it
    follows from another finding or the weights hardly move (‖ΔW‖/‖W‖ below 1e-4 in the median);
    note, if they move at a usual pace, and nothing is wrong with the network: then there may be
    nothing to learn, as from labels that were shuffled.

    Remedy: it follows from something else; look at the other findings first. If there are none,
    overfit a single batch: where that works the data are to blame, where it does not the model.
    """

    code = "EF811"
    name = "not-learning"
    level = "error"

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding."""
        curve = LossCurve.of(run)
        if len(curve.values) < limits.settled:
            return _TOO_FEW
        if curve.steps[-1] < limits.learning_steps:
            return Skipped(f"a loss is judged from step {limits.learning_steps} on")
        if curve.fallen(limits.learning_drop):
            return []
        _, ratios = update_ratios(run)
        pace = float(np.nanmedian(middle(ratios))) if ratios.size else 0.0
        return [
            self.finding(
                "note" if pace >= limits.moving else "error",
                where="model",
                measured=f"a loss of {figure(curve.end)} at step {int(curve.steps[-1])}, "
                f"{figure(curve.start)} at the start",
                expected="a loss that falls within the first hundred steps",
                why="The network has learned nothing yet.",
                remedy="look at the other findings first; if there are none, try to overfit one "
                "batch, which tells whether the model or the data are to blame",
            )
        ]


class Plateau(TrainingRule):
    """The loss stood still for long before it fell on.

    Glorot and Bengio saw such plateaus where the top layer of a logistic network saturates at 0
    and comes out of it again.

    Measured: the longest stretch of samples whose losses stay within their scatter and 2 % of
    the whole fall, with at least a tenth of the fall still to come.

    Note, where it lasts a fifth of the training or more: it cost time, and nothing else.

    Remedy: an activation symmetric about 0, an initialisation that keeps gradients level, or a
    normalisation; a warm-up that ends sooner.
    """

    code = "EF812"
    name = "plateau"
    level = "note"

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding: the longest."""
        curve = LossCurve.of(run)
        if len(curve.values) < 4 * limits.settled:
            return _TOO_FEW
        fall = curve.start - curve.end
        if not curve.fallen(limits.learning_drop):
            return []
        start, end = _flat(curve, 2 * curve.scatter + 0.02 * fall)
        left = float(np.median(curve.values[start : end + 1])) - curve.end
        long = curve.steps[end] - curve.steps[start] >= limits.plateau_share * curve.steps[-1]
        if not long or left < limits.plateau_drop * fall:
            return []
        return [
            self.finding(
                "note",
                where="model",
                measured=f"a loss of {figure(float(curve.values[start]))} from step "
                f"{int(curve.steps[start])} to {int(curve.steps[end])}, then on to "
                f"{figure(curve.end)}",
                expected="a loss that falls all the way",
                why="These steps taught the network next to nothing.",
                remedy="keep gradients level from the start (ef.init_), or normalise",
            )
        ]


def _flat(curve: LossCurve, width: float) -> tuple[int, int]:
    """First and last sample of the longest stretch (in steps) within ``width``."""
    values, steps = curve.values, curve.steps
    best, start = (0, 0), 0
    for end in range(len(values)):
        while values[start : end + 1].max() - values[start : end + 1].min() > width:
            start += 1
        if steps[end] - steps[start] > steps[best[1]] - steps[best[0]]:
            best = start, end
    return best


RULES = (Diverging, NotLearning, Plateau)
