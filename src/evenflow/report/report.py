"""The Report: the one input of every renderer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from evenflow.diagnose.finding import Diagnosis
from evenflow.record.record import Record
from evenflow.report.comparison import Comparison


class PlanRow(NamedTuple):
    """What a plan does to one parameter, in words."""

    name: str
    distribution: str
    why: str


@dataclass(frozen=True)
class Report:
    """Everything that a reader is to be told about one check."""

    title: str
    record: Record
    diagnosis: Diagnosis
    plan: tuple[PlanRow, ...] = ()
    comparison: Comparison | None = None
    command: str = ""
    """The command that makes this report again."""
    versions: dict[str, str] = field(default_factory=dict)
