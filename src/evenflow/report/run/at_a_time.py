"""Pictures of one moment of a training, which the page's slider chooses: histograms, profiles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt

from evenflow.record.run import Run
from evenflow.report.charts.frame import Row, compact, framed, log_y, on_log_axis
from evenflow.report.run.choice import Way, drawn, moments, names, readings
from evenflow.report.words import figure, percent

FRAMES = 40
"""Moments that the slider offers."""
_DERIVED = -1
"""Frame of what was derived, which no step has."""
_MOST_LAYERS = 12
_ROW = 36
_GUTTER = 116
_PEAK = 1.4


def frames(run: Run) -> list[int]:
    """Numbers of the samples that the slider offers."""
    return moments(run, FRAMES)


def time() -> alt.Parameter:
    """The moment that is shown, as the number of a frame; the page's slider sets it."""
    return alt.param(name="time", value=0)


def histograms_chart(run: Run, way: Way) -> alt.LayerChart | None:
    """Histograms of layers at one moment, the first layer on top, over one axis for all times."""
    numbers = drawn(run, way, _MOST_LAYERS)
    known, rows = names(run, way, numbers), list[Row]()
    values = readings(run, way)
    lows, highs = values["histogram_low"], values["histogram_high"]
    zero_shares = values["zero_share"]
    for frame, sample in enumerate(frames(run)):
        for row, (tensor, name) in enumerate(zip(numbers, known, strict=True)):
            counts = values.cells[sample, tensor].astype(float)
            low, high = float(lows[sample, tensor]), float(highs[sample, tensor])
            if counts.sum() == 0 or not 0 < high - low < math.inf:
                continue
            zeros = float(zero_shares[sample, tensor])
            rows.append(_row(frame, row, name, counts.tolist(), (low, high), zeros))
    return _ridgeline(rows, len(numbers), way) if rows else None


def _row(
    frame: int, row: int, name: str, counts: list[float], ends: tuple[float, float], zeros: float
) -> Row:
    """Zeros, of which a ReLU makes half of its output, would dwarf all else: they are named."""
    low, high = ends
    width = (high - low) / len(counts)
    if zeros >= 0.05 and low <= 0 <= high:
        cell = min(int(-low / width), len(counts) - 1)
        counts[cell] = max(0.0, counts[cell] - zeros * sum(counts))
    top = max(counts) or 1.0
    return {
        "frame": frame,
        "row": row,
        "layer": name,
        "low": compact(low),
        "width": compact(width),
        "heights": [round(count / top, 2) for count in counts],
        "zeros": f"{percent(zeros)} zero" if zeros >= 0.05 else "",
    }


def _ridgeline(rows: list[Row], layers: int, way: Way) -> alt.LayerChart:
    ends = sorted((row["low"], row["low"] + row["width"] * len(row["heights"])) for row in rows)
    # One odd moment must not flatten all others: the axis holds nine tenths of the histograms.
    low = min(end for end, _ in ends[len(ends) // 10 :])
    high = sorted(end for _, end in ends)[-1 - len(ends) // 10]
    x = alt.X(
        "at:Q",
        title="activation" if way == "forward" else "gradient ∂C/∂x",
        scale=alt.Scale(
            domain=[low, high], nice=False, padding=6, range=[_GUTTER, alt.expr("width")]
        ),
        axis=alt.Axis(labelExpr="format(datum.value, '~g')", tickCount=5),
    )
    span = alt.Scale(domain=[0.7 - layers, _PEAK + 0.05], nice=False)
    base = (
        alt.Chart().transform_filter("datum.frame === time").transform_calculate(base="-datum.row")
    )
    cells = base.transform_flatten(["heights"]).transform_window(
        cell="row_number()", groupby=["row"]
    )
    curves = cells.transform_calculate(
        at="datum.low + (datum.cell - 0.5) * datum.width",
        top=f"datum.base + {_PEAK} * datum.heights",
    ).encode(
        x=x,
        detail="row:O",
        color=alt.Color(
            "row:Q", scale=alt.Scale(range="ramp", domain=[0, max(layers - 1, 1)]), legend=None
        ),
    )
    bottom, top = (alt.Y(f"{f}:Q", scale=span, axis=None, title=None) for f in ("base", "top"))
    text = base.encode(x=alt.value(0), y=bottom)
    return framed(
        [
            base.mark_rule(style="baseline").encode(y=bottom),
            curves.mark_area(interpolate="monotone", clip=True, opacity=0.6).encode(
                y=top, y2="base:Q"
            ),
            curves.mark_line(interpolate="monotone", clip=True, strokeWidth=1.2).encode(y=top),
            text.mark_text(align="left", dx=2, dy=-10).encode(text="layer:N"),
            text.mark_text(align="right", dx=-2, dy=-6, style="faint").encode(
                x=alt.value("width"), text="zeros:N"
            ),
        ],
        rows,
        "Histograms layer by layer at one moment of the training, the first layer on top",
        height=_ROW * (layers + 1) + 30,
    ).add_params(time())


def profile_chart(run: Run, way: Way, title: str) -> alt.LayerChart | None:
    """Second moments through depth at one moment, and at the first sample for comparison."""
    numbers = drawn(run, way, 60)
    known, values = names(run, way, numbers), readings(run, way)["second_moment"]
    rows: list[Row] = [
        {
            "frame": frame,
            "depth": depth,
            "value": compact(value),
            "layer": name,
            "said": figure(value),
        }
        for frame, sample in enumerate(frames(run))
        for depth, (tensor, name) in enumerate(zip(numbers, known, strict=True))
        if on_log_axis(value := float(values[sample, tensor])) and math.isfinite(value)
    ]
    if not rows:
        return None
    rows += _derived(run, numbers, known) if way == "forward" else []
    x = alt.X(
        "depth:Q", title="layer, in order of execution", axis=alt.Axis(format="d", tickMinStep=1)
    )
    base = alt.Chart().encode(x, log_y("value", title, [row["value"] for row in rows]))
    now = base.transform_filter("datum.frame === time")
    tooltip = [alt.Tooltip("layer:N"), alt.Tooltip("said:N", title=title)]
    return framed(
        [
            base.transform_filter("datum.frame === 0").mark_line(
                style="predicted", strokeWidth=6, opacity=0.16
            ),
            base.transform_filter(f"datum.frame === {_DERIVED}").mark_line(
                style="predicted", strokeDash=[5, 4]
            ),
            now.mark_line(),
            now.mark_point(size=44).encode(tooltip=tooltip),
        ],
        rows,
        f"{title} through depth at one moment of the training",
        height=240,
    ).add_params(time())


def _derived(run: Run, numbers: Sequence[int], known: Sequence[str]) -> list[Row]:
    """What was derived of the start, in a frame of its own."""
    found = []
    for depth, (tensor, name) in enumerate(zip(numbers, known, strict=True)):
        value = run.layers[tensor].expected
        if value is not None and on_log_axis(value):
            told = {"value": compact(value), "layer": name, "said": figure(value)}
            found.append({"frame": _DERIVED, "depth": depth, **told})
    return found
