import json
import math
from dataclasses import replace

from evenflow.report import to_json
from evenflow.report.structured import as_json

from .reports import HOSTILE, deep_report, full_report, hostile_report


def strictly(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_the_document_holds_what_was_measured_and_found():
    report = full_report()
    document = strictly(to_json(report))
    assert (document["schema"], document["schema_version"]) == ("evenflow-report", 1)
    assert document["verdict"]["level"] == "error"
    assert [finding["code"] for finding in document["findings"]] == ["EF101"] + ["EF301"] * 4
    assert document["rules"][3]["skipped"] == "no loss was given"
    layer = document["record"]["layers"][3]
    assert layer["forward"]["second_moment"] == report.record.layers[3].forward.second_moment
    assert layer["forward"]["histogram"]["counts"] == list(
        report.record.layers[3].forward.histogram.counts
    )
    assert document["plan"][0] == report.plan[0]._asdict()
    assert document["comparison"]["after"]["curve"]["losses"] == list(
        report.comparison.after.curve.losses
    )


def test_what_is_not_a_number_is_null():
    report = full_report()
    first = replace(report.record.layers[0], saturated_share=math.nan, predicted_forward=math.inf)
    record = replace(report.record, layers=(first,))
    layer = strictly(to_json(replace(report, record=record)))["record"]["layers"][0]
    assert layer["saturated_share"] is None
    assert layer["predicted_forward"] is None
    assert strictly(as_json({"x": [-math.inf, (1.5, math.nan)]})) == {"x": [None, [1.5, None]]}


def test_hostile_names_survive_the_round_trip_in_ascii():
    text = to_json(hostile_report())
    assert text.isascii()
    assert strictly(text)["findings"][0]["where"] == HOSTILE


def test_a_deep_network_is_told_in_full():
    document = strictly(to_json(deep_report()))
    assert len(document["record"]["layers"]) == 900
    assert len(document["findings"]) == 300
