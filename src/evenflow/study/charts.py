"""Charts of trainings: curves through training time, and histograms with a slider through it."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from evenflow.report.charts.frame import Row, framed

_ZOOM = "wheel![event.shiftKey]"
"""Scrolling the page must not zoom the chart that is passed."""


def curves(
    rows: Sequence[Row],
    *,
    x: str,
    y: str,
    series: Sequence[str],
    title: str,
    by: str = "series",
    marks: str = "line",
    kinds: Sequence[str] = (),
    log: bool = False,
    domain: tuple[float, float] | None = None,
    height: int = 300,
) -> alt.LayerChart | None:
    """Curves of ``rows`` with keys x, y and series; drag to move, shift and wheel to zoom.

    Args:
        rows: ``low`` and ``high``, where they have them, are the ends of a band or an error bar.
        x: title of the x-axis.
        y: title of the y-axis.
        series: their names, in order; layers are told by a ramp of colours, others by hue.
        title: what the chart shows, for those who cannot see it.
        by: ``layer`` for a ramp of colours, ``series`` for hues, ``ink`` for the paper's own look.
        marks: ``line``, ``points`` (with bars between low and high) or ``band``.
        kinds: values of the key ``kind``, told by dashes.
        log: whether the y-axis is logarithmic.
        domain: the ends of the y-axis.
        height: in pixels.
    """
    if not rows:
        return None
    base = alt.Chart().encode(
        alt.X("x:Q", title=x, axis=alt.Axis(tickCount=6, format="~s")),
        _look(series, by),
        tooltip=[
            alt.Tooltip("series:N", title="series"),
            alt.Tooltip("x:Q", title=x, format="~g"),
            alt.Tooltip("y:Q", title=y, format=".4~g"),
        ],
    )
    scale = alt.Scale(type="log") if log else alt.Scale(zero=False)
    if domain:
        scale = alt.Scale(type="log" if log else "linear", domain=list(domain), clamp=True)
    height_of = alt.Y("y:Q", title=y, scale=scale, axis=alt.Axis(format="~g", tickCount=6))
    dash = (
        alt.StrokeDash(
            "kind:N",
            title=None,
            sort=list(kinds),
            legend=alt.Legend(symbolType="stroke"),
        )
        if kinds
        else alt.Detail("series:N")
    )
    line = base.mark_line(point=marks == "points").encode(height_of, dash)
    layers = [line]
    if any("low" in row for row in rows):
        ends = base.encode(alt.Y("low:Q"), alt.Y2("high:Q"))
        layers.insert(0, ends.mark_rule() if marks == "points" else ends.mark_area(opacity=0.18))
    zoom = alt.selection_interval(bind="scales", zoom=_ZOOM, encodings=["x", "y"])
    layers[-1] = layers[-1].add_params(zoom)
    return framed(layers, rows, title, height)


def _look(series: Sequence[str], by: str) -> alt.Color | alt.Shape:
    present = list(series)
    legend = alt.Legend(symbolType="circle", symbolStrokeWidth=0, columns=3)
    if by == "ink":
        return alt.Shape("series:N", title=None, sort=present)
    if by == "layer":
        return alt.Color(
            "series:O", title=None, sort=present, scale=alt.Scale(range="ramp"), legend=legend
        )
    return alt.Color(
        "series:N", title=None, scale=alt.Scale(domain=present, range="category"), legend=legend
    )
