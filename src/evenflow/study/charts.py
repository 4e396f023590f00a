"""Charts of trainings: curves through training time, and histograms with a slider through it."""

from __future__ import annotations

import math
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
_BEYOND = 1.15
"""Factor by which a logarithmic axis reaches over its values."""
_STEPS = ((6, (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)), (100, (1, 2, 5)), (math.inf, (1,)))
"""Ticks of a logarithmic axis, in powers of ten, by the greatest ratio of its ends."""
_SHORT = (
    "datum.value < 1e-3 || datum.value > 1e4 "
    "? format(datum.value, '.0e') : format(datum.value, '~g')"
)
_COUNTED = 6
"""Span of whole numbers each of which is a tick: half a layer means nothing."""
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
    at_least: tuple[float, float] | None = None,
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
        at_least: what the y-axis reaches over whatever the rows have.
        height: in pixels.
    """
    if not rows:
        return None
    ink = look == "ink"
    style: dict[str, Any] = {"style": "predicted"} if ink else {}
    scale = _scale(rows, "y", log_y, nice=True, at_least=at_least)
    across = alt.X("x:Q", title=x, scale=_scale(rows, "x", log_x), axis=_axis(rows, "x", log_x))
    up = alt.Y("y:Q", title=y, scale=scale, axis=_axis(rows, "y", log_y))
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
        ends = base.encode(alt.Y("low:Q", scale=scale), alt.Y2("high:Q"), along)
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


def _scale(
    rows: Sequence[Row],
    field: str,
    log: bool,
    *,
    nice: bool = False,
    at_least: tuple[float, float] | None = None,
) -> alt.Scale:
    if log:
        return alt.Scale(type="log", domain=_ends(rows, field), nice=False)
    if at_least is None:
        return alt.Scale(zero=False, nice=nice)
    values = [*at_least, *(row[field] for row in rows)]
    return alt.Scale(domain=[min(values), max(values)], nice=nice)


def _axis(rows: Sequence[Row], field: str, log: bool) -> alt.Axis:
    if log:
        return alt.Axis(values=_log_ticks(*_ends(rows, field)), labelExpr=_SHORT)
    values = [row[field] for row in rows]
    large = max(map(abs, values)) >= _THOUSANDS
    low, high = min(values), max(values)
    whole = all(float(value).is_integer() for value in values) and high - low <= _COUNTED
    places = [*range(round(low), round(high) + 1)] if whole else alt.Undefined
    return alt.Axis(tickCount=6, values=places, format="~s" if large else "~f")


def _ends(rows: Sequence[Row], field: str) -> list[float]:
    """Of a logarithmic axis: a little beyond the values."""
    values = [row[field] for row in rows]
    return [min(values) / _BEYOND, max(values) * _BEYOND]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, eight at most, and more between them where they are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = next(steps for ratio, steps in _STEPS if high / low < ratio)
    powers = range(first, last + 1, 1 + (last - first) // 8)
    ticks = [step * 10.0**power for power in powers for step in steps]
    return [tick for tick in ticks if low <= tick <= high]
