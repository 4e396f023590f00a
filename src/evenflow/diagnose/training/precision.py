"""Rules on low precision: updates lost in rounding, gradients that underflow."""

from __future__ import annotations

from evenflow.diagnose.finding import Finding, Level
from evenflow.diagnose.rule import Skipped
from evenflow.diagnose.training.rule import TrainingRule
from evenflow.diagnose.training.series import LossCurve, matrices, middle
from evenflow.diagnose.training.thresholds import Thresholds
from evenflow.record.run import Run

_HALF = ("float16", "bfloat16")


class UpdatesRounded(TrainingRule):
    """Updates are lost in the rounding of half-precision weights.

    bfloat16 keeps eight bits: a change of less than 1/512 of a weight leaves it as it was.

    Measured: the share of the elements of half-precision matrices that a step of the optimiser
    leaves exactly as they were, though their gradients are not zero; median over samples.

    Warning from half of them, error from nine tenths where the loss does not fall.

    Remedy: keep the weights in float32 and use autocast, or an optimiser that keeps a master copy
    or rounds stochastically.
    """

    code = "EF708"
    name = "updates-rounded"
    level = "error"
    explains = ("EF702", "EF810", "EF811")

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding."""
        half = [k for k in matrices(run) if run.weights[k].dtype in _HALF]
        if not half:
            return Skipped("no weight is in half precision")
        same = middle(run.gradients["unchanged_share"])
        zeros = middle(run.gradients["zero_share"])
        found = [k for k in half if same[k] - zeros[k] >= limits.unchanged_warning]
        if not found:
            return []
        worst = max(found, key=lambda k: same[k])
        curve = LossCurve.of(run)
        learns = len(curve.values) >= limits.settled and curve.fallen(limits.learning_drop)
        grave = same[worst] >= limits.unchanged_error and not learns
        level: Level = "error" if grave else "warning"
        return [
            self.finding(
                level,
                where=run.weights[worst].name,
                others=tuple(run.weights[k].name for k in found if k != worst),
                measured=f"a step leaves {same[worst]:.0%} of its elements exactly as they were",
                expected="nearly all elements changed by each step",
                why=f"{run.weights[worst].dtype} rounds the change away.",
                remedy="keep weights in float32 and use torch.autocast, or an optimiser with a "
                "float32 master copy",
            )
        ]


class Underflow(TrainingRule):
    """Gradients underflow to zero in half precision.

    float16 has no numbers below 6e-8: gradients of deep layers are often smaller.

    Measured: the share of zeros among the gradients of matrices whose layer runs in float16,
    median over samples.

    Warning from half of them.

    Remedy: scale the loss (torch.amp.GradScaler), or use bfloat16.
    """

    code = "EF709"
    name = "gradient-underflow"
    level = "warning"
    explains = ("EF810", "EF811")

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding."""
        names = {n for layer in run.layers if layer.dtype == "float16" for n in layer.weights}
        low = [k for k in matrices(run) if run.weights[k].name in names]
        if not low:
            return Skipped("no layer runs in float16")
        zeros = middle(run.gradients["zero_share"])
        found = [k for k in low if zeros[k] >= limits.underflow]
        if not found:
            return []
        worst = max(found, key=lambda k: zeros[k])
        return [
            self.finding(
                "warning",
                where=run.weights[worst].name,
                others=tuple(run.weights[k].name for k in found if k != worst),
                measured=f"{zeros[worst]:.0%} of its gradient is exactly zero",
                expected="few zeros",
                why="float16 has no numbers below 6e-8: what is smaller is lost.",
                remedy="scale the loss with torch.amp.GradScaler, or use bfloat16",
            )
        ]


RULES = (UpdatesRounded, Underflow)
