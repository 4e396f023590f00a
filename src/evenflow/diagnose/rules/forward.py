"""Rules on the signal's way forwards: it vanishes, explodes, or loses what tells examples apart."""

from __future__ import annotations

import math

from evenflow.diagnose.finding import Finding, Level
from evenflow.diagnose.path import Cut, Path, path
from evenflow.diagnose.rule import Rule, Skipped
from evenflow.diagnose.trend import Trend, growing, shrinking, trend
from evenflow.diagnose.words import figure
from evenflow.record.record import Record

_EPSILON = 1e-7
"""A hundredth of the ε = 1e-5 that normalisations add to the variance they divide by."""


def second_moments(cuts: tuple[Cut, ...]) -> Trend:
    """E[x²] from layer to layer."""
    return trend([cut.name for cut in cuts], [cut.second for cut in cuts])


def distinct_shares(cuts: tuple[Cut, ...]) -> Trend:
    """From layer to layer the share of the second moment that differs between examples."""
    return trend([cut.name for cut in cuts], [cut.share for cut in cuts])


def signal_left(way: Path) -> tuple[float, float]:
    """What is left at the last hidden layer: of the second moment, of its share that differs."""
    seconds, shares = second_moments(way.free), distinct_shares(way.free)
    return seconds.ratio, min(shares.ratio, 1.0)


class VanishingForward(Rule):
    """The signal vanishes on its way forwards.

    Each layer multiplies the second moment of what passes it by fan-in × E[w²] × the activation's
    gain. Below 1 in every layer, activations fall geometrically with depth: the last layers see
    next to nothing of the input, and the first ones get next to no gradient.

    Measured behind every hidden layer that has a weight, where the next one reads: the greatest
    second moment of all tensors that are still to be read, so that a weak branch beside a residual
    stream counts for nothing.
    Layers before the last normalisation are left out, since there the scale is put right again,
    unless the second moment falls below 1e-7, where the normalisation's own ε takes over. What
    counts is the signal, q − s_B: the part of the second moment that differs between examples.

    Note from 1/30, warning from 5e-6, error from 1e-12 of the signal, last hidden layer over
    first. Of the perceptrons that `benchmarks/rule_thresholds.py` trains, those with 1e-5 left
    learn with SGD and with Adam, those with 1e-7 with Adam alone, those with 1e-13 with neither;
    below 5e-6 SGD hardly does (`make calibrate`).

    Remedy: initialise by the network's own fans and gains, `ef.init_(model, inputs)`; or raise the
    standard deviation of each weight by the inverse root of the factor that a layer loses.
    """

    code = "EF101"
    name = "vanishing-forward"
    level = "error"
    needs = ("path",)
    explains = ("EF201",)

    def check(self, record: Record) -> list[Finding] | Skipped:
        """One finding for the whole way, at the layer where it begins."""
        way = path(record)
        seconds = second_moments(way.free)
        left, distinct = signal_left(way)
        level = shrinking(left * distinct)
        if level is not None and left <= distinct:
            boost = 1 / math.sqrt(seconds.rate) if seconds.rate > 0 else math.inf
            much = f"by {figure(boost)} in each layer"
            return [self._finding(level, seconds, much, left * distinct)]
        faint = [cut for cut in way.normalised if 0 < cut.second < _EPSILON]
        if len(way.normalised) >= 3 and faint:
            seconds = second_moments(way.normalised)
            return [self._finding("warning", seconds, "there", seconds.ratio)]
        return []

    def _finding(self, level: Level, seconds: Trend, much: str, signal: float) -> Finding:
        return self.finding(
            level,
            where=seconds.start,
            measured=f"{seconds.describe('the second moment E[x²]')}; of the signal, the part that "
            f"differs between examples, {figure(signal)} is left",
            expected="a signal that stays level, within a factor 30 from end to end",
            why="The last layers see next to nothing of the input, so the loss cannot tell one "
            "example from another and learning starts on a plateau.",
            remedy="initialise with ef.init_(model, inputs), which derives each weight's variance; "
            f"by hand, raise the weights' standard deviation {much}",
        )


class ExplodingForward(Rule):
    """The signal explodes on its way forwards.

    Each layer multiplies the second moment of what passes it by fan-in × E[w²] × the activation's
    gain. Above 1 in every layer, activations grow geometrically with depth: bounded units
    saturate, others give huge outputs, a loss far from chance and updates that overshoot.

    Measured like vanishing-forward: the greatest second moment still to be read behind each hidden
    layer that has a weight, after the last normalisation.

    Note from 30-fold, warning from 1e4-fold, error from 1e8-fold growth, last hidden layer over
    first. Residual streams and normalised networks in their common initialisations stay below
    100; three layers of standard normal weights and width 256 reach 1e4.

    Remedy: initialise with `ef.init_(model, inputs)`; or lower the standard deviation of each
    weight by the root of the factor that a layer gains; on a residual network, scale the branches
    by 1/√depth.
    """

    code = "EF102"
    name = "exploding-forward"
    level = "error"
    needs = ("path",)
    explains = ("EF103", "EF107", "EF202", "EF204", "EF401")

    def check(self, record: Record) -> list[Finding] | Skipped:
        """One finding for the whole way, at the layer where it begins."""
        seconds = second_moments(path(record).free)
        level = growing(seconds.ratio)
        if level is None:
            return []
        return [
            self.finding(
                level,
                where=seconds.start,
                measured=seconds.describe("the second moment E[x²]"),
                expected="a second moment that stays level, within a factor 30 from end to end",
                why="Outputs start far from what the loss expects: bounded units saturate, and the "
                "first updates overshoot.",
                remedy="initialise with ef.init_(model, inputs), which derives each weight's "
                "variance; by hand, divide the weights' standard deviation by "
                f"{figure(math.sqrt(seconds.rate))} in each layer",
            )
        ]


class CollapsedCorrelation(Rule):
    """All examples come to look alike on their way forwards.

    Where activations have a mean (logistic, softplus, ReLU) or biases are large beside the signal,
    the part of each layer's output that all examples share grows at the expense of the part that
    tells them apart. The second moment looks healthy, but the output hardly depends on the input,
    and the gradient with respect to early layers is as small as what is left of the difference.

    Measured behind every hidden layer that has a weight: 1 − s_B/q, the share of the second moment
    that differs between the examples of the batch, unbiased.

    Note from 1/30, warning from 5e-6, error from 1e-12 of the signal q − s_B, where it is this
    share and not the second moment that accounts for most of the loss (otherwise it is
    vanishing-forward); within normalised networks, of the share alone. Origin as there.

    Remedy: activations with mean zero (tanh for logistic), biases of zero, weights by
    `ef.init_(model, inputs)`, or a batch normalisation, which takes the shared part away.
    """

    code = "EF105"
    name = "collapsed-correlation"
    level = "error"
    needs = ("path", "examples")
    explains = ("EF201",)

    def check(self, record: Record) -> list[Finding] | Skipped:
        """One finding for the whole way, at the layer where it begins."""
        way = path(record)
        left, distinct = signal_left(way)
        level = shrinking(left * distinct)
        if level is not None and distinct < left:
            return [self._finding(level, distinct_shares(way.free), left * distinct)]
        inside = distinct_shares(way.normalised)
        level = shrinking(inside.ratio)
        return [self._finding(level, inside, inside.ratio)] if level in ("warning", "error") else []

    def _finding(self, level: Level, shares: Trend, signal: float) -> Finding:
        return self.finding(
            level,
            where=shares.start,
            measured=f"{shares.describe('the share of E[x²] that differs between examples')}; "
            f"of the signal, {figure(signal)} is left",
            expected="a signal that stays level, within a factor 30 from end to end",
            why="The output hardly depends on the input: what tells examples apart drowns in "
            "what they share, and the gradient of early layers shrinks by the same factor.",
            remedy="use activations with mean zero, set biases to zero and initialise with "
            "ef.init_(model, inputs), or add a batch normalisation",
        )


RULES = (VanishingForward, ExplodingForward, CollapsedCorrelation)
