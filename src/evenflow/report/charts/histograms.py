"""Histograms layer by layer, one above the other: Figures 6 and 7 of Glorot and Bengio 2010."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt

from evenflow.record.record import Histogram, LayerRecord, Record, Statistics
from evenflow.report.charts.frame import Row, compact, focus, framed
from evenflow.report.layers import Pass, brief, labels, main_path, statistics, thin
from evenflow.report.words import figure, percent

MOST_ROWS = 20
MOST_CELLS = 48
TAIL = 0.001
"""Share of the elements at either end that the pictures leave out."""
MANY_ZEROS = 0.05

_ROW_HEIGHT = 36
_GUTTER = 116
"""Pixels left of the histograms, for names and numbers."""
_NAME = 18
"""Characters that the gutter holds."""
_PEAK = 1.4
"""Height of a histogram's peak, in rows: neighbours overlap a little."""
_FOCUSED = "focus < 0 || (datum.first <= focus && focus <= datum.last)"


def histograms(
    record: Record, direction: Pass, extent: tuple[float, float] | None = None
) -> alt.LayerChart | None:
    """Activations or back-propagated gradients layer by layer, the first layer on top.

    Every histogram is equally high, so that widths and shapes are compared; its standard
    deviation stands beside it. The parameter ``own`` draws each in standard deviations from its
    mean instead of on the common axis, which ``extent`` sets (by default as wide as the widest
    needs). None where there is nothing to draw.
    """
    layers = _drawn(record, direction)
    if not layers:
        return None
    shown, known = thin(layers, MOST_ROWS), labels(layers)
    _, names = brief([known[layer.node] for layer in shown], _NAME)
    rows = [
        {**row, "layer": name, **span}
        for name, row, span in zip(
            names, _rows(shown, direction), _spans(shown, direction), strict=True
        )
    ]
    return _ridgeline(rows, extent or common_extent([record], direction), direction)


def common_extent(records: Sequence[Record], direction: Pass) -> tuple[float, float]:
    """The range that holds every layer's histogram but for its tails, over all records."""
    ends = [
        _cells(measured)[0]
        for record in records
        for layer in _drawn(record, direction)
        if (measured := statistics(layer, direction)) is not None
    ]
    if not ends:
        return -1.0, 1.0
    return min(low for low, _ in ends), max(high for _, high in ends)


def _drawn(record: Record, direction: Pass) -> tuple[LayerRecord, ...]:
    """Layers of the main path whose histogram has a width."""

    def drawable(layer: LayerRecord) -> bool:
        measured = statistics(layer, direction)
        if measured is None or not measured.variance > 0:
            return False
        width = measured.histogram.high - measured.histogram.low
        return math.isfinite(width) and width > 0 and sum(measured.histogram.counts) > 0

    return tuple(layer for layer in main_path(record, direction) if drawable(layer))


def _rows(layers: Sequence[LayerRecord], direction: Pass) -> list[Row]:
    rows = []
    for number, layer in enumerate(layers):
        measured = statistics(layer, direction)
        assert measured is not None  # _drawn chose by it
        (low, high), heights = _cells(measured)
        step, top = (high - low) / len(heights), max(heights)
        sd, zeros = math.sqrt(measured.variance), measured.zero_share
        rows.append(
            {
                "row": number,
                "depth": layer.depth,
                "mean": compact(measured.mean),
                "sd": compact(sd),
                "said": f"{figure(measured.mean)} ± {figure(sd)}",
                "percentiles": " … ".join(
                    map(figure, (measured.percentile_2, measured.percentile_98))
                ),
                "deviation": f"sd {figure(sd)}",
                "zeros": f"{percent(zeros)} zero" if zeros >= MANY_ZEROS else "",
                "x": [low, *(compact(low + (k + 0.5) * step) for k in range(len(heights))), high],
                "height": [0, *(round(height / top, 3) for height in heights), 0],
            }
        )
    return rows


def _spans(layers: Sequence[LayerRecord], direction: Pass) -> list[Row]:
    """Depths for which each row stands: those up to it forwards, those down to it backwards."""
    depths = [layer.depth for layer in layers]
    if direction == "forward":
        firsts = [0, *(depth + 1 for depth in depths[:-1])]
        return [{"first": a, "last": b} for a, b in zip(firsts, depths, strict=True)]
    lasts = [*(depth - 1 for depth in depths[1:]), 2**31]
    return [{"first": a, "last": b} for a, b in zip(depths, lasts, strict=True)]


def _cells(measured: Statistics) -> tuple[tuple[float, float], list[float]]:
    """The ends and the counts of a histogram without its tails, in at most MOST_CELLS cells.

    Exact zeros, of which a ReLU makes half of its output, would dwarf all else: they are taken
    out of their cell and named in words. An end cell that also holds all that lies beyond it is
    no measure of what lies in it.
    """
    histogram, counts = measured.histogram, list(map(float, measured.histogram.counts))
    zero = _cell_of_zero(histogram)
    if zero is not None and measured.zero_share >= MANY_ZEROS:
        counts[zero] = max(0.0, counts[zero] - measured.zero_share * sum(counts))
    if measured.minimum < histogram.low:
        counts[0] = 0.0
    if measured.maximum > histogram.high:
        counts[-1] = 0.0
    if not any(counts):
        counts = list(map(float, histogram.counts))
    first, last = _bulk(counts)
    width = (histogram.high - histogram.low) / len(counts)
    merged = -(-(last - first) // MOST_CELLS)
    last = first + -(-(last - first) // merged) * merged
    counts += [0.0] * (last - len(counts))
    heights = [sum(counts[k : k + merged]) for k in range(first, last, merged)]
    ends = compact(histogram.low + first * width), compact(histogram.low + last * width)
    return ends, heights


def _bulk(counts: list[float]) -> tuple[int, int]:
    """First cell and the one after the last that are left when the tails are cut."""
    tail = TAIL * sum(counts)
    first, last = 0, len(counts)
    below = above = 0.0
    while last - first > 1 and below + counts[first] <= tail:
        below += counts[first]
        first += 1
    while last - first > 1 and above + counts[last - 1] <= tail:
        last -= 1
        above += counts[last]
    return first, last


def _cell_of_zero(histogram: Histogram) -> int | None:
    width = (histogram.high - histogram.low) / len(histogram.counts)
    if not histogram.low <= 0 <= histogram.high:
        return None
    return min(int(-histogram.low / width), len(histogram.counts) - 1)


def _ridgeline(rows: list[Row], extent: tuple[float, float], direction: Pass) -> alt.LayerChart:
    own = alt.param(name="own", value=False)
    low, high = (repr(end) for end in extent)
    x = alt.X(
        "at:Q",
        title="activation" if direction == "forward" else "gradient ∂C/∂x",
        scale=alt.Scale(
            domain=[alt.expr(f"own ? -4 : {low}"), alt.expr(f"own ? 4 : {high}")],
            nice=False,
            padding=6,
            range=[_GUTTER, alt.expr("width")],
        ),
        axis=alt.Axis(labelExpr="format(datum.value, '~g')", tickCount=5),
    )
    span = alt.Scale(domain=[0.7 - len(rows), _PEAK + 0.05], nice=False)
    y = {field: alt.Y(f"{field}:Q", scale=span, axis=None, title=None) for field in ("base", "top")}
    color = alt.Color("row:Q", scale=alt.Scale(range="ramp"), legend=None)
    base = alt.Chart().transform_calculate(base="-datum.row")
    curves = (
        base.transform_flatten(["x", "height"])
        .transform_calculate(
            at="own ? (datum.x - datum.mean) / datum.sd : datum.x",
            top=f"datum.base + {_PEAK} * datum.height",
        )
        .encode(x=x, detail="row:O", color=color)
    )
    told = [
        alt.Tooltip("layer:N", title="layer"),
        alt.Tooltip("said:N", title="mean ± sd"),
        alt.Tooltip("percentiles:N", title="2nd … 98th percentile"),
    ]
    text = base.encode(x=alt.value(0), y=y["base"])
    lit = alt.when(_FOCUSED)
    layers = [
        base.mark_rule(style="baseline").encode(y=y["base"]),
        curves.mark_area(interpolate="monotone", clip=True).encode(
            y=y["top"],
            y2="base:Q",
            tooltip=told,
            opacity=lit.then(alt.value(0.6)).otherwise(alt.value(0.12)),
        ),
        curves.mark_line(interpolate="monotone", clip=True, strokeWidth=1.2).encode(
            y=y["top"], opacity=lit.then(alt.value(1)).otherwise(alt.value(0.25))
        ),
        text.mark_text(align="left", dx=2, dy=-18).encode(text="layer:N"),
        text.mark_text(align="left", dx=2, dy=-6, style="faint").encode(text="deviation:N"),
        text.mark_text(align="right", dx=-2, dy=-6, style="faint").encode(
            x=alt.value("width"), text="zeros:N"
        ),
    ]
    what = "activations" if direction == "forward" else "gradients"
    return framed(
        layers,
        rows,
        f"Histograms of {what} layer by layer, the first layer on top",
        height=_ROW_HEIGHT * (len(rows) + 1) + 30,
    ).add_params(focus(), own)
