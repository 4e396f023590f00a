"""``evenflow check --baseline``: store a model's signal profile, or compare with a stored one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evenflow.report.report import Report


def gate(report: Report, path: Path, measured: Callable[[int], Report], seed: int) -> Report:
    """The report with the baseline's verdict; a profile that is not there yet is stored.

    ``measured`` makes the report of another seed: a profile is made of several.
    """
    from evenflow.cli.console import console
    from evenflow.diagnose.baseline import SEEDS, gated, load, profile, save

    if path.exists():
        return replace(report, diagnosis=gated(report.diagnosis, report.record, load(path)))
    records = [report.record, *(measured(seed + k).record for k in range(1, SEEDS))]
    save(profile(records), path)
    console().print(f"Profile stored: {path}", soft_wrap=True)
    return report
