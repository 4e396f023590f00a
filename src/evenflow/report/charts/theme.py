"""Looks of the pictures: one configuration for light pages, one for dark, colour-blind safe.

Charts carry no colours. They name styles ("predicted", "faint" …) and ranges ("category", "ramp"),
and a theme says what these look like, so that one specification serves every page and export.
"""

from __future__ import annotations

from typing import Any, Literal

Theme = Literal["light", "dark"]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def theme(name: Theme) -> dict[str, Any]:
    """The Vega-Lite configuration of a theme."""
    if name == "light":
        return _configuration(
            ink="#1f2328",
            muted="#5b6169",
            grid="#ebe8e3",
            alarm="#b42318",
            # Okabe and Ito's vermilion, blue and green, darkened for white paper.
            category=["#c9540a", "#0a6cab", "#00805f"],
            ramp=["#3f1d6b", "#2b5a8f", "#1f8a86", "#3fae5f", "#b3a21a"],
            background="#ffffff",
        )
    return _configuration(
        ink="#e9e7e3",
        muted="#a6abb3",
        grid="#2b3036",
        alarm="#ff8a75",
        category=["#f2964b", "#5cb3ea", "#3fc79a"],
        ramp=["#a88be0", "#5f9fd8", "#3bb8ae", "#79cf6f", "#e8dc62"],
        background="#1a1d21",
    )


def _configuration(
    *,
    ink: str,
    muted: str,
    grid: str,
    alarm: str,
    category: list[str],
    ramp: list[str],
    background: str,
) -> dict[str, Any]:
    text = {"labelFont": FONT, "titleFont": FONT, "labelColor": muted, "titleColor": muted}
    return {
        "background": background,
        "font": FONT,
        "view": {"stroke": None},
        "mark": {"color": category[1]},
        "axis": {
            **text,
            "labelFontSize": 11,
            "titleFontSize": 11,
            "titleFontWeight": "normal",
            "titlePadding": 8,
            "domain": False,
            "ticks": False,
            "labelPadding": 6,
            "gridColor": grid,
            "labelOverlap": "greedy",
        },
        "axisX": {"grid": False, "domain": True, "domainColor": grid},
        "legend": {
            **text,
            "labelColor": ink,
            "labelFontSize": 11,
            "orient": "top",
            "direction": "horizontal",
            "offset": 6,
            "symbolStrokeWidth": 2,
            "labelLimit": 160,
        },
        "range": {"category": category, "ramp": ramp},
        "point": {"filled": True, "size": 34, "opacity": 1},
        "line": {"strokeJoin": "round", "strokeCap": "round"},
        "text": {"color": ink, "fontSize": 11},
        "style": {
            "predicted": {"color": ink},
            "lost": {"color": alarm},
            "faint": {"color": muted},
            "baseline": {"color": grid},
        },
    }
