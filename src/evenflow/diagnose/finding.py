"""Finding: what a rule found, where, the evidence, and the change to make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["note", "warning", "error"]
LEVELS: tuple[Level, ...] = ("note", "warning", "error")


@dataclass(frozen=True)
class Finding:
    """One verdict about one place."""

    code: str
    """Code of the rule, e.g. "EF101"."""
    name: str
    """Short name of the rule, e.g. "vanishing-forward"."""
    level: Level
    where: str
    """Layer or parameter by its qualified name; "model" for the whole."""
    measured: str
    """The number measured, with its unit in words."""
    expected: str
    """The number expected."""
    why: str
    """What this means for training, in one or two sentences."""
    remedy: str
    """The change to make."""
    source: str = ""
    """File and line of the user's code, where the trace knows it: "model.py:31"."""
    others: tuple[str, ...] = ()
    """Further layers or parameters with the same fault, told once and not one by one."""
    explains: tuple[str, ...] = ()
    """Codes of the findings that follow from this one, should they be there."""
    follows: str = ""
    """Code of the finding that this one follows from; "" for a root cause."""


@dataclass(frozen=True)
class RuleOutcome:
    """What became of one rule: it ran and found so much, or it was skipped, and why."""

    code: str
    name: str
    findings: tuple[Finding, ...] = ()
    skipped: str = ""
    """Why the rule could not be applied; "" if it ran. Skipped is not passed."""


@dataclass(frozen=True)
class Diagnosis:
    """All outcomes over one Record, worst findings first."""

    outcomes: tuple[RuleOutcome, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings: errors first, root causes before what follows, then in rule order."""
        found = [finding for outcome in self.outcomes for finding in outcome.findings]
        return tuple(sorted(found, key=lambda f: (-LEVELS.index(f.level), f.follows != "")))

    def at_or_above(self, level: Level) -> tuple[Finding, ...]:
        """Findings of ``level`` or worse."""
        floor = LEVELS.index(level)
        return tuple(f for f in self.findings if LEVELS.index(f.level) >= floor)
