"""Pictures with the training's steps along the x-axis: the loss, and layers as they change."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import altair as alt
import numpy as np

from evenflow.record.run import Run, Series
from evenflow.report.charts.frame import Row, color, compact, framed, log_y, on_log_axis
from evenflow.report.run.choice import Way, drawn, moments, names, readings
from evenflow.report.words import figure, short

_MOST_EVENTS = 20


def steps_axis() -> alt.X:
    """The x-axis of every picture through time."""
    return alt.X(
        "step:Q", title="step", axis=alt.Axis(tickCount=6, format="~s"), scale=alt.Scale(nice=False)
    )


def loss_chart(run: Run) -> alt.LayerChart | None:
    """The loss by step with its range between two samples, and what happened when."""
    rows = loss_rows(run)
    if not rows:
        return None
    x, values = steps_axis(), alt.Y("loss:Q", title="loss", scale=alt.Scale(zero=False))
    base = alt.Chart().encode(x)
    layers = [
        base.mark_area(opacity=0.18)
        .encode(values, y2="high:Q")
        .transform_calculate(loss="datum.low"),
        base.mark_line().encode(values),
        base.mark_point(size=30, opacity=0).encode(
            values, tooltip=[alt.Tooltip("step:Q"), alt.Tooltip("said:N", title="loss")]
        ),
    ]
    told = event_rows(run)
    if told:
        marks = alt.Chart({"values": told}).encode(x)
        tooltip = [alt.Tooltip("step:Q"), alt.Tooltip("what:N", title="event")]
        layers.append(marks.mark_rule(style="lost", strokeDash=[3, 3]).encode(tooltip=tooltip))
        layers.append(
            marks.mark_text(align="left", dx=4, style="faint").encode(
                y=alt.value(6), text="what:N", tooltip=tooltip
            )
        )
    return framed(layers, rows, "Loss by training step, with events")


def loss_rows(run: Run, series: str = "") -> list[Row]:
    """The loss at the moments that are drawn."""
    return [
        {
            "step": int(run.steps[k]),
            "loss": compact(run.loss[k]),
            "low": compact(_or(run.loss_low[k], run.loss[k])),
            "high": compact(_or(run.loss_high[k], run.loss[k])),
            "said": figure(float(run.loss[k])),
            "series": series,
        }
        for k in moments(run, 400)
        if math.isfinite(run.loss[k])
    ]


def _or(value: float, otherwise: float) -> float:
    """A value where it is a finite number, else the other."""
    return value if math.isfinite(value) else otherwise


def event_rows(run: Run) -> list[Row]:
    """Events for the loss curve, the first of each kind at a place."""
    seen: dict[tuple[str, str], Row] = {}
    for event in run.events:
        if event.kind == "end":
            continue
        what = short(f"{event.kind} {event.place}".strip(), 40)
        seen.setdefault((event.kind, event.place), {"step": event.step, "what": what})
    return list(seen.values())[:_MOST_EVENTS]


def layers_chart(
    run: Run,
    way: Way,
    quantities: Sequence[str],
    title: str,
    *,
    log: bool = False,
    root: bool = False,
    share: bool = False,
) -> alt.LayerChart | None:
    """One or two quantities of the layers by step: the first as lines, the second dashed.

    ``root`` draws square roots (of second moments), ``share`` an axis in per cent.
    """
    numbers = drawn(run, way)
    known = names(run, way, numbers)
    rows: list[Row] = []
    for style, quantity in enumerate(quantities):
        values = readings(run, way)[quantity][:, numbers]
        shown = np.sqrt(values, where=values >= 0, out=values) if root else values
        rows += _layer_rows(run, shown, known, style, log=log)
    if not rows:
        return None
    if log:
        y = log_y("value", title, (row["value"] for row in rows))
    else:
        axis = alt.Axis(format=".0%" if share else "~g", tickCount=5)
        scale = alt.Scale(domain=[0, 1]) if share else alt.Scale(zero=False)
        y = alt.Y("value:Q", title=title, axis=axis, scale=scale)
    dash = alt.StrokeDash(
        "style:N", scale=alt.Scale(domain=[0, 1], range=[[1, 0], [4, 3]]), legend=None
    )
    lines = alt.Chart().encode(steps_axis(), y, _shade(known), dash, alt.Detail("layer:N"))
    tooltip = [alt.Tooltip("layer:N"), alt.Tooltip("step:Q"), alt.Tooltip("value:Q", title=title)]
    return framed(
        [
            lines.mark_line(strokeWidth=1.6),
            lines.mark_point(size=30, opacity=0).encode(tooltip=tooltip),
        ],
        rows,
        f"{title} of layers by training step",
        height=280,
    )


def _layer_rows(
    run: Run, values: Series, known: Sequence[str], style: int, *, log: bool
) -> list[Row]:
    """A row for each layer and moment; ``values`` are of shape (samples, layers)."""
    return [
        {
            "step": int(run.steps[k]),
            "value": compact(value),
            "layer": name,
            "depth": depth,
            "style": style,
        }
        for depth, name in enumerate(known)
        for k in moments(run)
        if math.isfinite(value := float(values[k, depth])) and (not log or on_log_axis(value))
    ]


def _shade(known: Sequence[str]) -> alt.Color:
    """Layers by their depth, from dark to light."""
    return alt.Color(
        "depth:Q",
        scale=alt.Scale(range="ramp", domain=[0, max(len(known) - 1, 1)]),
        title=None,
        legend=alt.Legend(
            type="symbol",
            values=list(range(len(known))),
            labelExpr=f"{json.dumps(known)}[datum.value]",
            columns=4,
            symbolType="stroke",
            labelLimit=110,
        ),
    )


def scalars_chart(run: Run, series: Sequence[tuple[str, str]], title: str) -> alt.LayerChart | None:
    """Scalars of the run by step on a logarithmic axis; ``series`` are attributes and names."""
    rows: list[Row] = []
    for attribute, name in series:
        values = getattr(run, attribute)
        rows += [
            {"step": int(run.steps[k]), "value": compact(values[k]), "series": name}
            for k in moments(run)
            if on_log_axis(float(values[k]))
        ]
    if not rows:
        return None
    hues = color("series", [name for _, name in series], rows)
    lines = alt.Chart().encode(
        steps_axis(), log_y("value", title, (r["value"] for r in rows)), hues
    )
    tooltip = [alt.Tooltip("series:N"), alt.Tooltip("step:Q"), alt.Tooltip("value:Q")]
    return framed(
        [lines.mark_line(), lines.mark_point(size=30, opacity=0).encode(tooltip=tooltip)],
        rows,
        f"{title} by training step",
        height=220,
    )
