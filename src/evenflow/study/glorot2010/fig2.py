"""Figure 2: means and standard deviations of a sigmoid network's activations during training."""

from __future__ import annotations

from collections.abc import Iterator

import altair as alt
import numpy as np

from evenflow.report.pictures import Picture
from evenflow.report.words import figure
from evenflow.study.arrays import Arrays
from evenflow.study.charts import Look, curves
from evenflow.study.glorot2010.looks import EPOCHS, UPDATES, Time, layers, spread
from evenflow.study.glorot2010.models import SIGMOID_4, training
from evenflow.study.glorot2010.scales import EPOCH, Scale
from evenflow.study.networks import Network
from evenflow.study.runner import Lookup
from evenflow.study.section import Exhibit, Finding, Section, Table
from evenflow.study.trial import Trial

RATE = 0.1
WIDTH = 1000
"""Of the opening, whatever the scale."""
OPENING_SEEDS = 5
OPENING = {0: 0.498, 50: 0.196, 150: 0.126, 600: 0.060}
"""Mean of layer 4 after so many updates at that rate, width 1000, from an independent port."""
LATER = {2: 0.13, 5: 0.06, 75: 0.02, 105: 0.05, 130: 0.07}
"""Mean of layer 4 after so many epochs, read off the paper's picture."""


def _opening(seed: int) -> Trial:
    """The first 600 updates, at the paper's width whatever the scale."""
    network = Network(hidden=(WIDTH,) * SIGMOID_4.depth, activation="sigmoid", scheme="heuristic")
    return Trial(
        data="shapeset",
        network=network,
        rate=RATE,
        updates=600,
        seed=seed,
        evaluations=1,
        observations=12,
        test_images=1000,
    )


def _long(scale: Scale) -> Trial:
    return training(SIGMOID_4, "shapeset", scale, RATE)


def wants(scale: Scale, _lookup: Lookup) -> Iterator[Trial]:
    """The opening at five seeds, and one whole training."""
    yield from map(_opening, range(OPENING_SEEDS))
    yield _long(scale)


def draw(scale: Scale, lookup: Lookup) -> Section:
    """Layer by layer through time, and the opening in numbers."""
    openings = [r for seed in range(OPENING_SEEDS) if (r := lookup(_opening(seed))) is not None]
    whole = lookup(_long(scale))
    first = openings[0] if openings else None
    rows, data = _compared(openings)
    return Section(
        name="fig2",
        title="Figure 2: activations of a sigmoid network during training",
        shows="Four hidden layers of sigmoid units under the standard initialisation on Shapeset: "
        "the top layer saturates towards 0 at once and stays there for tens of epochs, while the "
        "layers below it drift upwards; when it escapes, the first layer saturates.",
        pictures=[
            Picture(
                "fig2-paper",
                "As in the paper",
                "Mean, with one standard deviation to either side, of each hidden layer over 300 "
                "test examples; epochs of 20,000 updates.",
                _chart(whole, EPOCHS, "ink"),
                "The training is not done.",
            ),
            Picture(
                "fig2-modern",
                "The same, with bands",
                "The top layer is the one that falls. Bands are one standard deviation wide.",
                _chart(whole, UPDATES, "ramp"),
                "The training is not done.",
            ),
            Picture(
                "fig2-opening",
                "The first 600 updates, width 1000",
                f"Learning rate {RATE:g}: what the paper's first picture element hides.",
                _chart(first, UPDATES, "ramp"),
                "The training is not done.",
            ),
        ],
        tables=[
            Table(
                ("updates", "expected", "ours", "spread of seeds", "difference"),
                rows,
                f"Mean activation of layer 4 in the opening, {len(openings)} seeds, width 1000.",
            )
        ]
        if rows
        else [],
        findings=_findings(scale, whole),
        scaled=scale.reduced(),
        data=data,
    )


def _chart(result: Arrays | None, time: Time, look: Look) -> alt.LayerChart | None:
    return (
        None
        if result is None
        else curves(
            spread(result, time),
            x=time.title,
            y="activation",
            series=layers(result),
            look=look,
            title="Mean and standard deviation of each layer's activations during training",
        )
    )


def _compared(openings: list[Arrays]) -> tuple[list[tuple[str, ...]], dict[str, object]]:
    """Layer 4's mean in the opening, ours beside what is expected."""
    if not openings:
        return [], {}
    at = openings[0]["observed_at"].tolist()
    rows: list[tuple[str, ...]] = []
    data: dict[str, object] = {}
    for update, expected in OPENING.items():
        ours = np.array([run["activation_mean"][at.index(update), 3] for run in openings])
        mean, sd = float(ours.mean()), float(ours.std(ddof=1)) if len(ours) > 1 else float("nan")
        rows.append(
            (
                f"{update:,}",
                figure(expected),
                figure(mean),
                f"{ours.min():.3f} to {ours.max():.3f}",
                f"{100 * (mean / expected - 1):+.1f} %",
            )
        )
        data[str(update)] = {"expected": expected, "mean": mean, "sd": sd, "seeds": ours.tolist()}
    return rows, {"opening": data}


def _findings(scale: Scale, whole: Arrays | None) -> list[Finding]:
    if whole is None:
        return []
    means = whole["activation_mean"]
    fell = bool(means[-1, 3] < 0.25 and means[-1, 2] > means[0, 2])
    escaped = bool(means[:, 3].min() < 0.5 * means[-1, 3] and means[-1, 3] > 0.05)
    return [
        Finding(
            "The top layer saturates towards 0 early in training, the layer below it rises.",
            fell if scale.updates >= 600 else None,
            f"layer 4 from {means[0, 3]:.3f} to {means[-1, 3]:.3f}, "
            f"layer 3 from {means[0, 2]:.3f} to {means[-1, 2]:.3f}",
        ),
        Finding(
            "After about 100 epochs the top layer escapes from saturation.",
            escaped if scale.updates >= 130 * EPOCH else None,
            f"trained for {scale.updates / EPOCH:g} epochs",
        ),
    ]


EXHIBIT = Exhibit("fig2", "activations of a sigmoid network during training", wants, draw)
