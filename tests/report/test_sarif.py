import json
from dataclasses import replace
from types import SimpleNamespace

import jsonschema
import pytest

from evenflow.diagnose.finding import Diagnosis, RuleOutcome
from evenflow.report import to_sarif

from .reports import deep_report, full_report, hostile_report, plain_report

RULES = [
    SimpleNamespace(
        code=code, name=name, level=level, summary=f"{name}.", explanation=f"{name}.\n\nAt length."
    )
    for code, name, level in (
        ("EF101", "vanishing-forward", "error"),
        ("EF102", "exploding-forward", "error"),
        ("EF301", "wrong-gain", "warning"),
        ("EF402", "softmax-before-loss", "warning"),
    )
]


def closed(required, **properties):
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


TEXT = closed(["text"], text={"type": "string", "minLength": 1})
LEVEL = {"enum": ["none", "note", "warning", "error"]}
REFERENCE = closed(["id"], id={"type": "string"})
LOCATION = closed(
    [],
    physicalLocation=closed(
        ["artifactLocation"],
        artifactLocation=closed(
            ["uri"], uri={"type": "string", "pattern": r"^[A-Za-z0-9._~/%!$&'()*+,;=@-]+$"}
        ),
        region=closed(["startLine"], startLine={"type": "integer", "minimum": 1}),
    ),
    logicalLocations={
        "type": "array",
        "items": closed([], fullyQualifiedName={"type": "string"}, kind={"type": "string"}),
    },
)
RULE = closed(
    ["id"],
    id={"type": "string"},
    name={"type": "string"},
    shortDescription=TEXT,
    fullDescription=TEXT,
    help=TEXT,
    defaultConfiguration=closed([], level=LEVEL),
)
RESULT = closed(
    ["message"],
    ruleId={"type": "string"},
    ruleIndex={"type": "integer", "minimum": 0},
    level=LEVEL,
    message=TEXT,
    locations={"type": "array", "items": LOCATION},
    partialFingerprints={"type": "object", "additionalProperties": {"type": "string"}},
    properties={"type": "object"},
)
INVOCATION = closed(
    ["executionSuccessful"],
    executionSuccessful={"type": "boolean"},
    commandLine={"type": "string"},
    toolExecutionNotifications={
        "type": "array",
        "items": closed(["message"], level=LEVEL, message=TEXT, associatedRule=REFERENCE),
    },
)
SCHEMA = closed(
    ["version", "runs"],
    **{
        "$schema": {"type": "string"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": closed(
                ["tool"],
                tool=closed(
                    ["driver"],
                    driver=closed(
                        ["name"],
                        name={"const": "evenflow"},
                        version={"type": "string"},
                        rules={"type": "array", "items": RULE, "uniqueItems": True},
                    ),
                ),
                invocations={"type": "array", "items": INVOCATION},
                results={"type": "array", "items": RESULT},
                columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
            ),
        },
    },
)
"""The part of SARIF 2.1.0 that evenflow writes, with the standard's names, types and duties."""


def run_of(report, rules=RULES):
    document = json.loads(to_sarif(report, rules))
    jsonschema.validate(document, SCHEMA)
    return document["runs"][0]


@pytest.mark.parametrize("report", [plain_report, full_report, deep_report, hostile_report])
def test_every_report_is_valid(report):
    run = run_of(report())
    assert len(run["results"]) == len(report().diagnosis.findings)


def test_a_result_points_to_its_rule_its_layer_and_its_line():
    run = run_of(full_report())
    result = run["results"][1]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "EF301"
    assert result["level"] == "warning"
    place = result["locations"][0]
    assert place["logicalLocations"][0]["fullyQualifiedName"] == "layers.2.weight"
    assert place["physicalLocation"] == {
        "artifactLocation": {"uri": "mlp.py"},
        "region": {"startLine": 12},
    }
    assert "standard deviation 0.0577" in result["message"]["text"]


def test_a_finding_without_a_line_has_no_physical_location():
    place = run_of(deep_report())["results"][0]["locations"][0]
    assert "physicalLocation" not in place


def test_a_windows_path_becomes_a_reference():
    report = full_report()
    outcome = report.diagnosis.outcomes[0]
    finding = replace(outcome.findings[0], source=r"my models\a b.py:7:3")
    changed = replace(report, diagnosis=Diagnosis((replace(outcome, findings=(finding,)),)))
    place = run_of(changed)["results"][0]["locations"][0]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "my%20models/a%20b.py"


def test_rules_explain_themselves_and_skipped_ones_are_notified():
    run = run_of(full_report())
    described = run["tool"]["driver"]["rules"]
    assert described[0]["help"]["text"] == "vanishing-forward.\n\nAt length."
    assert described[2]["defaultConfiguration"] == {"level": "warning"}
    notified = run["invocations"][0]["toolExecutionNotifications"]
    assert [note["associatedRule"]["id"] for note in notified] == ["EF402"]


def test_the_fingerprint_outlives_the_numbers():
    report = full_report()
    outcome = report.diagnosis.outcomes[0]
    moved = replace(outcome.findings[0], measured="second moment 1e-9")
    changed = replace(report, diagnosis=Diagnosis((replace(outcome, findings=(moved,)),)))
    assert (
        run_of(report)["results"][0]["partialFingerprints"]
        == run_of(changed)["results"][0]["partialFingerprints"]
    )


def test_by_default_the_rules_of_evenflow_describe_themselves():
    outcome = RuleOutcome("EF101", "vanishing-forward")
    run = run_of(replace(plain_report(), diagnosis=Diagnosis((outcome,))), rules=None)
    (rule,) = run["tool"]["driver"]["rules"]
    assert rule["help"]["text"].startswith(rule["shortDescription"]["text"])
