from dataclasses import replace
from xml.etree import ElementTree

import pytest

from evenflow.report import to_junit

from .reports import deep_report, full_report, hostile_report, plain_report


def cases_of(report):
    suite = ElementTree.fromstring(to_junit(report)).find("testsuite")
    return suite, {case.get("name"): case for case in suite.iter("testcase")}


@pytest.mark.parametrize("report", [plain_report, full_report, deep_report, hostile_report])
def test_the_counts_agree_with_the_cases(report):
    suite, cases = cases_of(report())
    assert int(suite.get("tests")) == len(cases) == len(report().diagnosis.outcomes)
    assert int(suite.get("failures")) == sum(c.find("failure") is not None for c in cases.values())
    assert int(suite.get("skipped")) == sum(c.find("skipped") is not None for c in cases.values())


def test_a_rule_with_findings_has_failed_with_all_of_them():
    _, cases = cases_of(full_report())
    failure = cases["EF301 wrong-gain"].find("failure")
    assert failure.get("type") == "warning"
    assert failure.get("message").endswith("(and 3 more findings)")
    assert failure.text.count("change: Draw from U(±0.173) instead.") == 4
    assert "source: mlp.py:18" in failure.text


def test_a_rule_that_kept_silent_has_passed_and_a_skipped_one_has_not():
    _, cases = cases_of(full_report())
    assert len(cases["EF102 exploding-forward"]) == 0
    assert cases["EF402 softmax-before-loss"].find("skipped").get("message") == "no loss was given"


def test_the_worst_level_is_the_type_and_further_places_are_named():
    report = full_report()
    outcome = report.diagnosis.outcomes[2]
    findings = (*outcome.findings, replace(outcome.findings[0], level="error", others=("a", "b")))
    diagnosis = replace(report.diagnosis, outcomes=(replace(outcome, findings=findings),))
    _, cases = cases_of(replace(report, diagnosis=diagnosis))
    failure = cases["EF301 wrong-gain"].find("failure")
    assert failure.get("type") == "error"
    assert "also at: a, b" in failure.text
