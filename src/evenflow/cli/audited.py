"""``evenflow check checkpoint:DIR``: a checkpoint measured by parts, as a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evenflow.report.report import Report

PREFIX = "checkpoint:"


def audited(spec: str, plan_file: Path | None, select: list[str], ignore: list[str]) -> Report:
    """The report on the checkpoint that ``spec`` names."""
    from evenflow.checkpoint.audit import audit
    from evenflow.cli.console import byte_progress
    from evenflow.diagnose import diagnose
    from evenflow.planning.plan import Plan
    from evenflow.report.report import Report

    plan = Plan.load(plan_file) if plan_file is not None else None
    path = Path(spec.removeprefix(PREFIX))
    with byte_progress("measuring") as progress:
        record = audit(path, plan, progress)
    return Report(record.model, record, diagnose(record, select=select, ignore=ignore))
