"""Which pictures a page of a training shows, with the words beside them."""

from __future__ import annotations

import altair as alt

from evenflow.record.run import Run
from evenflow.report.charts.frame import color, framed
from evenflow.report.pictures import Picture
from evenflow.report.run.at_a_time import histograms_chart, profile_chart
from evenflow.report.run.through_time import (
    layers_chart,
    loss_chart,
    loss_rows,
    scalars_chart,
    steps_axis,
)

_NO_LOSS = "No loss was given to w.step()."
_NO_GRADIENT = "No gradient was seen."


def run_pictures(run: Run) -> dict[str, list[Picture]]:
    """Pictures by section."""
    return {"course": _course(run), "layers": _layers(run), "moment": _moment(run)}


def _course(run: Run) -> list[Picture]:
    norms = [("norm_before", "before clipping"), ("norm_after", "after")]
    return [
        Picture(
            "loss", "Loss", "The band is its range between two samples.", loss_chart(run), _NO_LOSS
        ),
        Picture(
            "norms",
            "Gradient norm",
            "Of all gradients together, as the optimiser is given them.",
            scalars_chart(run, norms, "norm"),
            _NO_GRADIENT,
        ),
        Picture(
            "rate",
            "Learning rate",
            "Of the optimiser's first group.",
            scalars_chart(run, [("learning_rate", "learning rate")], "learning rate"),
            "No optimiser was given to ef.watch.",
        ),
    ]


def _layers(run: Run) -> list[Picture]:
    return [
        Picture(
            "percentiles",
            "Activations",
            "98th percentile (lines) and mean (dashed) of each layer's outputs, by step: a layer "
            "whose percentile climbs to the bound of its activation saturates.",
            layers_chart(run, "forward", ("percentile_98", "mean"), "activation"),
        ),
        Picture(
            "saturation",
            "Saturated elements",
            "Share of each layer's elements where its activation is flat.",
            layers_chart(run, "forward", ("saturated_share",), "saturated", share=True),
            "No activation of this network saturates.",
        ),
        Picture(
            "backward",
            "Back-propagated gradients",
            "Root mean square of ∂C/∂x for each layer: level lines side by side are healthy.",
            layers_chart(run, "backward", ("second_moment",), "rms of ∂C/∂x", log=True, root=True),
            _NO_GRADIENT,
        ),
        Picture(
            "weight-gradients",
            "Weight gradients",
            "Root mean square of ∂C/∂W for each weight matrix.",
            layers_chart(run, "gradients", ("second_moment",), "rms of ∂C/∂W", log=True, root=True),
            _NO_GRADIENT,
        ),
        Picture(
            "updates",
            "Updates beside weights",
            "‖ΔW‖/‖W‖ of one step: around 1e-3 is common, 1e-1 destroys what was learned.",
            layers_chart(run, "gradients", ("update_ratio",), "‖ΔW‖/‖W‖", log=True),
            "No optimiser was given to ef.watch.",
        ),
        Picture(
            "dead",
            "Dead units",
            "Share of each layer's units whose slope is zero on every example.",
            layers_chart(run, "forward", ("dead_share",), "dead", share=True),
            "No activation of this network can die.",
        ),
    ]


def _is_derived(run: Run) -> bool:
    return any(layer.expected is not None for layer in run.layers)


def _moment(run: Run) -> list[Picture]:
    return [
        Picture(
            "profile-forward",
            "Forwards through depth",
            "Second moments at the chosen step; the pale band is the first sample"
            + (", the dashed line what was derived of it." if _is_derived(run) else "."),
            profile_chart(run, "forward", "E[x²]"),
        ),
        Picture(
            "profile-backward",
            "Backwards through depth",
            "Second moments of ∂C/∂x at the chosen step; the pale band is the first sample.",
            profile_chart(run, "backward", "E[(∂C/∂x)²]"),
            _NO_GRADIENT,
        ),
        Picture(
            "histograms",
            "Activations, layer by layer",
            "Mass at both ends is a saturated layer; a narrow peak a signal that vanishes.",
            histograms_chart(run, "forward"),
        ),
        Picture(
            "gradient-histograms",
            "Back-propagated gradients, layer by layer",
            "They should be equally wide in all layers.",
            histograms_chart(run, "backward"),
            _NO_GRADIENT,
        ),
    ]


def compared_pictures(runs: tuple[Run, Run], titles: tuple[str, str]) -> list[Picture]:
    """Pictures of two runs: the losses in one, the rest side by side."""
    pictures = [Picture("losses", "Loss", "Both runs by step.", _losses(runs, titles), _NO_LOSS)]
    for key, title, caption in (
        ("percentiles", "Activations", "98th percentile (lines) and mean (dashed) of each layer."),
        ("saturation", "Saturated elements", "Share where the activation is flat."),
        ("backward", "Back-propagated gradients", "Root mean square of ∂C/∂x for each layer."),
        ("weight-gradients", "Weight gradients", "Root mean square of ∂C/∂W."),
        ("updates", "Updates beside weights", "‖ΔW‖/‖W‖ of one step."),
    ):
        for side, (run, name) in enumerate(zip(runs, titles, strict=True)):
            (own,) = (picture for picture in _layers(run) if picture.key == key)
            pictures.append(
                Picture(f"{key}-{side}", f"{title}, {name}", caption, own.chart, own.empty)
            )
    return pictures


def _losses(runs: tuple[Run, Run], titles: tuple[str, str]) -> alt.LayerChart | None:
    rows = [row for run, title in zip(runs, titles, strict=True) for row in loss_rows(run, title)]
    if not rows:
        return None
    y = alt.Y("loss:Q", title="loss", scale=alt.Scale(zero=False))
    lines = alt.Chart().encode(steps_axis(), y, color("series", titles, rows))
    tooltip = [
        alt.Tooltip("series:N", title="run"),
        alt.Tooltip("step:Q"),
        alt.Tooltip("said:N", title="loss"),
    ]
    return framed(
        [lines.mark_line(), lines.mark_point(size=30, opacity=0).encode(tooltip=tooltip)],
        rows,
        "Loss of both runs by training step",
    )
