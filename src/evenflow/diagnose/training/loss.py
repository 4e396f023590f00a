"""Rules on the course of the loss."""

from __future__ import annotations

from evenflow.diagnose.finding import Finding
from evenflow.diagnose.rule import Skipped
from evenflow.diagnose.training.rule import TrainingRule
from evenflow.diagnose.training.series import LossCurve
from evenflow.diagnose.training.thresholds import Thresholds
from evenflow.diagnose.words import figure
from evenflow.record.run import Run


class NotDecreasing(TrainingRule):
    """The loss does not fall.

    After the first hundred steps any network that learns has brought its loss below where it
    began, if only by learning the classes' frequencies.

    Measured: the median of the last tenth of the losses beside the first.

    Error where it has not fallen by 2 % of the start, nor by three times its own scatter.

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
            return Skipped("too few losses were given to judge their course")
        if curve.steps[-1] < limits.learning_steps:
            return Skipped(f"a loss is judged from step {limits.learning_steps} on")
        fallen = curve.start - curve.end
        if fallen > max(limits.learning_drop * abs(curve.start), 3 * curve.scatter / 5**0.5):
            return []
        return [
            self.finding(
                "error",
                where="model",
                measured=f"a loss of {figure(curve.end)} at step {int(curve.steps[-1])}, "
                f"{figure(curve.start)} at the start",
                expected="a loss that falls within the first hundred steps",
                why="The network has learned nothing yet.",
                remedy="look at the other findings first; if there are none, try to overfit one "
                "batch, which tells whether the model or the data are to blame",
            )
        ]


RULES = (NotDecreasing,)
