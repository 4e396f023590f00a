"""Rules on the loss at the start and on what the network does to its output."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from evenflow.diagnose.finding import Finding, Level
from evenflow.diagnose.rule import Rule, Skipped
from evenflow.diagnose.words import figure
from evenflow.record.record import LossRecord, Record

_CLASSES = ("cross_entropy", "nll", "bce", "bce_logits")


class LossFarFromChance(Rule):
    """The loss at the start is far from that of guessing.

    A network that knows nothing should say so: the cross-entropy of K classes starts near log K.
    A loss far above means that the outputs are large and sure of themselves for no reason; the
    first steps are then spent on unlearning that. A loss far below, before any training, means
    that the target leaks into the input, or that the loss is not what it seems.

    Measured: the loss of the batch against that of the best constant guess: log K for classes,
    log 2 for bits, the target's variance for a squared error.

    Warning from 2 × chance + 0.5 for classes and bits and from 10 × chance for squared errors;
    error from ten times that. Warning below 0.2 × chance for classes. Logits of variance v
    cost about v/2, so that He's initialisation, with v = 2, starts at most 1 above log K.

    Remedy: smaller weights in the output layer (zero is fine); targets scaled to mean 0 and
    variance 1 for a squared error.
    """

    code = "EF401"
    name = "loss-far-from-chance"
    level = "error"
    needs = ("loss",)

    def check(self, record: Record) -> list[Finding] | Skipped:
        """At most one finding."""
        loss = record.loss
        assert loss is not None  # it is among the needs
        if not math.isfinite(loss.chance) or loss.chance <= 0:
            return Skipped(f"what guessing would cost is not known for the loss {loss.kind}")
        if not math.isfinite(loss.value):
            return [self._finding("error", loss, "The loss is no number.", "find the NaN first")]
        classes = loss.kind in _CLASSES
        high = 2 * loss.chance + 0.5 if classes else 10 * loss.chance
        if loss.value >= high:
            why = "The outputs are large before anything was learnt, and the first steps go to "
            why += "unlearning them."
            remedy = "lower the output layer's weights (they may start at zero)"
            if not classes:
                remedy += ", and scale the targets to mean 0 and variance 1"
            level: Level = "error" if loss.value >= 10 * high else "warning"
            return [self._finding(level, loss, why, remedy)]
        if classes and loss.value < 0.2 * loss.chance:
            why = "No network knows this much before training: the target leaks into the input, "
            why += "the batch holds one class, or the loss is not given what it expects."
            remedy = "look at what the loss is given; on a trained network this is as it should be"
            return [self._finding("warning", loss, why, remedy)]
        return []

    def _finding(self, level: Level, loss: LossRecord, why: str, remedy: str) -> Finding:
        return self.finding(
            level,
            where="model",
            measured=f"a loss ({loss.kind}) of {figure(loss.value)}",
            expected=f"about {figure(loss.chance)}, the loss of a constant guess",
            why=why,
            remedy=remedy,
        )


_ONE_SIDED = frozenset({"relu", "relu6", "softplus", "squared_relu", "hardsigmoid"})
_BOUNDED = frozenset({"tanh", "softsign", "hardtanh", "sin"})
_SIGMOID = frozenset({"logistic", "sigmoid"})
_TWICE = "The loss applies it once more: gradients are flattened, and the loss cannot reach zero."
_Verdict = tuple[Level, str, str]


class OutputActivation(Rule):
    """The output's activation and the loss do not fit together.

    Losses "from logits" apply softmax or the logistic function themselves. Applied twice, the
    second squeezes probabilities in [0, 1] into nearly equal ones: the loss stays near chance and
    its gradient is small even for wrong answers. A ReLU or tanh on the logits takes away values
    that they must be able to have.

    Measured: the last activation before the output, as the graph has it, against the loss's kind.

    Error: softmax or logistic before a loss that applies it itself; softmax without logarithm,
    or no log-softmax with a loss at chance's half, before nll; an activation before a squared
    error whose targets lie beyond its range by a twentieth of their own. Warning: logistic before
    cross-entropy, ReLU, tanh and their like on logits. Note: log-softmax before cross-entropy,
    which does nothing.

    Remedy: return logits, and apply softmax only where probabilities are read.
    """

    code = "EF402"
    name = "output-activation"
    level = "error"
    needs = ("loss",)
    explains = ("EF401",)

    def check(self, record: Record) -> list[Finding] | Skipped:
        """At most one finding."""
        loss = record.loss
        assert loss is not None  # it is among the needs
        verdict = _VERDICTS.get(loss.kind, _fits)(loss)
        if verdict is None:
            return []
        level, why, remedy = verdict
        last = loss.final_activation or "no activation"
        return [
            self.finding(
                level,
                where="model",
                measured=f"{last} before {loss.kind}",
                expected=f"{'log_softmax' if loss.kind == 'nll' else 'plain logits'} "
                f"before {loss.kind}",
                why=why,
                remedy=remedy,
            )
        ]


def _fits(_loss: LossRecord) -> _Verdict | None:
    return None


def _from_logits(loss: LossRecord) -> _Verdict | None:
    last = loss.final_activation
    doubled = {"softmax"} if loss.kind == "cross_entropy" else {"softmax", *_SIGMOID}
    bare = f"return the logits, without {last}"
    if last in doubled:
        return "error", _TWICE, bare
    if last == "log_softmax":
        if loss.kind == "cross_entropy":
            return "note", "A second log-softmax changes nothing, it only costs time.", bare
        return "error", _TWICE, bare
    if last in _SIGMOID or last in _BOUNDED:
        why = "Logits that are bounded cannot become sure of anything: the loss stays above zero."
        return "warning", why, bare
    if last in _ONE_SIDED:
        why = "Logits that cannot be negative pass no gradient where they should be."
        return "warning", why, bare
    return None


def _from_log_probabilities(loss: LossRecord) -> _Verdict | None:
    last = loss.final_activation
    remedy = "return log_softmax of the logits, or use cross_entropy on the logits themselves"
    if last == "softmax":
        return "error", "nll takes logarithms of probabilities, not probabilities.", remedy
    if last != "log_softmax" and loss.value < 0.5 * loss.chance:
        why = "nll takes logarithms of probabilities; of plain logits it has no lower bound."
        return "error", why, remedy
    return None


_RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("relu", "softplus", "squared_relu"), (0.0, math.inf)),
    **dict.fromkeys(("logistic", "sigmoid", "softmax", "hardsigmoid"), (0.0, 1.0)),
    **dict.fromkeys(_BOUNDED, (-1.0, 1.0)),
    "relu6": (0.0, 6.0),
}


def _within_reach(loss: LossRecord) -> _Verdict | None:
    low, high = _RANGES.get(loss.final_activation, (-math.inf, math.inf))
    slack = 0.05 * (loss.target_high - loss.target_low)
    if not (loss.target_low < low - slack or loss.target_high > high + slack):
        return None
    targets = f"targets go from {figure(loss.target_low)} to {figure(loss.target_high)}"
    remedy = f"return the numbers without {loss.final_activation}, or bring targets into its range"
    return "error", f"The {targets}: the activation cannot get there.", remedy


_VERDICTS: Mapping[str, Callable[[LossRecord], _Verdict | None]] = {
    "cross_entropy": _from_logits,
    "bce_logits": _from_logits,
    "nll": _from_log_probabilities,
    "mse": _within_reach,
}


class TargetsNotScaled(Rule):
    """The targets of a squared error are far from variance one.

    Gradients are as large as the targets, so that usual learning rates are too high, and outputs
    have far to go from where any initialisation puts them.

    Measured: the standard deviation of the batch's targets.

    Warning from 30.

    Remedy: divide the targets by their standard deviation, and multiply the answers back.
    """

    code = "EF403"
    name = "targets-not-scaled"
    level = "warning"
    needs = ("loss",)
    explains = ("EF401",)

    def check(self, record: Record) -> list[Finding] | Skipped:
        """At most one finding."""
        loss = record.loss
        assert loss is not None  # it is among the needs
        if loss.kind != "mse" or not loss.chance >= _TARGETS**2:
            return []
        return [
            self.finding(
                "warning",
                where="model",
                measured=f"targets with a standard deviation of {figure(math.sqrt(loss.chance))}",
                expected="targets of variance 1",
                why="Gradients are as large as the targets: a usual learning rate is too high.",
                remedy="divide the targets by their standard deviation, and multiply back later",
            )
        ]


_TARGETS = 30.0

RULES = (LossFarFromChance, OutputActivation, TargetsNotScaled)
