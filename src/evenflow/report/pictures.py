"""Which pictures a page shows, with the words beside them."""

from __future__ import annotations

from dataclasses import dataclass

import altair as alt

from evenflow.record.record import Record
from evenflow.report.charts import (
    common_extent,
    compared_profile,
    histograms,
    jacobians,
    profile,
    training_curves,
    weight_gradients,
)
from evenflow.report.comparison import Comparison


@dataclass(frozen=True)
class Picture:
    """A chart with its title and caption, and what to say in its place where there is none."""

    key: str
    title: str
    caption: str
    chart: alt.LayerChart | None
    empty: str = "Nothing was measured."

    @property
    def height(self) -> int:
        """Pixels to keep free while the chart is not drawn yet."""
        return 0 if self.chart is None else int(self.chart.height)


def signal_pictures(record: Record) -> list[Picture]:
    """How the signal fares through depth, in both passes."""
    no_gradient = "No gradient flowed: the check ran forwards only."
    return [
        Picture(
            "forward",
            "Forwards",
            "Second moment of every operation's output, read from left to right. Level is healthy.",
            profile(record, "forward"),
        ),
        Picture(
            "backward",
            "Backwards",
            "Second moment of the loss's gradient with respect to it, read from right to left.",
            profile(record, "backward"),
            no_gradient,
        ),
        Picture(
            "activations",
            "Activations, layer by layer",
            "A peak that narrows with depth is a signal that vanishes; mass at the ends, a "
            "saturated layer.",
            histograms(record, "forward"),
            "No layer's output varies.",
        ),
        Picture(
            "gradients",
            "Back-propagated gradients, layer by layer",
            "Gradients of the loss: they should be equally wide in all layers.",
            histograms(record, "backward"),
            no_gradient,
        ),
        Picture(
            "weight-gradients",
            "Weight gradients",
            "Standard deviation of ∂C/∂W: level layers learn at one pace.",
            weight_gradients(record),
            no_gradient,
        ),
        Picture(
            "jacobians",
            "Layer Jacobians",
            "Mean singular value: near 1, gradients pass as they come.",
            jacobians(record),
            "No Jacobian was measured.",
        ),
    ]


def comparison_pictures(comparison: Comparison) -> list[Picture]:
    """The network before and after a change, in the same pictures."""
    before, after = comparison.before.record, comparison.after.record
    pictures = [
        Picture(
            "training-loss",
            "Training loss",
            "The same steps on the same batches.",
            training_curves(comparison, "loss"),
            "Neither version was trained.",
        ),
        Picture(
            "training-accuracy",
            "Test accuracy",
            "On examples that the training did not see.",
            training_curves(comparison, "accuracy"),
            "No test accuracy was taken.",
        ),
        Picture(
            "compared-forward",
            "Forwards, before and after",
            "Second moments along the main path.",
            compared_profile(before, after, "forward"),
        ),
        Picture(
            "compared-backward",
            "Backwards, before and after",
            "Second moments of gradients along the main path.",
            compared_profile(before, after, "backward"),
        ),
    ]
    forward = common_extent([before, after], "forward")
    backward = common_extent([before, after], "backward")
    for name, record in (("before", before), ("after", after)):
        pictures.append(
            Picture(
                f"activations-{name}",
                f"Activations {name}",
                "Both versions on the same axis.",
                histograms(record, "forward", forward),
            )
        )
    for name, record in (("before", before), ("after", after)):
        pictures.append(
            Picture(
                f"gradients-{name}",
                f"Gradients {name}",
                "Both versions on the same axis.",
                histograms(record, "backward", backward),
            )
        )
    return pictures
