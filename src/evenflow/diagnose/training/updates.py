"""Rules on updates beside weights: the learning rate, single layers, clipping."""

from __future__ import annotations

import numpy as np

from evenflow.diagnose.finding import Finding, Level
from evenflow.diagnose.rule import Skipped
from evenflow.diagnose.training.rule import TrainingRule
from evenflow.diagnose.training.series import LossCurve, middle, update_ratios
from evenflow.diagnose.training.thresholds import Thresholds
from evenflow.diagnose.words import figure
from evenflow.record.run import Run

_NO_UPDATES = Skipped("no optimiser was given, so its updates are not known")


class LearningRateHigh(TrainingRule):
    """The learning rate is too high.

    A step that changes weights by a tenth of themselves forgets what the last ones learned: the
    loss jumps, units die or saturate, and where it goes on the weights run away.

    Measured: ‖ΔW‖/‖W‖ of one step, in the median over the matrices; of the samples the median,
    the second greatest (a first step may be longer than the others) and the greatest: a network
    that has died no longer moves.

    Warning from 0.1 in the median, whatever the loss. Error from 0.1 in the second greatest where
    the loss has not fallen after 100 steps (warning where it has not halved), from 0.1 in the
    greatest where NaN followed, and from 0.6 in the greatest where the loss has not halved: in
    sound trainings the longest step stays below 0.35, under too high a rate it is above 1.2
    (`make calibrate`).

    Remedy: divide the learning rate until the ratio is near 1e-3.
    """

    code = "EF701"
    name = "learning-rate-high"
    level = "error"
    explains = (
        *("EF703", "EF709", "EF801", "EF802", "EF803", "EF804", "EF805", "EF806", "EF807"),
        *("EF808", "EF809", "EF810", "EF811", "EF812"),
    )

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding."""
        known, ratios = update_ratios(run)
        if not known:
            return _NO_UPDATES
        broken = bool(run.happened("nonfinite"))
        if len(run.steps) < 2 and not broken:
            return Skipped("one step alone says little of the learning rate")
        each = middle(ratios.T)
        each = np.sort(each[np.isfinite(each)])
        curve = LossCurve.of(run)
        told = len(curve.values) >= limits.settled
        long = told and curve.steps[-1] >= limits.learning_steps
        once = limits.update_high if broken else limits.update_once
        if each[-1] >= once and (broken or (told and not curve.halved)):
            level, typical = "error", each[-1]
        elif each[-2:][0] >= limits.update_high and long and not curve.halved:
            level = "warning" if curve.fallen(limits.learning_drop) else "error"
            typical = each[-2:][0]
        elif np.median(each) >= limits.update_high:
            level, typical = "warning", np.median(each)
        else:
            return []
        rate = float(run.learning_rate[0])
        return [
            self.finding(
                level,  # type: ignore[arg-type]
                where="model",
                measured=f"a step changes weights by {typical:.0%} of themselves, at a "
                f"learning rate of {figure(rate)}",
                expected="about 0.1 %, and never more than a few per cent",
                why="Such steps forget what the last ones have learned.",
                remedy=f"try a learning rate of {figure(rate * 1e-2 / typical)}",
            )
        ]


class LearningRateLow(TrainingRule):
    """The learning rate is too low.

    Measured: ‖ΔW‖/‖W‖ of one step, of the matrix that moves most, in the median over samples.

    Warning below 1e-5 while the loss is still above half of where it began.

    Remedy: multiply the learning rate until the ratio is near 1e-3.
    """

    code = "EF702"
    name = "learning-rate-low"
    level = "warning"
    explains = ("EF810", "EF811", "EF812")

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding."""
        known, ratios = update_ratios(run)
        if not known:
            return _NO_UPDATES
        curve = LossCurve.of(run)
        if len(curve.values) < limits.settled:
            return Skipped("too few losses were given")
        most = float(np.nanmax(middle(ratios)))
        settled = curve.start > 0 and curve.end < 0.5 * curve.start
        if not 0 < most < limits.update_low or settled:
            return []
        rate = float(run.learning_rate[0])
        return [
            self.finding(
                "warning",
                where="model",
                measured=f"a step changes no matrix by more than {figure(most)} of itself, at a "
                f"learning rate of {figure(rate)}",
                expected="about 1e-3",
                why=f"At this pace weights need some {figure(1 / most)} steps to change at all.",
                remedy=f"try a learning rate of {figure(rate * 1e-3 / most)}",
            )
        ]


class AlwaysClipped(TrainingRule):
    """Gradients are clipped at every step.

    Clipping is meant for rare leaps. Where it acts at each step it is a learning rate in disguise:
    the length of every step is the limit's doing, whatever the gradient.

    Measured: the share of samples whose gradients were shorter after clipping than before.

    Note from 90 % of at least ten samples, warning where they are cut to a tenth or less.

    Remedy: a higher limit, near the norm's usual size; or a lower learning rate without it.
    """

    code = "EF703"
    name = "always-clipped"
    level = "warning"
    explains = ("EF702", "EF810", "EF811", "EF812")

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding."""
        known = np.isfinite(run.norm_before) & (run.norm_before > 0)
        if known.sum() < 2 * limits.settled:
            return Skipped("norms before clipping are not known")
        factor = run.norm_after[known] / run.norm_before[known]
        share = float((factor < 0.99).mean())
        if share < limits.clipping_share:
            return []
        typical = float(np.median(factor))
        level: Level = "warning" if typical < limits.clipping_factor else "note"
        return [
            self.finding(
                level,
                where="model",
                measured=f"{share:.0%} of the steps are clipped, to {figure(typical)} of their "
                "length in the median",
                expected="rare leaps clipped, and no others",
                why="The limit, and not the gradient, decides how long each step is.",
                remedy="raise the limit to the norm's usual size, "
                f"{figure(float(np.median(run.norm_before[known])))}",
                explains=self.explains if level == "warning" else (),
            )
        ]


class UnevenUpdates(TrainingRule):
    """One layer's weights change far faster than the others'.

    Measured: ‖ΔW‖/‖W‖ of each matrix, in the median over samples.

    Warning from 0.1 where the median of all matrices is below a tenth of that; note where the loss
    has halved all the same.

    Remedy: larger weights in that layer at the start, or a learning rate of its own.
    """

    code = "EF809"
    name = "uneven-updates"
    level = "warning"

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding: the worst, and which others."""
        known, ratios = update_ratios(run)
        if len(known) < 3:
            return Skipped("fewer than three matrices are trained")
        usual = middle(ratios)
        median = float(np.nanmedian(usual))
        found = [k for k in range(len(known)) if usual[k] >= limits.update_high > 10 * median]
        if not found:
            return []
        worst = max(found, key=lambda k: usual[k])
        return [
            self.finding(
                "note" if LossCurve.of(run).halved else "warning",
                where=run.weights[known[worst]].name,
                others=tuple(run.weights[known[k]].name for k in found if k != worst),
                measured=f"each step changes it by {usual[worst]:.0%} of itself, other matrices "
                f"by {figure(100 * median)} %",
                expected="about the same in all layers",
                why="It never settles, and whatever is built on it has to start again.",
                remedy="start it from larger weights (ef.init_), or give it a lower learning rate",
            )
        ]


class LayerNotLearning(TrainingRule):
    """A layer's weights stay as they are while others learn.

    Measured: ‖ΔW‖/‖W‖ of each trained matrix, in the median over samples.

    Warning where it is less than 1e-4 of the median of all, or 0; note where the loss has halved
    without it.

    Remedy: look at what keeps gradients from it: a detach, a dead or saturated layer behind it, a
    branch that is never taken, a learning rate of its own.
    """

    code = "EF810"
    name = "layer-not-learning"
    level = "warning"
    explains = ("EF811",)

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding: the first, and which others."""
        known, ratios = update_ratios(run)
        if len(known) < 2:
            return Skipped("fewer than two matrices are trained")
        usual = middle(ratios)
        median = float(np.nanmedian(usual[usual > 0])) if (usual > 0).any() else 0.0
        found = [k for k in range(len(known)) if usual[k] <= limits.update_uneven * median]
        if not found:
            return []
        first = found[0]
        return [
            self.finding(
                "note" if LossCurve.of(run).halved else "warning",
                where=run.weights[known[first]].name,
                others=tuple(run.weights[known[k]].name for k in found[1:]),
                measured=f"a step changes it by {figure(float(usual[first]))} of itself, other "
                f"matrices by {figure(median)}",
                expected="about the same in all layers",
                why="It stays what it was at the start: random.",
                remedy="find what keeps gradients from it: a detach, dead or saturated units "
                "behind it, a branch that is never taken",
            )
        ]


RULES = (LearningRateHigh, LearningRateLow, AlwaysClipped, UnevenUpdates, LayerNotLearning)
