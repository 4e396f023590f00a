"""Pictures of a Record as Altair charts, for pages, SVG and PNG alike.

Importing this loads Altair, which takes a while: import it where a picture is drawn.
"""

from evenflow.report.charts.curves import training_curves
from evenflow.report.charts.export import chart_png, chart_spec, chart_svg
from evenflow.report.charts.histograms import common_extent, histograms
from evenflow.report.charts.jacobians import jacobians
from evenflow.report.charts.profiles import compared_profile, profile
from evenflow.report.charts.theme import theme
from evenflow.report.charts.weights import weight_gradients

__all__ = [
    "chart_png",
    "chart_spec",
    "chart_svg",
    "common_extent",
    "compared_profile",
    "histograms",
    "jacobians",
    "profile",
    "theme",
    "training_curves",
    "weight_gradients",
]
