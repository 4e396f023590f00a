"""Mean singular value of each layer's Jacobian through depth."""

from __future__ import annotations

import math

import altair as alt

from evenflow.record.record import Record
from evenflow.report.charts.frame import NAME, color, compact, depth_axis, focus, focus_rule, framed
from evenflow.report.layers import GROUPS, groups_of, labels, thin
from evenflow.report.words import figure, short

MOST_POINTS = 400


def jacobians(record: Record) -> alt.LayerChart | None:
    """Mean singular value of ∂(a layer's output)/∂(the output before it), with a line at 1.

    Near 1 a layer passes gradients on as they come. None where no Jacobian was measured.
    """
    layers = [layer for layer in record.layers if math.isfinite(layer.jacobian_singular_value)]
    if not layers:
        return None
    names, groups = labels(layers), groups_of(record)
    rows = [
        {
            "depth": layer.depth,
            "layer": short(names[layer.node], NAME),
            "operation": short(layer.op),
            "kind": groups[layer.node],
            "value": compact(layer.jacobian_singular_value),
            "said": figure(layer.jacobian_singular_value),
        }
        for layer in thin(layers, MOST_POINTS)
    ]
    x = depth_axis(rows)
    top = max(1.2, 1.1 * max(layer.jacobian_singular_value for layer in layers))
    scale = alt.Scale(domain=[0, top], nice=False)
    y = alt.Y("value:Q", title="mean singular value", scale=scale, axis=alt.Axis(tickCount=5))
    drawn = alt.Chart().encode(x, y, color("kind", GROUPS, rows))
    tooltip = [
        alt.Tooltip("layer:N", title="layer"),
        alt.Tooltip("operation:N", title="operation"),
        alt.Tooltip("said:N", title="mean singular value"),
    ]
    level = alt.Chart({"values": [{}]}).mark_rule(style="faint", strokeDash=[2, 3])
    return framed(
        [
            level.encode(alt.YDatum(1, scale=scale)),
            focus_rule(x),
            drawn.mark_line(),
            drawn.mark_point(size=60).encode(tooltip=tooltip),
        ],
        rows,
        "Mean singular value of each layer's Jacobian through depth",
        height=220,
    ).add_params(focus())
