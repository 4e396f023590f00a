"""Findings as SARIF 2.1.0, which code hosts and editors read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from evenflow._version import __version__
from evenflow.diagnose.finding import Finding, RuleOutcome
from evenflow.diagnose.rule import Rule
from evenflow.report.report import Report
from evenflow.report.structured import as_json
from evenflow.report.words import printable

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_SOURCE = re.compile(r"(?P<file>.+?):(?P<line>[1-9]\d*)(?::\d+)?$", re.DOTALL)


def to_sarif(report: Report, rules: Sequence[Rule] | None = None) -> str:
    """One run with a result for each finding; a rule that was skipped is a notification.

    ``rules`` describe themselves in the run's metadata; None takes all rules that evenflow has.
    """
    if rules is None:
        from evenflow.diagnose.registry import rules as known

        rules = known()
    described = {rule.code: rule for rule in rules}
    outcomes = report.diagnosis.outcomes
    codes = {outcome.code: number for number, outcome in enumerate(outcomes)}
    run = {
        "tool": {
            "driver": {
                "name": "evenflow",
                "version": __version__,
                "rules": [_rule(outcome, described.get(outcome.code)) for outcome in outcomes],
            }
        },
        "invocations": [
            {
                "executionSuccessful": True,
                **({"commandLine": report.command} if report.command else {}),
                "toolExecutionNotifications": [
                    _notification(outcome) for outcome in outcomes if outcome.skipped
                ],
            }
        ],
        "results": [_result(finding, codes[finding.code]) for finding in report.diagnosis.findings],
        "columnKind": "unicodeCodePoints",
    }
    return as_json({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _rule(outcome: RuleOutcome, rule: Rule | None) -> dict[str, Any]:
    described: dict[str, Any] = {"id": outcome.code, "name": printable(outcome.name)}
    if rule is not None:
        described |= {
            "shortDescription": {"text": rule.summary},
            "fullDescription": {"text": rule.explanation},
            "help": {"text": rule.explanation},
            "defaultConfiguration": {"level": rule.level},
        }
    return described


def _result(finding: Finding, number: int) -> dict[str, Any]:
    sentences = (
        f"{finding.where}: measured {finding.measured}, expected {finding.expected}.",
        finding.why,
        f"Change: {finding.remedy}",
    )
    return {
        "ruleId": finding.code,
        "ruleIndex": number,
        "level": finding.level,
        "message": {"text": " ".join(map(printable, sentences))},
        "locations": [_location(finding)],
        # A finding is the same as long as the rule and the place are, whatever the numbers.
        "partialFingerprints": {"place/v1": printable(f"{finding.code} {finding.where}")},
        "properties": {
            "measured": finding.measured,
            "expected": finding.expected,
            "remedy": finding.remedy,
            "others": list(finding.others),
            "follows": finding.follows,
        },
    }


def _location(finding: Finding) -> dict[str, Any]:
    place: dict[str, Any] = {
        "logicalLocations": [{"fullyQualifiedName": printable(finding.where), "kind": "member"}]
    }
    source = _SOURCE.match(finding.source)
    if source:
        path = source["file"].replace("\\", "/")
        place["physicalLocation"] = {
            "artifactLocation": {"uri": quote(path, errors="backslashreplace")},
            "region": {"startLine": int(source["line"])},
        }
    return place


def _notification(outcome: RuleOutcome) -> dict[str, Any]:
    return {
        "level": "note",
        "message": {"text": f"{outcome.code} was skipped: {printable(outcome.skipped)}"},
        "associatedRule": {"id": outcome.code},
    }
