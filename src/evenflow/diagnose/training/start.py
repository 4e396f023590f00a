"""Rules on where a training starts: a loss far from chance, weights that are copies of others."""

from __future__ import annotations

import math

import numpy as np

from evenflow.diagnose.finding import Finding, Level
from evenflow.diagnose.rule import Skipped
from evenflow.diagnose.training.rule import TrainingRule
from evenflow.diagnose.training.series import matrices
from evenflow.diagnose.training.thresholds import Thresholds
from evenflow.diagnose.words import figure
from evenflow.record.run import Run

_COURSE = (
    *("EF801", "EF802", "EF803", "EF804", "EF805", "EF806", "EF807", "EF808", "EF809", "EF810"),
    *("EF811", "EF812"),
)


class StartFarFromChance(TrainingRule):
    """The first loss is far above that of guessing.

    A network that knows nothing should say so: the cross-entropy of K classes starts near log K,
    that of bits near log 2. A loss far above means that outputs are large before anything was
    learned, and the first steps go to unlearning them.

    Measured: the first loss beside log K, K being the outputs of the last layer with weights; of
    losses that are means over examples, without further terms.

    Warning from 2 × chance + 0.5, as for loss-far-from-chance; error from ten times that.

    Remedy: smaller weights, ef.init_(model, inputs); the output layer's may be zero.
    """

    code = "EF711"
    name = "start-far-from-chance"
    level = "error"
    explains = ("EF701", "EF702", *_COURSE)

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding."""
        chance = _chance(run)
        if not chance > 0:
            return Skipped("what guessing would cost is not known for this loss")
        first = float(run.loss[0])
        high = limits.start_factor * chance + limits.start_margin
        if run.steps[0] != 0 or not first >= high:
            return []
        return [
            self.finding(
                "error" if first >= 10 * high else "warning",
                where="model",
                measured=f"a first loss of {figure(first)}",
                expected=f"about {figure(chance)}, the loss of a constant guess",
                why="The outputs are large before anything was learned, and the first steps go "
                "to unlearning them.",
                remedy="lower the weights, the output layer's above all (they may start at zero): "
                "ef.init_(model, inputs)",
            )
        ]


def _chance(run: Run) -> float:
    """Loss of a constant guess; NaN where the loss does not tell."""
    if not run.ending.mean:
        return math.nan
    if run.ending.loss.endswith("with_logits") or run.ending.loss == "binary_cross_entropy":
        return math.log(2)
    outputs = [layer for layer in run.layers if layer.weights and layer.op != "Embedding"]
    if run.ending.loss != "nll_loss" or "log_softmax" not in run.ending.before or not outputs:
        return math.nan
    shape = outputs[-1].shape
    classes = shape[1] if len(shape) == 4 else shape[-1]
    return math.log(classes) if classes > 1 else math.nan


class Copies(TrainingRule):
    """Weights start as copies of one another.

    Units with the same weights compute the same, get the same gradient and stay the same: the
    layer is worth one unit, however wide. So are branches side by side that start alike.

    Measured: before the first step the share of a matrix's rows that equal another to the last
    bit, and matrices whose values equal an earlier one's; at the first sample whether the
    gradients of such matrices are alike too, and whether a matrix of zeros gets any.

    Error from half of the rows, and where a matrix of zeros never gets a gradient, or all are
    zeros; warning from
    the first pair of rows, and for matrices alike whose gradients are alike. Zeros that get a
    gradient (output layers, residual branches) are healthy.

    Remedy: random values for every row, drawn after copying: ef.init_(model, inputs).
    """

    code = "EF712"
    name = "equal-units"
    level = "error"
    explains = ("EF701", "EF702", "EF710", "EF711", *_COURSE)

    def check(self, run: Run, _limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding: equal rows, or else equal matrices."""
        learning = [k for k in matrices(run) if run.weights[k].trainable]
        rows = [k for k in learning if _equal_rows(run, k) > 0]
        if rows:
            return [self._of_rows(run, rows)]
        alike = [k for k in learning if _stays_alike(run, k)]
        return [self._of_matrices(run, alike)] if alike else []

    def _of_rows(self, run: Run, some: list[int]) -> Finding:
        worst = max(some, key=lambda k: _equal_rows(run, k))
        share = _equal_rows(run, worst)
        level: Level = "error" if share >= 0.5 else "warning"
        return self.finding(
            level,
            where=run.weights[worst].name,
            others=tuple(run.weights[k].name for k in some if k != worst),
            measured=f"{share:.0%} of its {run.weights[worst].shape[0]} rows equal another before "
            "the first step",
            expected="no two rows alike",
            why="Units with equal weights compute the same and stay the same: the layer is worth "
            "fewer units than it has.",
            remedy="draw every row by itself: ef.init_(model, inputs)",
        )

    def _of_matrices(self, run: Run, some: list[int]) -> Finding:
        first = run.weights[some[0]]
        return self.finding(
            "warning",
            where=first.name,
            others=tuple(run.weights[k].name for k in some[1:]),
            measured=f"the values of {first.copy_of} before the first step, and its gradients",
            expected="values of its own",
            why="They compute the same and stay the same: together they are worth one.",
            remedy="initialise after copying: ef.init_(model, inputs)",
            explains=("EF711", "EF810", "EF811", "EF812"),
        )


def _equal_rows(run: Run, number: int) -> float:
    """Share of rows that equal another; 0 for rows too short to tell, and for zeros that learn
    beside others that are none."""
    weight = run.weights[number]
    if weight.equal_rows < 1 and math.prod(weight.shape[1:]) < 4:
        return 0.0
    seconds = run.gradients["second_moment"][:, number]
    starts = run.gradients["weight_rms"][0]
    learns = np.nanmax(seconds, initial=0.0) > 0 and (starts[matrices(run)] > 0).any()
    return 0.0 if starts[number] == 0 and learns else weight.equal_rows


def _stays_alike(run: Run, number: int) -> bool:
    """Whether a weight starts with another's values and is given that one's gradients."""
    names = [weight.name for weight in run.weights]
    original = run.weights[number].copy_of
    if original not in names:
        return False
    moments = run.gradients["second_moment"][0, [number, names.index(original)]]
    return bool(moments[0] > 0 and abs(moments[0] / moments[1] - 1) < 1e-4)


RULES = (StartFarFromChance, Copies)
