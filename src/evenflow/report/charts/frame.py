"""What all charts share: the axis through depth, the focused layer, axes in powers of ten."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import altair as alt

Row = dict[str, Any]

_POWER = (
    "datum.value < 1e-3 || datum.value > 1e4 "
    "? '1e' + round(log(datum.value) / LN10) : format(datum.value, '~g')"
)
NAME = 64
"""Characters of a layer's name that a tooltip shows."""
MOST_TICKS = 10
NO_FOCUS = -1
"""Value of the parameter ``focus`` while no layer is highlighted."""


def focus() -> alt.Parameter:
    """The depth of the layer that the reader highlights; the page sets it in all charts at once."""
    return alt.param(name="focus", value=NO_FOCUS)


def focus_rule(x: alt.X) -> alt.Chart:
    """A vertical line at the focused depth."""
    rule: alt.Chart = (
        alt.Chart({"values": [{}]})
        .transform_calculate(depth="focus")
        .transform_filter(f"focus > {NO_FOCUS}")
        .mark_rule(style="faint", strokeWidth=1.5)
        .encode(x=x)
    )
    return rule


def depth_axis(rows: Iterable[Row]) -> alt.X:
    """The x-axis of every profile: operations in order of execution, input left, output right."""
    depths = [row["depth"] for row in rows]
    low, high = min(depths), max(depths)
    step = next(
        unit * 10**power
        for power in itertools.count()
        for unit in (1, 2, 5)
        if unit * 10**power >= (high - low) / MOST_TICKS
    )
    return alt.X(
        "depth:Q",
        title="operation, in order of execution",
        scale=alt.Scale(domain=[low, high], nice=False, padding=8),
        axis=alt.Axis(values=list(range(-(-low // step) * step, high + 1, step)), format="d"),
    )


def color(field: str, series: Sequence[str], rows: Sequence[Row]) -> alt.Color:
    """One colour for each of ``series``, wherever it occurs; the legend names those that do."""
    present = [name for name in series if any(row[field] == name for row in rows)]
    return alt.Color(
        f"{field}:N",
        title=None,
        scale=alt.Scale(domain=list(series), range="category"),
        # Two in a row, so that a phone has room.
        legend=alt.Legend(values=present, symbolType="circle", symbolStrokeWidth=0, columns=2)
        if len(present) > 1
        else None,
    )


def log_y(field: str, title: str, values: Iterable[float]) -> alt.Y:
    """A logarithmic y-axis from the power of ten below all values to the one above.

    Grid lines stand at powers of ten alone, at most eight of them.
    """
    powers = [math.log10(value) for value in values]
    low = math.floor(min(powers))
    high = max(math.ceil(max(powers)), low + 1)
    ticks = [10.0**power for power in range(low, high + 1, 1 + (high - low) // 8)]
    return alt.Y(
        f"{field}:Q",
        title=title,
        scale=alt.Scale(type="log", domain=[10.0**low, 10.0**high], nice=False),
        axis=alt.Axis(values=ticks, labelExpr=_POWER),
    )


def on_log_axis(value: float) -> bool:
    """Whether a logarithmic axis has a place for the value."""
    return math.isfinite(value) and value > 0


def compact(value: float) -> float:
    """Five significant digits: enough for a picture, and a fraction of the bytes."""
    return float(f"{value:.5g}")


def framed(
    layers: Sequence[alt.Chart], rows: Sequence[Row], description: str, height: int = 260
) -> alt.LayerChart:
    """Layers over common rows as one chart, at the width of whatever holds it."""
    chart = alt.LayerChart(data={"values": list(rows)}, layer=list(layers))
    return chart.properties(
        width="container",
        height=height,
        description=description,
        autosize=alt.AutoSizeParams(type="fit", contains="padding"),
    )
