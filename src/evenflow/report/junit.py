"""Findings as JUnit XML, which build servers read: each rule is a test case."""

from __future__ import annotations

from xml.etree import ElementTree

from evenflow.diagnose.finding import LEVELS, Finding, RuleOutcome
from evenflow.report.report import Report
from evenflow.report.words import many, printable


def to_junit(report: Report) -> str:
    """One test suite; a rule with findings has failed, one that was skipped is skipped.

    Build servers show a test case's first failure alone, so all findings of a rule are in one.
    """
    outcomes = report.diagnosis.outcomes
    counts = {
        "tests": str(len(outcomes)),
        "failures": str(sum(bool(outcome.findings) for outcome in outcomes)),
        "errors": "0",
        "skipped": str(sum(bool(outcome.skipped) for outcome in outcomes)),
    }
    root = ElementTree.Element("testsuites", {"name": "evenflow", **counts})
    title = printable(report.title)
    suite = ElementTree.SubElement(root, "testsuite", {"name": title, **counts})
    for outcome in outcomes:
        suite.append(_case(outcome, title))
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, "unicode")}\n'


def _case(outcome: RuleOutcome, title: str) -> ElementTree.Element:
    name = printable(f"{outcome.code} {outcome.name}")
    case = ElementTree.Element("testcase", {"classname": title, "name": name, "time": "0"})
    if outcome.skipped:
        ElementTree.SubElement(case, "skipped", {"message": printable(outcome.skipped)})
    elif outcome.findings:
        worst = max((finding.level for finding in outcome.findings), key=LEVELS.index)
        first = outcome.findings[0]
        others = len(outcome.findings) - 1
        message = f"{first.where}: measured {first.measured}, expected {first.expected}"
        if others:
            message += f" (and {many(others, 'more finding')})"
        failure = ElementTree.SubElement(
            case, "failure", {"type": worst, "message": printable(message)}
        )
        failure.text = "\n\n".join(map(_told, outcome.findings))
    return case


def _told(finding: Finding) -> str:
    lines = [
        f"{finding.level}: {finding.where}",
        f"measured: {finding.measured}",
        f"expected: {finding.expected}",
        f"why: {finding.why}",
        f"change: {finding.remedy}",
    ]
    if finding.others:
        lines.append(f"also at: {', '.join(finding.others)}")
    if finding.source:
        lines.append(f"source: {finding.source}")
    return "\n".join(map(printable, lines))
