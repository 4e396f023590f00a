"""Training curves of two versions of a network, side by side in one picture."""

from __future__ import annotations

import math
from typing import Literal

import altair as alt

from evenflow.report.charts.frame import Row, color, compact, framed
from evenflow.report.comparison import Comparison, TrainingCurve
from evenflow.report.words import figure

MOST_POINTS = 200

Quantity = Literal["loss", "accuracy"]


def training_curves(comparison: Comparison, quantity: Quantity = "loss") -> alt.LayerChart | None:
    """Loss, or test accuracy, by step, before and after the change.

    Longer trainings are averaged over stretches of steps; a loss without a finite value breaks
    the line. None where neither version has this curve.
    """
    rows = [
        row
        for version, trial in (("before", comparison.before), ("after", comparison.after))
        for row in _rows(trial.curve, version, quantity)
    ]
    if not any(row["value"] is not None for row in rows):
        return None
    accuracy = quantity == "accuracy"
    x = alt.X("step:Q", title="step", axis=alt.Axis(tickCount=6, format="~s"))
    y = alt.Y(
        "value:Q",
        title="test accuracy" if accuracy else "loss",
        scale=alt.Scale(domain=[0, 1]) if accuracy else alt.Scale(zero=False),
        axis=alt.Axis(format=".0%" if accuracy else "~g", tickCount=5),
    )
    drawn = alt.Chart().encode(x, y, color("version", ("before", "after"), rows))
    tooltip = [
        alt.Tooltip("version:N", title="version"),
        alt.Tooltip("step:Q", title="step"),
        alt.Tooltip("said:N", title=quantity),
    ]
    dots = drawn.transform_filter("isValid(datum.value)").mark_point(
        size=44 if accuracy else 30, opacity=1 if accuracy else 0
    )
    return framed(
        [drawn.mark_line(), dots.encode(tooltip=tooltip)],
        rows,
        f"{quantity} by training step before and after the change".capitalize(),
    )


def _rows(curve: TrainingCurve, version: str, quantity: Quantity) -> list[Row]:
    steps, values = (
        (curve.steps, curve.losses)
        if quantity == "loss"
        else (curve.test_steps, curve.test_accuracies)
    )
    stretch = -(-len(steps) // MOST_POINTS) or 1
    rows = []
    for start in range(0, len(steps), stretch):
        mean = sum(values[start : start + stretch]) / len(values[start : start + stretch])
        rows.append(
            {
                "step": steps[min(start + stretch, len(steps)) - 1],
                "value": compact(mean) if math.isfinite(mean) else None,
                "said": figure(mean),
                "version": version,
            }
        )
    return rows
