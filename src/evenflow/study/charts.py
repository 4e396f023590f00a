"""Charts of trainings: curves through training time, and histograms with a slider through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import altair as alt

from evenflow.report.charts.frame import Row, framed

_ZOOM = "wheel![event.shiftKey]"
"""Scrolling the page must not zoom the chart that is passed."""
_PEAK = 1.3
"""Height of a histogram's peak, in rows: neighbours overlap a little."""
_ROW_HEIGHT = 42
_GUTTER = 74
"""Pixels left of the histograms, for names and numbers."""
_THOUSANDS = 1000
"""Numbers from here on are said as 1k."""

Look = Literal["ink", "ramp", "hues"]


def curves(
    rows: Sequence[Row],
    *,
    x: str,
    y: str,
    series: Sequence[str],
    title: str,
    look: Look = "hues",
    kinds: Sequence[str] = (),
    log_x: bool = False,
    log_y: bool = False,
    height: int = 300,
) -> alt.LayerChart | None:
    """Curves of ``rows``; drag to move, shift and wheel to zoom. None where there are no rows.

    Args:
        rows: with keys ``x``, ``y`` and ``series``; ``low`` and ``high``, where they have them, are
            the ends of a band, of error bars where the look is ``ink``.
        x: title of the x-axis.
        y: title of the y-axis.
        series: their names, in order.
        title: what the chart shows, for those who cannot see it.
        look: ``ink`` is the paper's own, one colour and a mark for each series; ``ramp`` is for
            layers, ``hues`` for all else.
        kinds: values of the key ``kind``, told by dashes.
        log_x: whether the x-axis is logarithmic.
        log_y: whether the y-axis is.
        height: in pixels.
    """
    if not rows:
        return None
    ink = look == "ink"
    style: dict[str, Any] = {"style": "predicted"} if ink else {}
    across = alt.X("x:Q", title=x, scale=_scale(log_x, nice=False), axis=_axis(rows, "x", log_x))
    up = alt.Y("y:Q", title=y, scale=_scale(log_y), axis=_axis(rows, "y", log_y))
    base = alt.Chart().encode(across)
    told = [
        alt.Tooltip("series:N", title="series"),
        *([alt.Tooltip("kind:N", title="kind")] if kinds else []),
        alt.Tooltip("x:Q", title=x, format="~g"),
        alt.Tooltip("y:Q", title=y, format=".4~g"),
    ]
    names = _told_by(look, series)
    along = alt.Detail("series:N") if ink else names
    line = base.mark_line(strokeWidth=1 if ink else 2, **style).encode(up, along, *_dashes(kinds))
    points = base.mark_point(size=36 if ink else 20, **style).encode(up, names, tooltip=told)
    layers = [line, points]
    if any("low" in row for row in rows):
        ends = base.encode(alt.Y("low:Q", scale=_scale(log_y)), alt.Y2("high:Q"), along)
        bars = ends.mark_rule(opacity=0.45, **style) if ink else ends.mark_area(opacity=0.16)
        layers.insert(0, bars)
    zoom = alt.selection_interval(bind="scales", zoom=_ZOOM, encodings=["x", "y"])
    layers[-1] = layers[-1].add_params(zoom)
    return framed(layers, rows, title, height)


def histograms(
    rows: Sequence[Row], *, x: str, title: str, times: Sequence[str] = ()
) -> alt.LayerChart | None:
    """Histograms layer by layer, the first on top; with ``times``, a slider goes through them.

    Args:
        rows: with keys ``row`` (0 on top), ``layer``, ``said`` (beside the name), ``time`` (an
            index into ``times``), and lists ``at`` and ``height``, peaks at 1.
        x: title of the x-axis.
        title: what the chart shows, for those who cannot see it.
        times: what the slider's places mean; it stands at the last.
    """
    if not rows:
        return None
    count = max(row["row"] for row in rows) + 1
    now = alt.param(
        name="moment",
        value=len(times) - 1 if times else 0,
        bind=alt.binding_range(min=0, max=len(times) - 1, step=1, name="training time ")
        if len(times) > 1
        else alt.Undefined,
    )
    base = (
        alt.Chart().transform_filter("datum.time === moment").transform_calculate(base="-datum.row")
    )
    span = alt.Scale(domain=[0.6 - count, _PEAK + 0.05], nice=False)
    level = alt.Y("base:Q", scale=span, axis=None, title=None)
    shapes = (
        base.transform_flatten(["at", "height"])
        .transform_calculate(top=f"datum.base + {_PEAK} * datum.height")
        .encode(
            alt.X(
                "at:Q",
                title=x,
                scale=alt.Scale(nice=False, range=[_GUTTER, alt.expr("width")]),
                axis=alt.Axis(format="~g", tickCount=5),
            ),
            alt.Y("top:Q", scale=span, axis=None, title=None),
            alt.Color("row:Q", scale=alt.Scale(range="ramp", domain=[0, count - 1]), legend=None),
            alt.Detail("row:O"),
        )
    )
    words = base.encode(level, x=alt.value(2))
    moment = alt.Chart().transform_filter("datum.time === moment").transform_filter("!datum.row")
    layers = [
        shapes.mark_area(opacity=0.55, interpolate="monotone").encode(alt.Y2("base:Q")),
        shapes.mark_line(strokeWidth=1.2, interpolate="monotone"),
        words.mark_text(align="left", dy=-18).encode(text="layer:N"),
        words.mark_text(align="left", dy=-6, style="faint").encode(text="said:N"),
        moment.mark_text(align="right", style="faint").encode(
            x=alt.value("width"), y=alt.value(4), text="when:N"
        ),
    ]
    named = [{**row, "when": times[row["time"]] if times else ""} for row in rows]
    return framed(layers, named, title, _ROW_HEIGHT * (count + 1) + 30).add_params(now)


def _told_by(look: Look, series: Sequence[str]) -> alt.Color | alt.Shape:
    names = list(series)
    legend = alt.Legend(symbolType="circle", symbolStrokeWidth=0, symbolOpacity=1, columns=3)
    if look == "ink":
        return alt.Shape("series:N", title=None, sort=names, legend=alt.Legend(columns=3))
    if look == "ramp":
        color = alt.Scale(range="ramp", domain=names)
        return alt.Color("series:O", title=None, sort=names, scale=color, legend=legend)
    color = alt.Scale(domain=names, range="category")
    return alt.Color("series:N", title=None, scale=color, legend=legend)


def _dashes(kinds: Sequence[str]) -> list[alt.StrokeDash]:
    if not kinds:
        return []
    lines = alt.Scale(domain=list(kinds), range=[[1, 0], [5, 4], [1, 3]][: len(kinds)])
    legend = alt.Legend(symbolType="stroke")
    return [alt.StrokeDash("kind:N", title=None, scale=lines, legend=legend)]


def _scale(log: bool, *, nice: bool = True) -> alt.Scale:
    if log:
        return alt.Scale(type="log", nice=nice)
    return alt.Scale(zero=False, nice=nice)


def _axis(rows: Sequence[Row], field: str, log: bool) -> alt.Axis:
    if log:
        return alt.Axis(tickCount=6, format="~g")
    large = max(abs(row[field]) for row in rows) >= _THOUSANDS
    return alt.Axis(tickCount=6, format="~s" if large else "~f")
