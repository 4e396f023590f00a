"""Rules on what was set for a training: which weights learn, the loss, targets and inputs."""

from __future__ import annotations

import math

import numpy as np

from evenflow.diagnose.finding import Finding, Level
from evenflow.diagnose.rule import Skipped
from evenflow.diagnose.training.rule import TrainingRule
from evenflow.diagnose.training.series import LossCurve, late, matrices
from evenflow.diagnose.training.thresholds import Thresholds
from evenflow.diagnose.words import figure
from evenflow.record.run import Ending, Run


class NotTrained(TrainingRule):
    """Weights are left out of the training.

    A layer that was frozen for a test and forgotten, a part that is in no group of the optimiser,
    a branch cut off by a detach: it stays as random as it began.

    Measured: whether each matrix asks for a gradient, is in a group of the optimiser, and ever
    gets a gradient.

    Warning where a matrix asks for a gradient and is in no group, or never gets one while others
    do; where a frozen one lies behind a trained one, or still has the uniform distribution that
    it was drawn from, which no training leaves behind. Note where all frozen ones come before all
    trained ones otherwise, as in fine-tuning.

    Remedy: hand model.parameters() to the optimiser; requires_grad_(True) for what should learn.
    """

    code = "EF704"
    name = "not-trained"
    level = "warning"
    explains = ("EF810", "EF811")

    def check(self, run: Run, _limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding for each reason."""
        rows = matrices(run)
        given = [bool(np.isfinite(g).any()) for g in run.gradients["second_moment"].T]
        frozen = [k for k in rows if not run.weights[k].trainable]
        learning = [k for k in rows if run.weights[k].trainable and run.weights[k].optimised]
        loose = [k for k in rows if run.weights[k].trainable and not run.weights[k].optimised]
        some = any(given[k] for k in learning)
        cut = [k for k in learning if some and not given[k]]
        behind = [k for k in frozen if learning and k > learning[0]]
        drawn = [k for k in frozen if not behind and run.weights[k].uniform]
        found = []
        for level, places, what in (
            ("warning", loose, "it asks for a gradient and is in no group of the optimiser"),
            ("warning", cut, "no gradient ever comes to it"),
            ("warning", behind, "it is frozen, and trained layers come before it"),
            ("warning", drawn, "it is frozen, with values as an initialiser draws them"),
            ("note", [] if behind or drawn else frozen, "it is frozen, as everything before it"),
        ):
            if places:
                found.append(self._found(level, run, places, what))  # type: ignore[arg-type]
        return found

    def _found(self, level: Level, run: Run, some: list[int], what: str) -> Finding:
        return self.finding(
            level,
            where=run.weights[some[0]].name,
            others=tuple(run.weights[k].name for k in some[1:]),
            measured=what,
            expected="weights that learn, or are frozen on purpose",
            why="It stays as it was at the start.",
            remedy="hand model.parameters() to the optimiser, requires_grad_(True) for what "
            "should learn; look for a detach() or no_grad() behind it",
            explains=self.explains if level == "warning" else (),
        )


_SHAPES = (
    "view",
    "reshape",
    "permute",
    "transpose",
    "t",
    "unsqueeze",
    "squeeze",
    "select",
    "slice",
)


class LossMismatch(TrainingRule):
    """The output's activation and the loss do not fit together.

    Losses "from logits" apply softmax or the logistic function themselves. Applied twice, the
    second squeezes probabilities into nearly equal ones: the loss stays near chance. A ReLU, tanh
    or logistic on the logits takes away values that they must be able to have.

    Measured: the operations between the loss and the last weight, read off the loss's own graph
    of gradients.

    Error: softmax before cross-entropy, softmax or nothing in the place of a log-softmax before
    nll, logistic before the binary loss with logits, cross-entropy over a single class. Warning:
    ReLU, tanh or logistic on the logits of cross-entropy; and before a squared error, where half
    of the outputs lie at the activation's bound while a quarter of the loss is left: the targets
    lie beyond it.

    Remedy: return logits, and apply softmax only where probabilities are read.
    """

    code = "EF705"
    name = "loss-mismatch"
    level = "error"
    explains = ("EF706", "EF802", "EF804", "EF805", "EF806", "EF808", "EF810", "EF811", "EF812")

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding."""
        if not run.ending.loss:
            return Skipped("the loss is of no kind that is known")
        said = _mismatch(run.ending) or _one_class(run) or _out_of_reach(run, limits)
        if not said:
            return []
        level, measured, why = said
        return [
            self.finding(
                level,  # type: ignore[arg-type]
                where="model",
                measured=measured,
                expected="outputs that can be what the loss asks for",
                why=why,
                remedy="return what the last linear layer gives",
            )
        ]


def _mismatch(ending: Ending) -> tuple[str, str, str] | None:
    """Level, what was found, and why it matters."""
    before = [name for name in ending.before if name not in _SHAPES]
    while before and before[0].startswith(_SHAPES):
        before.pop(0)
    first = before[0] if before else ""
    twice = "The loss applies it once more: gradients are flattened, and it cannot reach zero."
    if ending.loss.endswith("with_logits"):
        if first in ("sigmoid", "softmax"):
            return "error", f"{first} before a loss that takes logits", twice
        return None
    if ending.loss != "nll_loss":
        return None
    if first == "softmax":
        return "error", "softmax before nll, without a logarithm", "It takes log-probabilities."
    if first != "log_softmax":
        return "error", "nll without a log-softmax before it", "It has no lower bound then."
    second = before[1] if first == "log_softmax" and len(before) > 1 else ""
    if second in ("softmax", "log_softmax"):
        level = "error" if second == "softmax" else "note"
        return level, f"{second} before cross-entropy", twice
    if second in ("relu", "sigmoid", "tanh", "hardtanh", "softplus"):
        why = "Logits need every value: bounded or one-sided ones cannot become sure of an answer."
        return "warning", f"{second} on the logits of cross-entropy", why
    return None


def _out_of_reach(run: Run, limits: Thresholds) -> tuple[str, str, str] | None:
    """A bounded output before a squared error that its targets lie beyond."""
    curve = LossCurve.of(run)
    before = [name for name in run.ending.before if not name.startswith(_SHAPES)]
    bounded = before and before[0] in ("relu", "sigmoid", "tanh", "hardtanh", "softplus")
    if run.ending.loss not in _DISTANCES or not bounded or len(curve.values) < limits.settled:
        return None
    flat = float(late(run.forward["saturated_share"], limits.settled)[-1])
    left = curve.end / curve.start if curve.start > 0 else 0.0
    if not (flat >= limits.bounded_output and left >= limits.bounded_loss):
        return None
    return (
        "warning",
        f"{before[0]} before {run.ending.loss}, {flat:.0%} of the outputs at its bound, "
        f"{left:.0%} of the loss left",
        "The targets lie where the activation cannot get.",
    )


_DISTANCES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


def _one_class(run: Run) -> tuple[str, str, str] | None:
    outputs = [layer for layer in run.layers if layer.weights]
    single = bool(outputs) and len(outputs[-1].shape) == 2 and outputs[-1].shape[1] == 1
    if run.ending.loss == "nll_loss" and single:
        return "error", "cross-entropy over one class", "Its loss is 0 whatever the output."
    return None


class TargetsOutOfRange(TrainingRule):
    """The targets are not what the loss takes.

    Measured: the loss itself. Cross-entropies cannot be negative: targets outside [0, 1] make
    them so. The root of a squared loss at the start is the size of the targets.

    Error for a negative cross-entropy, warning for targets of more than 30 root mean square that
    are ten times larger than the network's first outputs.

    Remedy: targets in [0, 1] for the binary losses, log-probabilities for nll; divide targets of
    a regression by their standard deviation.
    """

    code = "EF706"
    name = "targets-out-of-range"
    level = "error"
    explains = ("EF701", "EF711", "EF801", "EF802", "EF803", "EF805", "EF806", "EF808", "EF811")

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding."""
        curve = LossCurve.of(run)
        if not run.ending.loss or not len(curve.values):
            return Skipped("the loss is of no kind that is known")
        lowest = float(np.nanmin(run.loss_low))
        if run.ending.loss in ("nll_loss", "binary_cross_entropy") or (
            run.ending.loss.endswith("with_logits")
        ):
            return [self._negative(lowest)] if lowest < -1e-6 else []
        size = math.sqrt(max(curve.start, 0.0))
        output = _output_size(run)
        if (
            not run.ending.mean
            or run.ending.loss != "mse_loss"
            or size < limits.target_scale
            or size < 10 * output
        ):
            return []
        return [
            self.finding(
                "warning",
                where="model",
                measured=f"targets of about {figure(size)}, outputs of {figure(output)} at the "
                "start",
                expected="targets of variance 1",
                why="Gradients are as large as the targets: a usual learning rate is too high.",
                remedy="divide the targets by their standard deviation, and multiply back later",
            )
        ]

    def _negative(self, lowest: float) -> Finding:
        return self.finding(
            "error",
            where="model",
            measured=f"a loss of {figure(lowest)}",
            expected="a loss that is never negative",
            why="A cross-entropy is negative only where its targets are no probabilities, or its "
            "inputs no logarithms of any.",
            remedy="bring the targets into [0, 1]; give nll log-probabilities",
        )


def _output_size(run: Run) -> float:
    """Root mean square of the network's last output at the first sample."""
    second = run.forward["second_moment"][0]
    known = second[np.isfinite(second)]
    return math.sqrt(float(known[-1])) if len(known) else math.nan


class InputsUnscaled(TrainingRule):
    """The model's inputs are far from mean zero and variance one.

    Every scheme of initialisation takes for granted that inputs have a second moment near 1.
    Inputs of 0 to 255 saturate the first layer and put the outputs far from chance; inputs of
    1e-3 starve it; a large mean drives all units alike.

    Measured: the model's first floating-point input, where no normalisation comes first.

    Warning from a root mean square of 30, below 0.01, or with a mean of ten standard deviations;
    and where all examples of the first batch are alike.

    Remedy: subtract the training set's mean and divide by its standard deviation.
    """

    code = "EF707"
    name = "inputs-unscaled"
    level = "warning"
    explains = (
        *(
            "EF701",
            "EF709",
            "EF710",
            "EF711",
            "EF801",
            "EF802",
            "EF803",
            "EF804",
            "EF805",
            "EF806",
            "EF808",
        ),
        *("EF811", "EF812"),
    )

    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """At most one finding."""
        places = [k for k, layer in enumerate(run.layers) if layer.op == "input"]
        if not places:
            return Skipped("the model takes no floating-point input")
        following = run.layers[places[0] + 1 : places[0] + 2]
        if following and "Norm" in following[0].op:
            return []
        second = float(run.forward["second_moment"][0, places[0]])
        mean = float(run.forward["mean"][0, places[0]])
        spread = math.sqrt(max(second - mean**2, 0.0))
        size = math.sqrt(second)
        small = 0 < size < limits.input_low
        offset = spread > 0 and abs(mean) > limits.input_offset * spread
        alike = float(run.forward["correlation"][0, places[0]]) > 1 - 1e-6
        if not (size >= limits.input_high or small or offset or alike):
            return []
        return [
            self.finding(
                "warning",
                where=run.layers[places[0]].name,
                measured=f"a mean of {figure(mean)} and a root mean square of {figure(size)}"
                + (", the same in every example" if alike else ""),
                expected="a mean near 0 and a root mean square near 1",
                why="Every scheme of initialisation reckons with inputs of variance 1.",
                remedy="subtract the training set's mean and divide by its standard deviation, "
                "feature by feature (images of 0 to 255: by 255)",
            )
        ]


RULES = (NotTrained, LossMismatch, TargetsOutOfRange, InputsUnscaled)
