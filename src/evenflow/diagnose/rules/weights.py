"""Rules on a weight's values: constant, symmetric, cloned, uninitialised, off centre."""

from __future__ import annotations

import math

from evenflow.diagnose.finding import Finding
from evenflow.diagnose.path import matrices
from evenflow.diagnose.rule import Rule, Skipped
from evenflow.diagnose.rules.backward import waiting
from evenflow.diagnose.words import figure
from evenflow.record.record import Record, WeightRecord


def _random(record: Record) -> list[WeightRecord]:
    """Trainable weights of at least two units that should hold random values."""
    return [w for w in matrices(record) if w.trainable and len(w.shape) > 1 and w.shape[0] > 1]


def _constant(weight: WeightRecord) -> bool:
    return weight.values.minimum == weight.values.maximum


class ConstantWeights(Rule):
    """A weight holds one value only.

    If all weights of a layer are equal, all its units compute the same and get the same gradient:
    they stay equal for ever, and the layer is worth one unit. Zeros in two layers on end are
    worse: each keeps the other's gradient at zero.

    Measured: minimum and maximum of every trainable weight. A weight of zeros that gets a gradient
    is healthy (zero-initialised heads, residual branches, adapters), and so is one that waits for
    such a one after it.

    Error.

    Remedy: random values, `ef.init_(model, inputs)`.
    """

    code = "EF302"
    name = "constant-weights"
    level = "error"
    explains = (
        *("EF101", "EF102", "EF103", "EF104", "EF105", "EF106"),
        *("EF201", "EF202", "EF203", "EF401"),
    )

    def check(self, record: Record) -> list[Finding] | Skipped:
        """One finding: the first weight, and which others."""
        shut = waiting(record)
        found = [
            weight
            for weight in _random(record)
            if _constant(weight)
            and (weight.values.maximum != 0 or (_stuck(weight) and weight.name not in shut))
        ]
        if not found:
            return []
        value = found[0].values.maximum
        why = "All units of the layer compute the same, get the same gradient and stay equal."
        if value == 0:
            why = (
                "Its gradient is zero, and it keeps that of its neighbours at zero: nothing moves."
            )
        return [
            self.finding(
                "error",
                where=found[0].name,
                others=tuple(weight.name for weight in found[1:]),
                measured=f"all {found[0].values.count} values are {figure(value)}",
                expected="random values",
                why=why,
                remedy="initialise with ef.init_(model, inputs)",
            )
        ]


def _stuck(weight: WeightRecord) -> bool:
    return weight.gradient is not None and weight.gradient.second_moment == 0


class SymmetricWeights(Rule):
    """Rows of a weight are equal.

    Two units with the same weights compute the same. Unless what comes after tells them apart,
    they get the same gradient and stay twins, and the layer has fewer units than it seems.

    Measured: the share of rows along the first axis (units, output channels, experts) that equal
    another row to the last bit, in weights of at least four elements a row.

    Warning from the first pair, error from half of the rows. Random rows are never equal.

    Remedy: draw every row by itself, `ef.init_(model, inputs)`; do not repeat or tile.
    """

    code = "EF303"
    name = "symmetric-weights"
    level = "error"
    explains = ("EF103", "EF104", "EF105", "EF106", "EF201", "EF401")

    def check(self, record: Record) -> list[Finding] | Skipped:
        """One finding: the worst weight, and which others."""
        found = [
            weight
            for weight in _random(record)
            if weight.row_duplicates > 0 and math.prod(weight.shape[1:]) >= 4
            if not _constant(weight)
        ]
        if not found:
            return []
        worst = max(found, key=lambda weight: weight.row_duplicates)
        return [
            self.finding(
                "error" if worst.row_duplicates >= 0.5 else "warning",
                where=worst.name,
                others=tuple(weight.name for weight in found if weight is not worst),
                measured=f"{worst.row_duplicates:.0%} of its {worst.shape[0]} rows equal another",
                expected="no two rows alike",
                why="Units with equal weights compute the same and tend to stay twins: the layer "
                "has fewer units than it seems.",
                remedy="draw every row by itself: ef.init_(model, inputs)",
            )
        ]


class IdenticalClones(Rule):
    """Two weights hold identical values.

    Copying a layer (`copy.deepcopy`, `[layer] * n` with later untying, a seed set anew before each
    layer) copies its random values too. Clones that read the same input, such as experts, heads or
    the members of an ensemble, compute the same and are worth one; clones on end are less harmful
    but make a product of equal matrices, whose spectrum is wider than that of independent ones.

    Measured: a hash of every parameter's bytes; tied weights are one parameter and no clones.

    Warning where clones read the same value, note otherwise.

    Remedy: initialise after copying, `ef.init_(model, inputs)`.
    """

    code = "EF304"
    name = "identical-clones"
    level = "warning"
    needs = ("path",)
    explains = ("EF102", "EF401")

    def check(self, record: Record) -> list[Finding] | Skipped:
        """At most one finding for clones side by side and one for clones on end."""
        by_name = {weight.name: weight for weight in record.weights}
        reads = {layer.node: set(layer.inputs) for layer in record.layers}
        beside: list[WeightRecord] = []
        on_end: list[WeightRecord] = []
        for weight in _random(record):
            original = by_name.get(weight.duplicate_of)
            if original is None or _constant(weight):
                continue
            sources = [
                set().union(*(reads.get(node, set()) for node in each.layers))
                for each in (weight, original)
            ]
            (beside if sources[0] & sources[1] else on_end).append(weight)
        findings = []
        if beside:
            why = "They read the same and compute the same: together they are worth one."
            findings.append(self._told(beside, why))
        if on_end:
            why = "A product of equal matrices stretches some directions and loses others more "
            why += "than one of independent matrices."
            findings.append(self._told(on_end, why, grave=False))
        return findings

    def _told(self, clones: list[WeightRecord], why: str, grave: bool = True) -> Finding:
        return self.finding(
            "warning" if grave else "note",
            where=clones[0].name,
            others=tuple(weight.name for weight in clones[1:]),
            measured=f"the same values as {clones[0].duplicate_of}",
            expected="values of its own",
            why=why,
            remedy="initialise after copying: ef.init_(model, inputs)",
            explains=self.explains if grave else (),  # side by side they add up
        )


class UninitialisedWeights(Rule):
    """A parameter was allocated but never initialised.

    `torch.empty` hands out memory as it finds it: whatever bytes were there before, read as
    numbers. Often these are 1e-41 or 1e30; now and then they look harmless, which makes the fault
    come and go.

    Measured: the greatest magnitude of each parameter. Error above 1e6, or below 1e-30 while not
    all are zero; no scheme gives such values.

    Remedy: `ef.init_(model, inputs)`, or initialise what you allocate with `torch.empty`.
    """

    code = "EF306"
    name = "uninitialised-weights"
    level = "error"
    explains = ("EF101", "EF102", "EF103", "EF107", "EF201", "EF202", "EF203", "EF204", "EF401")

    def check(self, record: Record) -> list[Finding] | Skipped:
        """One finding: the first parameter, and which others."""
        greatest = {
            weight.name: max(abs(weight.values.minimum), abs(weight.values.maximum))
            for weight in record.weights
            if weight.trainable
        }
        found = [name for name, size in greatest.items() if size > 1e6 or 0 < size < 1e-30]
        if not found:
            return []
        return [
            self.finding(
                "error",
                where=found[0],
                others=tuple(found[1:]),
                measured=f"values up to {figure(greatest[found[0]])} in magnitude",
                expected="values that a scheme would give, between 1e-4 and 10 or zero",
                why="It holds what was left in memory, different in every run.",
                remedy="initialise it: ef.init_(model, inputs), or the function of its layer",
            )
        ]


class OffCentreWeights(Rule):
    """A weight's values have a mean.

    Drawn from [0, 1) instead of around zero (`torch.rand` for `torch.randn`), a weight adds up
    whatever its inputs have in common: all units move together, the layer is worth one unit, and
    the common part grows with the fan-in and not with its root.

    Measured: the mean of every weight. Warning where it is more than eight standard errors from
    zero and fan-in × mean² is above the variance, so that the common part outweighs the rest.

    Remedy: distributions with mean zero, `ef.init_(model, inputs)`.
    """

    code = "EF308"
    name = "off-centre-weights"
    level = "warning"
    explains = ("EF102", "EF103", "EF104", "EF105", "EF106", "EF202", "EF301", "EF401")

    def check(self, record: Record) -> list[Finding] | Skipped:
        """One finding: the first weight, and which others."""
        found = [weight for weight in _random(record) if _off_centre(weight)]
        if not found:
            return []
        first = found[0]
        return [
            self.finding(
                "warning",
                where=first.name,
                others=tuple(weight.name for weight in found[1:]),
                measured=f"a mean of {figure(first.values.mean)} beside a standard deviation of "
                f"{figure(math.sqrt(first.values.variance))}",
                expected="a mean of 0",
                why="What inputs have in common is added up over the whole fan-in: all units move "
                "together.",
                remedy="draw around zero: ef.init_(model, inputs), or randn for rand",
            )
        ]


def _off_centre(weight: WeightRecord) -> bool:
    values = weight.values
    if not values.variance > 0:
        return False
    error = math.sqrt(values.variance / values.count)
    return abs(values.mean) > 8 * error and weight.fan_in * values.mean**2 > values.variance


RULES = (ConstantWeights, SymmetricWeights, IdenticalClones, UninitialisedWeights, OffCentreWeights)
