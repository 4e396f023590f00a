"""Charts as files: SVG and PNG from the specification that the page draws in the browser."""

from __future__ import annotations

from typing import Any

import altair as alt
import vl_convert

from evenflow.report.charts.theme import Theme, theme

VEGA_LITE = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])


def chart_spec(chart: alt.LayerChart | alt.Chart) -> dict[str, Any]:
    """The chart as plain JSON values, without any look of its own."""
    # Altair's check of its own schema takes longer than all the rest; the tests run it.
    spec = chart.to_dict(validate=False)
    spec.pop("config", None)
    return spec


def chart_svg(chart: alt.LayerChart | alt.Chart, *, width: int = 640, look: Theme = "light") -> str:
    """The chart as an SVG document, ``width`` pixels wide."""
    return vl_convert.vegalite_to_svg(
        _sized(chart, width), vl_version=VEGA_LITE, config=theme(look)
    )


def chart_png(
    chart: alt.LayerChart | alt.Chart, *, width: int = 640, look: Theme = "light"
) -> bytes:
    """The chart as a PNG image, ``width`` pixels wide at twice the density of a plain screen."""
    return vl_convert.vegalite_to_png(
        _sized(chart, width), vl_version=VEGA_LITE, config=theme(look), scale=2
    )


def _sized(chart: alt.LayerChart | alt.Chart, width: int) -> dict[str, Any]:
    return {**chart_spec(chart), "width": width}
