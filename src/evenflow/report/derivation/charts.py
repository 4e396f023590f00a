"""Both profiles of a derivation through depth, each with its interval over draws of the weights."""

from __future__ import annotations

from collections.abc import Callable

import altair as alt

from evenflow.graph.fluctuation import Interval
from evenflow.graph.moments import Moments
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
from evenflow.report.derivation.rows import TensorRow
from evenflow.report.words import figure, short

MOST_POINTS = 400

Of = Callable[[TensorRow], tuple[Moments | None, Interval | None]]


def profiles(rows: list[TensorRow]) -> dict[str, alt.LayerChart]:
    """ "forward" and "backward", where there is anything to show."""
    found = {
        "forward": _profile(rows, lambda r: (r.forward, r.forward_interval), "E[x²] of values"),
        "backward": _profile(
            rows, lambda r: (r.backward, r.backward_interval), "E[δ²] of gradients"
        ),
    }
    return {name: chart for name, chart in found.items() if chart is not None}


def _profile(rows: list[TensorRow], of: Of, title: str) -> alt.LayerChart | None:
    points = _points(rows, of)
    if not points:
        return None
    x = depth_axis(points)
    shown = [point[key] for point in points for key in ("low", "high", "second")]
    base = alt.Chart()
    y = log_y("second", title, shown)
    band = base.mark_area(style="predicted", opacity=0.22).encode(
        x, log_y("low", title, shown), alt.Y2("high:Q")
    )
    tooltip = [
        alt.Tooltip("tensor:N", title="tensor"),
        alt.Tooltip("operation:N", title="operation"),
        alt.Tooltip("layer:N", title="module"),
        alt.Tooltip("said:N", title="second moment"),
        alt.Tooltip("between:N", title="5 to 95 %"),
    ]
    line = base.mark_line().encode(x, y)
    dots = base.mark_point(size=20, filled=True).encode(x, y, tooltip=tooltip, href="link:N")
    return framed(
        [band, focus_rule(x), line, dots],
        points,
        f"{title} through depth, on a logarithmic axis, with 5 to 95 % over draws of the weights",
    ).add_params(focus())


def _points(rows: list[TensorRow], of: Of) -> list[Row]:
    found: list[Row] = []
    for row in rows:
        moments, interval = of(row)
        if moments is None or not on_log_axis(moments.second):
            continue
        low, high = interval or (moments.second, moments.second)
        found.append(
            {
                "depth": row.depth,
                "tensor": short(row.name, NAME),
                "operation": short(row.op),
                "layer": short(row.layer, NAME),
                "second": compact(moments.second),
                "low": compact(max(low, 1e-300)),
                "high": compact(high),
                "said": figure(moments.second),
                "between": f"{figure(low)} to {figure(high)}",
                "link": f"#t{row.depth}",
            }
        )
    if len(found) <= MOST_POINTS:
        return found
    last = len(found) - 1
    return [found[round(place * last / (MOST_POINTS - 1))] for place in range(MOST_POINTS)]
