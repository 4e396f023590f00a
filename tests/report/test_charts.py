import json
import math
from dataclasses import replace

import numpy as np
import pytest

from evenflow.report.charts import (
    chart_png,
    chart_spec,
    chart_svg,
    common_extent,
    compared_profile,
    histograms,
    jacobians,
    profile,
    theme,
    training_curves,
    weight_gradients,
)
from evenflow.report.comparison import TrainingCurve

from .networks import measured, statistics
from .reports import deep_report, full_report


def charts_of(report):
    comparison = report.comparison
    charts = {
        "forward": profile(report.record, "forward"),
        "backward": profile(report.record, "backward"),
        "activations": histograms(report.record, "forward"),
        "gradients": histograms(report.record, "backward"),
        "weights": weight_gradients(report.record),
        "jacobians": jacobians(report.record),
    }
    if comparison:
        pair = comparison.before.record, comparison.after.record
        charts |= {
            "compared": compared_profile(*pair, "forward"),
            "loss": training_curves(comparison),
            "accuracy": training_curves(comparison, "accuracy"),
        }
    return charts


def rows_of(chart):
    """The rows that a chart draws, whatever name Altair gives them."""
    spec = chart_spec(chart)
    return spec["datasets"][spec["data"]["name"]]


@pytest.mark.parametrize("report", [full_report, deep_report])
def test_every_chart_follows_the_schema_of_vega_lite(report):
    for chart in charts_of(report()).values():
        assert chart.to_dict(validate=True)["width"] == "container"


@pytest.mark.parametrize("look", ["light", "dark"])
def test_charts_become_pictures_in_either_look(look):
    for name, chart in charts_of(full_report()).items():
        svg = chart_svg(chart, look=look)
        assert svg.startswith("<svg")
        assert theme(look)["axis"]["labelColor"] in svg, name
    assert chart_png(chart, width=300, look=look).startswith(b"\x89PNG")


def test_the_same_record_makes_the_same_picture():
    record = full_report().record
    assert chart_svg(profile(record, "forward")) == chart_svg(profile(record, "forward"))


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_profile_draws_what_was_measured_beside_what_was_predicted(direction):
    record = measured("heuristic")
    rows = {row["depth"]: row for row in rows_of(profile(record, direction))}
    assert len(rows) == len(record.layers)
    for layer in record.layers:
        second = getattr(layer, direction).second_moment
        expected = getattr(layer, f"predicted_{direction}")
        row = rows[layer.depth]
        assert row["measured"] == pytest.approx(second, rel=1e-4)
        if math.isnan(expected):
            assert row["predicted"] is None
        else:
            assert row["predicted"] == pytest.approx(expected, rel=1e-4)


def test_moments_without_a_place_on_the_axis_are_marked_and_said():
    record = measured("heuristic")
    layers = list(record.layers)
    for k, second in ((1, 0.0), (3, math.nan), (5, math.inf)):
        layers[k] = replace(
            layers[k], forward=replace(layers[k].forward, second_moment=second), obstacle="my_op"
        )
    rows = {
        r["depth"]: r for r in rows_of(profile(replace(record, layers=tuple(layers)), "forward"))
    }
    assert [rows[k]["measured"] for k in (1, 3, 5)] == [None] * 3
    assert [rows[k]["said"] for k in (1, 3, 5)] == ["0", "–", "∞"]
    assert rows[1]["foretold"] == "my_op"


def test_the_axis_holds_whole_decades_around_all_values():
    spec = chart_spec(profile(measured("heuristic"), "forward"))
    (scale,) = {
        json.dumps(layer["encoding"]["y"]["scale"])
        for layer in spec["layer"]
        if "scale" in layer["encoding"].get("y", {})
    }
    assert json.loads(scale)["domain"] == [1e-4, 1.0]


def test_without_gradients_there_is_no_picture_of_them():
    record = measured("heuristic")
    forward = replace(
        record,
        layers=tuple(
            replace(layer, backward=None, jacobian_singular_value=math.nan)
            for layer in record.layers
        ),
        weights=tuple(replace(weight, gradient=None) for weight in record.weights),
    )
    charts = profile, histograms
    assert [chart(forward, "backward") for chart in charts] == [None, None]
    assert weight_gradients(forward) is None
    assert jacobians(forward) is None


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_histograms_stand_layer_by_layer_with_their_deviation(direction):
    rows = rows_of(histograms(measured("heuristic"), direction))
    names = [f"layers.{2 * k + (direction == 'forward')}" for k in range(5)]
    assert [row["layer"] for row in rows] == names
    widths = [row["sd"] for row in rows]
    assert widths == sorted(widths, reverse=direction == "forward")
    for row in rows:
        assert max(row["height"]) == 1
        assert row["x"] == sorted(row["x"])
        assert len(row["x"]) == len(row["height"]) <= 50


def test_a_histogram_keeps_its_mass_and_its_mean():
    values = np.random.default_rng(0).normal(3, 0.5, (1000, 50))
    record = measured("glorot")
    layers = tuple(replace(x, forward=statistics(values, cells=200)) for x in record.layers)
    row = rows_of(histograms(replace(record, layers=layers), "forward"))[0]
    x, height = np.array(row["x"]), np.array(row["height"])
    assert np.average(x, weights=height) == pytest.approx(3, abs=0.01)
    assert np.sqrt(np.average((x - 3) ** 2, weights=height)) == pytest.approx(0.5, rel=0.03)


def test_exact_zeros_are_told_in_words_and_do_not_dwarf_the_rest():
    values = np.maximum(np.random.default_rng(0).normal(size=(1000, 50)), 0)
    record = measured("glorot")
    layers = tuple(replace(x, forward=statistics(values)) for x in record.layers)
    row = rows_of(histograms(replace(record, layers=layers), "forward"))[0]
    assert row["zeros"] == "50 % zero"
    assert min(row["height"][1:11]) > 0.5


def test_layers_that_do_not_vary_are_left_out():
    record = measured("glorot")
    flat = replace(record.layers[3].forward, variance=0.0)
    layers = (*record.layers[:3], replace(record.layers[3], forward=flat), *record.layers[4:])
    rows = rows_of(histograms(replace(record, layers=layers), "forward"))
    assert [row["depth"] for row in rows] == [1, 5, 7, 9]


def test_every_depth_lights_up_one_histogram():
    for direction in ("forward", "backward"):
        rows = rows_of(histograms(deep_report().record, direction))
        assert len(rows) == 20
        for depth in range(2, 898):
            assert sum(row["first"] <= depth <= row["last"] for row in rows) == 1


def test_two_versions_share_the_wider_axis():
    before, after = measured("heuristic"), measured("glorot")
    ends = common_extent([before, after], "backward")
    assert ends == common_extent([after], "backward")
    assert ends != common_extent([before], "backward")
    assert repr(ends[1]) in json.dumps(chart_spec(histograms(before, "backward", ends)))


def test_weight_gradients_stand_at_the_depth_of_their_layer():
    record = measured("glorot")
    rows = rows_of(weight_gradients(record))
    assert [row["depth"] for row in rows] == [0, 2, 4, 6, 8, 10]
    for row, weight in zip(rows, record.weights, strict=True):
        assert row["sd"] == pytest.approx(math.sqrt(weight.gradient.variance), rel=1e-4)


def test_long_trainings_are_averaged_and_divergence_breaks_the_line():
    comparison = full_report().comparison
    steps = tuple(range(1, 1001))
    before = TrainingCurve(steps, (1.0, 3.0) * 500)
    after = TrainingCurve(steps, (2.0,) * 900 + (math.nan,) * 100)
    changed = replace(
        comparison,
        before=replace(comparison.before, curve=before),
        after=replace(comparison.after, curve=after),
    )
    rows = rows_of(training_curves(changed))
    assert len(rows) == 400
    assert {row["value"] for row in rows if row["version"] == "before"} == {1.8, 2.2}
    assert [row["value"] for row in rows if row["version"] == "after"][-21:] == [2.0] + [None] * 20
    assert rows[199]["step"] == 1000


def test_a_deep_network_stays_small():
    for chart in charts_of(deep_report()).values():
        assert len(json.dumps(chart_spec(chart))) < 200_000
