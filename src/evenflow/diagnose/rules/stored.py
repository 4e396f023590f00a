"""Rules on the tensors of a checkpoint: copies, scale, truncation, values that were never set."""

from __future__ import annotations

import math
from abc import abstractmethod

from evenflow.diagnose.finding import Finding, Level
from evenflow.diagnose.rule import Rule, Skipped
from evenflow.diagnose.words import figure, times
from evenflow.record.audit import Audit, Intent, TensorAudit
from evenflow.record.record import Record

_SEVERAL_ERRORS = 6
"""Standard errors that a scale may be off."""
_ROUNDING = 1.01
"""What a value may exceed a limit by: half a unit in the last place of bfloat16 is 0.4 %."""


class _OnTensors(Rule):
    """Looks at the tensors of an Audit one by one."""

    def check(self, record: Record) -> list[Finding] | Skipped:
        """One finding: the first tensor in the checkpoint's order, and which others."""
        assert isinstance(record, Audit)  # diagnose applies these rules to no other
        found = [tensor for tensor in record.stored if self.ails(tensor)]
        if not found:
            return []
        told = self.told(found[0])
        others = tuple(tensor.name for tensor in found[1:])
        return [self.finding(self.grade(found), where=found[0].name, others=others, **told)]

    def grade(self, found: list[TensorAudit]) -> Level:
        """How grave it is."""
        del found
        return self.level

    @abstractmethod
    def ails(self, tensor: TensorAudit) -> bool:
        """Whether the tensor has the fault."""

    @abstractmethod
    def told(self, tensor: TensorAudit) -> dict[str, str]:
        """The words of a finding."""


class DuplicateShards(_OnTensors):
    """Shards of a tensor hold identical values.

    Ranks that draw their own part from generators with one seed draw the same numbers: the rows of
    one shard come back in all others, and a layer of n units sharded W ways has n/W different ones.

    Measured: a hash of every row. Stored whole, the tensor repeats itself after ⌈n/W⌉ rows, or its
    first rows after ⌈n/W⌉ columns, for some W up to 1024; stored in shards, two of them are equal.
    Tensors that hold one value only are left out.

    Error.

    Remedy: values that follow from global indices: `plan.apply_(model, seed)` on the sharded model.
    """

    code = "EF601"
    name = "duplicate-shards"
    level = "error"

    def ails(self, tensor: TensorAudit) -> bool:
        """Whether shards are equal."""
        return tensor.ways > 1 or tensor.equal_shards > 0

    def told(self, tensor: TensorAudit) -> dict[str, str]:
        """How many are."""
        measured = f"{tensor.equal_shards} of its {tensor.shards} shards equal another"
        if tensor.ways:
            along = ("rows", "columns")[tensor.axis]
            measured = f"its {along} repeat {tensor.ways} times"
        return {
            "measured": measured,
            "expected": "no two shards alike",
            "why": "Each rank drew the same numbers: units of different shards compute the same "
            "and stay twins.",
            "remedy": "draw from global indices: plan.apply_(model, seed) on the sharded model",
        }


class ClonedTensors(_OnTensors):
    """Two tensors of a checkpoint hold identical values.

    Layers that were copied after initialisation, or drawn each with the same seed, start equal.
    Tensors that are tied on purpose are equal too, where a checkpoint stores both.

    Measured: a hash of shape, type and every row; tensors that hold one value only are left out.

    Warning.

    Remedy: initialise after copying. For tied tensors none: `--ignore EF602`.
    """

    code = "EF602"
    name = "cloned-tensors"
    level = "warning"

    def ails(self, tensor: TensorAudit) -> bool:
        """Whether it equals an earlier one."""
        return tensor.clone_of != ""

    def told(self, tensor: TensorAudit) -> dict[str, str]:
        """Which one it equals."""
        return {
            "measured": f"the same values as {tensor.clone_of}",
            "expected": "values of its own, unless the two are tied",
            "why": "Layers that start equal compute alike, and experts or heads stay so.",
            "remedy": "initialise after copying, each under a name of its own: plan.apply_",
        }


class OffPlanTruncation(_OnTensors):
    """A tensor's values end elsewhere than the plan says.

    A truncated normal whose cut is given in absolute numbers (`trunc_normal_(std=0.02)` cuts at ±2,
    a hundred σ) is not truncated; one that is cut in bfloat16 or too early has lost its tails.

    Measured: the greatest magnitude over the root of the second moment, whatever the scale.
    Expected: at most the plan's own limit (and 1 % for rounding), at least what the greatest of so
    many draws falls short of in one of 10⁹ tensors.

    Warning.

    Remedy: a cut in units of σ, with σ that after truncation: `plan.apply_(model, seed)`.
    """

    code = "EF603"
    name = "off-plan-truncation"
    level = "warning"
    needs = ("plan",)

    def ails(self, tensor: TensorAudit) -> bool:
        """Whether its greatest value is out of place."""
        if tensor.intent is None or tensor.constant or tensor.nonfinite or tensor.intent.limit == 1:
            return False
        reach = _reach(tensor)
        return not tensor.intent.least / _ROUNDING <= reach <= tensor.intent.limit * _ROUNDING

    def told(self, tensor: TensorAudit) -> dict[str, str]:
        """Where values end, and where they should."""
        intent = _intent(tensor)
        limit = "" if math.isinf(intent.limit) else f" and at most {figure(intent.limit)}"
        return {
            "measured": f"values up to {figure(_reach(tensor))} standard deviations",
            "expected": f"at least {figure(intent.least)}{limit}, for {intent.distribution}",
            "why": "Its tails are not those that were planned, and its standard deviation after "
            "truncation may not be either.",
            "remedy": "cut in units of σ and correct σ for the cut: plan.apply_(model, seed)",
        }


class OffPlanScale(_OnTensors):
    """A tensor's scale is not the plan's.

    Fans taken from a shard, or from a shape read in the wrong order, a σ that was not corrected for
    truncation, a factor for depth that was forgotten: each changes what every later layer sees.

    Measured: √E[w²] beside the plan's. Warning where they differ by more than 2 % and six standard
    errors, √((κ − 1)/4n) of themselves with the kurtosis κ of n values; error from a factor of 2,
    and where a planned constant is not that constant.

    Remedy: `plan.apply_(model, seed)`, which takes fans from the full tensor.
    """

    code = "EF604"
    name = "off-plan-scale"
    level = "error"
    needs = ("plan",)

    def ails(self, tensor: TensorAudit) -> bool:
        """Whether its scale is off."""
        if tensor.intent is None or tensor.nonfinite or not tensor.count:
            return False
        if tensor.intent.second_moment == 0 or tensor.second_moment == 0:
            return tensor.intent.second_moment != tensor.second_moment
        spread = tensor.kurtosis - 1 if tensor.kurtosis > 1 else 0.0
        error = math.sqrt(spread / (4 * tensor.count))
        return abs(_ratio(tensor) - 1) > max(0.02, _SEVERAL_ERRORS * error)

    def grade(self, found: list[TensorAudit]) -> Level:
        """By the worst of them."""
        return "error" if any(not 0.5 < _ratio(tensor) < 2 for tensor in found) else "warning"

    def told(self, tensor: TensorAudit) -> dict[str, str]:
        """Both scales."""
        intent = _intent(tensor)
        said = f"{times(_ratio(tensor))} the plan's" if intent.second_moment else "not zero"
        return {
            "measured": f"a root mean square of {figure(math.sqrt(tensor.second_moment))}, {said}",
            "expected": f"{figure(math.sqrt(intent.second_moment))}, for {intent.distribution}",
            "why": "The signal that passes here is multiplied by the same factor, on its way to "
            "the loss and back.",
            "remedy": "take fans from the full tensor: plan.apply_(model, seed)",
        }


class NeverInitialised(_OnTensors):
    """A tensor, or a part of it, was never written.

    After `to_empty` memory holds what was there before: magnitudes far from any scheme's, or zeros
    where the system hands out fresh pages.

    Measured: the greatest magnitude, and rows that are zero throughout. Error above 1e6, below
    1e-30 without being zero, or with two or more zero rows among others that are not (one may be
    the row of a padding token).

    Remedy: `plan.apply_(model, seed)` on every rank, then `ef.restore_buffers_(model)`.
    """

    code = "EF605"
    name = "never-initialised"
    level = "error"

    def ails(self, tensor: TensorAudit) -> bool:
        """Whether memory was left as it was."""
        odd = tensor.greatest > 1e6 or 0 < tensor.greatest < 1e-30
        return (odd and tensor.nonfinite < tensor.count) or 1 < tensor.zero_rows < tensor.rows

    def told(self, tensor: TensorAudit) -> dict[str, str]:
        """What it holds."""
        measured = f"values up to {figure(tensor.greatest)} in magnitude"
        if 1 < tensor.zero_rows < tensor.rows:
            measured = f"{tensor.zero_rows} of its {tensor.rows} rows are zero throughout"
        return {
            "measured": measured,
            "expected": "values that a scheme would give, in every row",
            "why": "It holds what was left in memory, different in every run.",
            "remedy": "initialise it on every rank: plan.apply_(model, seed), and "
            "ef.restore_buffers_(model) for buffers",
        }


class NonfiniteTensors(_OnTensors):
    """A tensor of a checkpoint holds NaN or infinite values.

    One such value spreads to the whole network in one step.

    Measured: every value. Error.

    Remedy: go back to a checkpoint without them, or initialise the tensor again.
    """

    code = "EF606"
    name = "nonfinite-tensors"
    level = "error"

    def ails(self, tensor: TensorAudit) -> bool:
        """Whether there are any."""
        return tensor.nonfinite > 0

    def told(self, tensor: TensorAudit) -> dict[str, str]:
        """How many."""
        return {
            "measured": f"{tensor.nonfinite:,} of {tensor.count:,} values are NaN or infinite",
            "expected": "finite values",
            "why": "They spread to the loss, and with the next step to every weight.",
            "remedy": "go back to an earlier checkpoint, or initialise the tensor again",
        }


def _intent(tensor: TensorAudit) -> Intent:
    assert tensor.intent is not None
    return tensor.intent


def _reach(tensor: TensorAudit) -> float:
    return tensor.greatest / math.sqrt(tensor.second_moment)


def _ratio(tensor: TensorAudit) -> float:
    """Measured over planned root mean square; infinite where zeros were planned."""
    planned = _intent(tensor).second_moment
    return math.sqrt(tensor.second_moment / planned) if planned else math.inf


RULES = (
    DuplicateShards,
    ClonedTensors,
    OffPlanTruncation,
    OffPlanScale,
    NeverInitialised,
    NonfiniteTensors,
)
