"""Figure 4: histograms of activations at the end of learning, tanh and softsign, standard."""

from __future__ import annotations

from collections.abc import Iterator

import altair as alt
import numpy as np

from evenflow.report.pictures import Picture
from evenflow.study.arrays import Arrays
from evenflow.study.charts import curves, histograms
from evenflow.study.glorot2010 import fig3
from evenflow.study.glorot2010.judged import judged
from evenflow.study.glorot2010.looks import layers, moments, shapes
from evenflow.study.glorot2010.models import BY_NAME, first
from evenflow.study.glorot2010.scales import Scale
from evenflow.study.runner import Lookup
from evenflow.study.section import Exhibit, Finding, Section
from evenflow.study.statistics import CELLS
from evenflow.study.trial import Trial


def wants(scale: Scale, lookup: Lookup) -> Iterator[Trial]:
    """The networks of Figure 3."""
    yield from fig3.wants(scale, lookup)


def draw(scale: Scale, lookup: Lookup) -> Section:
    """Histograms at the end, and with a slider through training."""
    found = {n: first(BY_NAME[n], "shapeset", scale, lookup) for n in fig3.SHOWN}
    pictures = []
    for name, result in found.items():
        key = f"fig4-{name.lower()}"
        pictures += [
            Picture(
                f"{key}-paper",
                f"{name}, as in the paper",
                "Normalised histograms of each layer's activations at the end of training.",
                _overlaid(result),
                "The training is not done.",
            ),
            Picture(
                f"{key}-modern",
                f"{name}, through training time",
                "Move the slider: each layer's activations, from the start to the end.",
                _sliding(result),
                "The training is not done.",
            ),
        ]
    return Section(
        name="fig4",
        title="Figure 4: activations at the end of learning",
        shows="Tanh, above: modes at −1 and 1, saturated, and at 0, linear. Softsign, below: mass "
        "around ±0.6 to ±0.8, at the knees, where units are neither.",
        pictures=pictures,
        findings=[_finding(scale, name, result) for name, result in found.items() if result],
        scaled=scale.reduced(),
    )


def _overlaid(result: Arrays | None) -> alt.LayerChart | None:
    if result is None:
        return None
    rows = [
        {"x": at, "y": height, "series": row["layer"]}
        for row in shapes(result, "activation")
        for at, height in zip(row["at"], row["height"], strict=True)
    ]
    return curves(
        rows,
        x="activation",
        y="frequency, peak at 1",
        series=layers(result),
        look="ink",
        title="Histograms of activations at the end of training",
    )


def _sliding(result: Arrays | None) -> alt.LayerChart | None:
    if result is None:
        return None
    places, times = moments(result)
    return histograms(
        shapes(result, "activation", places),
        x="activation",
        title="Histograms of activations through training time",
        times=times,
    )


def _finding(scale: Scale, name: str, result: Arrays) -> Finding:
    counts = result["activation_histogram"][-1].sum(0)
    middles = np.abs(np.linspace(-1, 1, CELLS + 1)[:-1] + 1 / CELLS)
    ends, knees = counts[middles > 0.9].sum(), counts[(middles > 0.6) & (middles < 0.8)].sum()
    tenth = 0.1 * counts.sum()
    said = f"{100 * ends / counts.sum():.1f} % beyond ±0.9, "
    said += f"{100 * knees / counts.sum():.1f} % between 0.6 and 0.8"
    if name == "Tanh":
        return judged(scale, "Tanh units gather at ±1.", bool(ends > max(knees, tenth)), said)
    claim = "Softsign units gather at the knees, not at ±1."
    return judged(scale, claim, bool(knees > max(ends, tenth)), said)


EXHIBIT = Exhibit("fig4", "activations at the end of learning", wants, draw)
