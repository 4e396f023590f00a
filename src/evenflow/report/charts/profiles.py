"""Profiles through depth: second moments, measured against predicted, one pass at a time."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import altair as alt

from evenflow.record.record import LayerRecord, Record
from evenflow.report.charts.frame import (
    NAME,
    Row,
    color,
    compact,
    depth_axis,
    focus,
    focus_rule,
    framed,
    log_y,
    on_log_axis,
)
from evenflow.report.layers import (
    GROUPS,
    Pass,
    groups_of,
    labels,
    main_path,
    prediction,
    statistics,
    thin,
)
from evenflow.report.words import figure, short

MOST_POINTS = 200
"""Of one kind of operation."""
MOST_DOTS = 90
"""Above this number of operations the dots are small."""

_JOINED = f"datum.series != '{GROUPS[-1]}'"
"""Operations of one kind make a line; all sorts of others do not."""
_TITLES: dict[Pass, str] = {
    "forward": "second moment E[x²]",
    "backward": "second moment E[(∂C/∂x)²]",
}
_NAMES: dict[Pass, str] = {"forward": "outputs", "backward": "gradients"}


def profile(record: Record, direction: Pass) -> alt.LayerChart | None:
    """Second moments of all operations' outputs or gradients through depth, by kind of operation.

    None where nothing was measured in this direction. A moment of 0 or without a finite value has
    no place on a logarithmic axis: a cross on the floor marks it.
    """
    groups = groups_of(record)
    rows = []
    for group in GROUPS:
        layers = [layer for layer in record.layers if groups[layer.node] == group]
        rows += _rows(thin(layers, MOST_POINTS), direction, group)
    return _chart(rows, direction, GROUPS, f"{_NAMES[direction]} through depth")


def compared_profile(before: Record, after: Record, direction: Pass) -> alt.LayerChart | None:
    """The main path of two versions of a network in one picture."""
    rows = []
    for version, record in (("before", before), ("after", after)):
        path = thin(main_path(record, direction), MOST_POINTS)
        rows += _rows(path, direction, version)
    return _chart(
        rows, direction, ("before", "after"), f"{_NAMES[direction]} before and after the change"
    )


def _rows(layers: tuple[LayerRecord, ...], direction: Pass, series: str) -> list[Row]:
    names = labels(layers)
    rows = []
    for layer in layers:
        measured = statistics(layer, direction)
        if measured is None:
            continue
        second, expected = measured.second_moment, prediction(layer, direction)
        rows.append(
            {
                "depth": layer.depth,
                "layer": short(names[layer.node], NAME),
                "operation": short(layer.op),
                "series": series,
                "measured": compact(second) if on_log_axis(second) else None,
                "predicted": compact(expected) if on_log_axis(expected) else None,
                "said": figure(second),
                "foretold": figure(expected) if not layer.obstacle else short(layer.obstacle),
            }
        )
    return rows


def _chart(
    rows: list[Row], direction: Pass, series: Sequence[str], what: str
) -> alt.LayerChart | None:
    shown = [row[key] for row in rows for key in ("measured", "predicted") if row[key] is not None]
    if not shown:
        return None
    y = functools.partial(log_y, title=_TITLES[direction], values=shown)
    x = depth_axis(rows)
    base = alt.Chart()
    measured = base.transform_filter("isValid(datum.measured)").encode(
        x, y("measured"), color("series", series, rows)
    )
    lost = base.transform_filter("!isValid(datum.measured)").encode(x=x, y=alt.value("height"))
    layers = [
        _predicted(base.transform_filter(_JOINED).encode(x, y("predicted"))),
        focus_rule(x),
        measured.transform_filter(_JOINED).mark_line(),
        measured.mark_point(size=44 if len(rows) <= MOST_DOTS else 12),
        lost.mark_point(style="lost", shape="cross", angle=45, size=60).encode(tooltip=_tooltip()),
        _hover(measured),
    ]
    return framed(
        layers if any(row["predicted"] is not None for row in rows) else layers[1:],
        rows,
        f"Second moments of {what}, on a logarithmic axis",
    ).add_params(focus())


def _predicted(base: alt.Chart) -> alt.Chart:
    """A pale band behind the measured line: where the two agree, the line runs inside it."""
    named = alt.StrokeDash(
        "kind:N",
        scale=alt.Scale(domain=["predicted"], range=[[1, 0]]),
        legend=alt.Legend(title=None, symbolType="stroke", symbolStrokeWidth=8, symbolOpacity=0.16),
    )
    valid = base.transform_filter("isValid(datum.predicted)")
    drawn: alt.Chart = (
        valid.transform_calculate(kind="'predicted'")
        .mark_line(style="predicted", strokeWidth=8, opacity=0.16)
        .encode(alt.Detail("series:N"), named)
    )
    return drawn


def _hover(measured: alt.Chart) -> alt.Chart:
    """A halo around the point under the pointer, and its numbers."""
    under = alt.selection_point(
        name="hover", on="pointerover", clear="pointerout", fields=["depth", "series"], empty=False
    )
    halo: alt.Chart = (
        measured.mark_point(size=260)
        .encode(
            opacity=alt.when(under).then(alt.value(0.35)).otherwise(alt.value(0)),
            tooltip=_tooltip(),
        )
        .properties(name="halo")
        .add_params(under)
    )
    return halo


def _tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("layer:N", title="layer"),
        alt.Tooltip("operation:N", title="operation"),
        alt.Tooltip("series:N", title="kind"),
        alt.Tooltip("said:N", title="measured"),
        alt.Tooltip("foretold:N", title="predicted"),
    ]
