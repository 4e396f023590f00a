"""Rule: one named check over a Record, and what a Record must hold for it.

Rules over a training stand in ``diagnose.training``.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from evenflow.diagnose.finding import Finding, Level
from evenflow.record.audit import Audit
from evenflow.record.record import Record

Family = Literal[
    "forward",
    "backward",
    "weights",
    "loss",
    "inputs",
    "checkpoint",
    "settings",
    "course",
    "baseline",
]
_FAMILIES: Mapping[str, Family] = {
    "1": "forward",
    "2": "backward",
    "3": "weights",
    "4": "loss",
    "5": "inputs",
    "6": "checkpoint",
    "7": "settings",
    "8": "course",
    "9": "baseline",
}
Need = Literal["path", "gradients", "examples", "activations", "loss", "inputs", "plan"]


@dataclass(frozen=True)
class Skipped:
    """The rule could not be applied to this Record."""

    reason: str


class Explained(ABC):
    """What all rules have in common. The docstring is the explanation that a user is shown.

    The first line says what is wrong in a few words; then follow what it means for training,
    how it is measured, the threshold and where it comes from, and the remedy.
    """

    code: ClassVar[str]
    """EF1xx forwards, EF2xx backwards, EF3xx weights, EF4xx loss, EF5xx inputs, EF6xx tensors of a
    checkpoint; of a training EF7xx what was set for it, EF8xx the course that it took. Never
    reused."""
    name: ClassVar[str]
    level: ClassVar[Level]
    """The gravest level that it gives by itself."""
    explains: ClassVar[tuple[str, ...]] = ()
    """Codes of findings that follow from one of this rule, should both be there."""

    @property
    def family(self) -> Family:
        """What the rule looks at, by the first digit of its code."""
        return _FAMILIES[self.code[2]]

    @property
    def explanation(self) -> str:
        """The docstring, without its indentation."""
        return inspect.getdoc(type(self)) or ""

    @property
    def summary(self) -> str:
        """First line of the explanation."""
        return self.explanation.partition("\n")[0]

    def finding(self, level: Level, where: str, **said: Any) -> Finding:
        """A finding of this rule; ``said`` are the other fields of Finding."""
        return Finding(self.code, self.name, level, where, **{"explains": self.explains, **said})


class Rule(Explained):
    """One check of a Record."""

    needs: ClassVar[tuple[Need, ...]] = ()
    """What the Record must hold; without it the rule is skipped."""

    @abstractmethod
    def check(self, record: Record) -> list[Finding] | Skipped:
        """Look at a Record that holds what the rule ``needs``."""


def missing(needs: tuple[Need, ...], record: Record) -> str:
    """Why the Record does not hold all that a rule needs; "" if it does."""
    for need in needs:
        holds, reason = _NEEDS[need]
        if not holds(record):
            return reason
    return ""


_NEEDS: Mapping[Need, tuple[Callable[[Record], bool], str]] = {
    "path": (
        lambda record: any(layer.inputs for layer in record.layers),
        "the record does not say how the operations are connected",
    ),
    "gradients": (
        lambda record: any(layer.backward is not None for layer in record.layers),
        "no gradient was measured",
    ),
    "examples": (
        lambda record: any(layer.forward.correlation < 1 - 1e-6 for layer in record.layers[:4]),
        "the batch holds fewer than two examples that differ",
    ),
    "activations": (
        lambda record: any(layer.activation for layer in record.layers),
        "the network has no activation that the catalogue knows",
    ),
    "loss": (
        lambda record: record.loss is not None and record.loss.kind not in ("", "custom"),
        "no loss was given whose kind is known",
    ),
    "inputs": (
        lambda record: bool(record.inputs),
        "the model takes no floating-point input",
    ),
    "plan": (
        lambda record: isinstance(record, Audit) and record.planned,
        "no plan was given to compare with",
    ),
}
