"""Rules on what the model is fed."""

from __future__ import annotations

import math

from evenflow.diagnose.finding import Finding, Level
from evenflow.diagnose.path import matrices, nodes_of, readers
from evenflow.diagnose.rule import Rule, Skipped
from evenflow.diagnose.words import figure
from evenflow.record.record import Record, Statistics


def weighed(record: Record) -> dict[str, Statistics]:
    """Inputs that a weight is applied to as they are, neither normalised nor scaled by the model.

    Masks, time steps and the like are read by other operations first. Constant inputs are left
    out: they are masks, or stand-ins for data. What a recurrent layer does with its inputs is not
    recorded: those that nothing else reads are its own.
    """
    weighted = nodes_of(matrices(record))
    recorded = {layer.node for layer in record.layers}
    hidden = not weighted <= recorded
    return {
        name: statistics
        for name, statistics in record.inputs.items()
        if statistics.variance > 0
        and (
            any(layer.node in weighted for layer in readers(record, name))
            or (hidden and not readers(record, name))
        )
    }


class InputsNotCentred(Rule):
    """The inputs are far from mean zero.

    An input whose mean is large beside its spread drives all units of the first layer by nearly
    the same amount on every example: what tells examples apart is a small part of the signal, and
    the gradients of all weights of a unit have the same sign.

    Measured: |mean| / standard deviation over all elements of each floating-point input that a
    weight is applied to as it is.

    Note from 1, warning from 10. Images in [0, 1] have 0.4 to 2 and train well; years, prices
    and temperatures in kelvin have 10 and more.

    Remedy: subtract the mean of the training set, feature by feature.
    """

    code = "EF501"
    name = "inputs-not-centred"
    level = "warning"
    needs = ("inputs", "path")
    explains = ("EF105", "EF106")

    def check(self, record: Record) -> list[Finding] | Skipped:
        """One finding for each input."""
        found = []
        for name, x in weighed(record).items():
            offset = abs(x.mean) / math.sqrt(x.variance)
            if offset >= 1:
                level: Level = "warning" if offset >= 10 else "note"
                found.append(
                    self.finding(
                        level,
                        where=name,
                        measured=f"a mean of {figure(x.mean)}, "
                        f"{figure(offset)} standard deviations from zero",
                        expected="a mean within one standard deviation of zero",
                        why="All examples drive the first layer in nearly the same direction; "
                        "what tells them apart is a small part of the signal.",
                        remedy="subtract the training set's mean, feature by feature",
                        explains=self.explains if level == "warning" else (),
                    )
                )
        return found


class InputsNotScaled(Rule):
    """The inputs are far from variance one.

    Initialisation schemes take for granted that inputs have a second moment near 1. Inputs of 0 to
    255 saturate the first layer and put the outputs far from chance; inputs of 1e-3 starve it.

    Measured: the root mean square of each floating-point input that a weight is applied to as it
    is.

    Warning from 30, or below 0.01. Images of 0 to 255 have 100 to 150; images in [0, 1] 0.3 to
    0.6.

    Remedy: divide by the standard deviation of the training set, feature by feature.
    """

    code = "EF502"
    name = "inputs-not-scaled"
    level = "warning"
    needs = ("inputs", "path")
    explains = ("EF103", "EF104", "EF401")

    def check(self, record: Record) -> list[Finding] | Skipped:
        """One finding for each input."""
        found = []
        for name, x in weighed(record).items():
            size = math.sqrt(x.second_moment)
            if size >= 30 or size < 0.01:
                effect = "saturates the first layer and makes outputs huge"
                found.append(
                    self.finding(
                        "warning",
                        where=name,
                        measured=f"a root mean square of {figure(size)}, "
                        f"values from {figure(x.minimum)} to {figure(x.maximum)}",
                        expected="a root mean square near 1",
                        why="Every scheme of initialisation reckons with inputs of variance 1; "
                        f"this {effect if size >= 30 else 'starves the first layer'}.",
                        remedy="divide by the training set's standard deviation, feature by "
                        "feature (images of 0 to 255: by 255)",
                    )
                )
        return found


RULES = (InputsNotCentred, InputsNotScaled)
