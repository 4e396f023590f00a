"""Axes of the study's charts."""

from __future__ import annotations

import pytest

from evenflow.study.charts import curves


def axis(values: list[float], at: str = "y", **given: object) -> dict[str, object]:
    rows = [{"x": n, "y": value, "series": "a"} for n, value in enumerate(values)]
    chart = curves(rows, x="x", y="y", series=["a"], title="t", **given)
    encoding: dict[str, object] = chart.to_dict()["layer"][0]["encoding"][at]
    return encoding


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([1e-4, 2e-3], [1e-4, 2e-4, 5e-4, 1e-3, 2e-3]),
        ([80, 90], [70, 80, 90, 100]),
        ([1e-14, 1], [1e-12, 1e-9, 1e-6, 1e-3, 1]),
    ],
)
def test_a_logarithmic_axis_has_a_few_round_ticks_within_its_ends(values, ticks):
    found = axis(values, log_y=True)
    assert found["axis"]["values"] == pytest.approx(ticks)
    low, high = found["scale"]["domain"]
    assert low < min(values) <= max(values) < high


def test_few_whole_numbers_are_ticks_each():
    assert axis([5, 6, 8], "x")["axis"]["values"] == [0, 1, 2]
    assert "values" not in axis([5.5, 6])["axis"]


def test_an_axis_reaches_over_what_it_must():
    assert axis([0, 0], at_least=(0, 1))["scale"]["domain"] == [0, 1]
    assert axis([0, 7], at_least=(0, 1))["scale"]["domain"] == [0, 7]


def test_no_rows_are_no_chart():
    assert curves([], x="x", y="y", series=[], title="t") is None
