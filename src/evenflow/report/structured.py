"""The whole report as strict JSON, for other programs."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from evenflow._version import __version__
from evenflow.report.report import Report
from evenflow.report.verdict import verdict

SCHEMA = "evenflow-report"
VERSION = 1
"""Version of the schema; it changes when a key changes its meaning or goes away."""


def to_json(report: Report) -> str:
    """The report with all that was measured and found.

    Keys are the field names of ``Report``, ``Record``, ``Finding`` and ``Comparison``. Strict
    JSON has no NaN and no infinity: both are null.
    """
    document = {
        "schema": SCHEMA,
        "schema_version": VERSION,
        "evenflow": __version__,
        "title": report.title,
        "command": report.command,
        "verdict": dataclasses.asdict(verdict(report)),
        "findings": [dataclasses.asdict(finding) for finding in report.diagnosis.findings],
        "rules": [
            {
                "code": rule.code,
                "name": rule.name,
                "findings": len(rule.findings),
                "skipped": rule.skipped,
            }
            for rule in report.diagnosis.outcomes
        ],
        "record": dataclasses.asdict(report.record),
        "plan": [row._asdict() for row in report.plan],
        "comparison": dataclasses.asdict(report.comparison) if report.comparison else None,
        "versions": report.versions,
    }
    return as_json(document)


def as_json(document: Any) -> str:
    """Strict JSON in ASCII, indented: NaN and infinities are null, names escape what they hold."""
    return json.dumps(_strict(document), indent=1, allow_nan=False) + "\n"


def _strict(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return value
