"""Networks as they start: what Figures 6, 7 and 8 and the table of expected values share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import altair as alt
import numpy as np
from numpy.typing import NDArray

from evenflow.report.pictures import Picture
from evenflow.study.arrays import Arrays
from evenflow.study.charts import curves, histograms
from evenflow.study.glorot2010.looks import hidden, layers, shapes
from evenflow.study.glorot2010.models import BY_NAME, Model
from evenflow.study.glorot2010.scales import Scale
from evenflow.study.networks import Network
from evenflow.study.runner import Lookup
from evenflow.study.section import Exhibit, Finding, Section
from evenflow.study.trial import Trial

Deviations = NDArray[np.float64]
"""Standard deviations at the start, (seeds, layers)."""

WIDTH = 1000
"""The paper's, whatever the scale: a start costs little."""
WITH_JACOBIANS = 5
"""Seeds whose Jacobians are decomposed, each at images of its own."""
PAIR = ("Tanh", "Tanh N")


def exhibit(
    name: str,
    subject: str,
    *,
    quantity: str,
    x: str,
    shows: str,
    finding: Callable[[Deviations, Deviations], Finding],
) -> Exhibit:
    """A figure of tanh networks at the start, standard and normalized.

    ``finding`` judges the standard deviations of ``quantity`` under both; ``x`` is its axis.
    """

    def wants(scale: Scale, _lookup: Lookup) -> Iterator[Trial]:
        yield from starts(PAIR, scale)

    def draw(scale: Scale, lookup: Lookup) -> Section:
        both = [[hidden(result) for result in seen(model, scale, lookup)] for model in PAIR]
        standard, normalized = (deviations(results, quantity) for results in both)
        return Section(
            name=name,
            title=f"Figure {name.removeprefix('fig')}: {subject}",
            shows=shows,
            pictures=_pictures(name, quantity, x, both),
            findings=[finding(standard, normalized)] if all(both) else [],
        )

    return Exhibit(name, subject, wants, draw)


def start(model: Model, scale: Scale, seed: int) -> Trial:
    """The network of a model before its first update."""
    return Trial(
        data="shapeset",
        network=Network(
            hidden=(WIDTH,) * model.depth, activation=model.activation, scheme=model.scheme
        ),
        rate=1.0,
        updates=0,
        seed=seed,
        test_images=100,
        jacobians=scale.jacobians if seed < WITH_JACOBIANS else 0,
    )


def starts(names: Sequence[str], scale: Scale) -> Iterator[Trial]:
    """The starts of these models under every seed."""
    for name in names:
        for seed in range(scale.starts):
            yield start(BY_NAME[name], scale, seed)


def seen(name: str, scale: Scale, lookup: Lookup) -> list[Arrays]:
    """What was seen of a model's starts, the first seed first."""
    trials = (start(BY_NAME[name], scale, seed) for seed in range(scale.starts))
    return [result for trial in trials if (result := lookup(trial)) is not None]


def deviations(results: Sequence[Arrays], quantity: str) -> Deviations:
    """Standard deviations of ``quantity`` over 300 images and all units."""
    return np.array([result[f"{quantity}_sd"][0] for result in results], dtype=np.float64)


def _pictures(
    figure: str, quantity: str, x: str, both: Sequence[Sequence[Arrays]]
) -> list[Picture]:
    """Histograms of the first seed, as in the paper and layer by layer."""
    drawn = []
    for results, words in zip(both, ("standard", "normalized"), strict=True):
        key = f"{figure}-{words}"
        drawn += [
            Picture(
                f"{key}-paper",
                f"{words.capitalize()}, as in the paper",
                "Normalised histograms, all layers on one axis.",
                _overlaid(results, quantity, x),
                "The networks have not been looked at.",
            ),
            Picture(
                f"{key}-modern",
                f"{words.capitalize()}, layer by layer",
                "Each peak drawn equally high, the standard deviation beside it.",
                histograms(
                    shapes(results[0], quantity), x=x, title=f"Histograms, {words} initialisation"
                )
                if results
                else None,
                "The networks have not been looked at.",
            ),
        ]
    return drawn


def _overlaid(results: Sequence[Arrays], quantity: str, x: str) -> alt.LayerChart | None:
    if not results:
        return None
    rows = []
    for row in shapes(results[0], quantity):
        width = row["at"][1] - row["at"][0]
        area = sum(row["height"]) * width
        rows += [
            {"x": at, "y": height / area, "series": row["layer"]}
            for at, height in zip(row["at"], row["height"], strict=True)
        ]
    return curves(
        rows,
        x=x,
        y="density",
        series=layers(results[0]),
        look="ink",
        title=f"Histograms of {x} at the start",
    )
