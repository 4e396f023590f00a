"""Weight gradients layer by layer: Figures 8 and 9 of Glorot and Bengio 2010, as a profile."""

from __future__ import annotations

import math

import altair as alt

from evenflow.record.record import Record
from evenflow.report.charts.frame import (
    NAME,
    Row,
    compact,
    depth_axis,
    focus,
    focus_rule,
    framed,
    log_y,
    on_log_axis,
)
from evenflow.report.layers import is_weight, thin
from evenflow.report.words import figure, shape, short

MOST_POINTS = 200


def weight_gradients(record: Record) -> alt.LayerChart | None:
    """Standard deviation of each weight's gradient, at the depth of the first operation to read it.

    None where no weight has a gradient.
    """
    rows = _rows(record)
    if not any(row["sd"] is not None for row in rows):
        return None
    x = depth_axis(rows)
    y = log_y("sd", "sd of ∂C/∂W", (row["sd"] for row in rows if row["sd"] is not None))
    tooltip = [
        alt.Tooltip("weight:N", title="weight"),
        alt.Tooltip("shape:N", title="shape"),
        alt.Tooltip("said:N", title="sd of gradient"),
        alt.Tooltip("values:N", title="sd of weight"),
    ]
    base = alt.Chart().encode(x)
    measured = base.transform_filter("isValid(datum.sd)").encode(y)
    lost = base.transform_filter("!isValid(datum.sd)").encode(y=alt.value("height"))
    return framed(
        [
            focus_rule(x),
            measured.mark_line(),
            measured.mark_point(size=60).encode(tooltip=tooltip),
            lost.mark_point(style="lost", shape="cross", angle=45, size=60).encode(tooltip=tooltip),
        ],
        rows,
        "Standard deviation of weight gradients through depth, on a logarithmic axis",
        height=220,
    ).add_params(focus())


def _rows(record: Record) -> list[Row]:
    depths = {layer.node: layer.depth for layer in record.layers}
    rows: list[Row] = []
    for weight in record.weights:
        readers = [depths[node] for node in weight.layers if node in depths]
        if weight.gradient is None or not readers or not is_weight(weight):
            continue
        sd = math.sqrt(weight.gradient.variance) if weight.gradient.variance >= 0 else math.nan
        rows.append(
            {
                "depth": min(readers),
                "weight": short(weight.name, NAME),
                "shape": shape(weight.shape),
                "sd": compact(sd) if on_log_axis(sd) else None,
                "said": figure(sd),
                "values": figure(math.sqrt(max(weight.values.variance, 0.0))),
            }
        )
    return list(thin(sorted(rows, key=lambda row: row["depth"]), MOST_POINTS))
