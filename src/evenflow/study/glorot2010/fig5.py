"""Figure 5: the cost over two weights of a small network, cross-entropy against quadratic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import altair as alt
import numpy as np
from numpy.typing import NDArray

from evenflow.report.charts.frame import compact, framed
from evenflow.report.pictures import Picture
from evenflow.study.glorot2010.scales import Scale
from evenflow.study.runner import Lookup
from evenflow.study.section import Exhibit, Finding, Section
from evenflow.study.trial import Trial

COSTS = ("cross-entropy", "quadratic")
UNITS, EXAMPLES, CLASSES = 5, 40, 2
REACH, POINTS = 8.0, 31
"""Both weights go from −REACH to REACH."""
FLAT = 0.05
"""A slope below this share of the steepest counts as a plateau."""
SEEDS = 10

Surface = NDArray[np.float64]


class Small(NamedTuple):
    """A network of two layers, tanh below and softmax on top, with random input and labels."""

    weights: tuple[Surface, Surface]
    images: Surface
    hot: Surface

    @classmethod
    def draw(cls, seed: int) -> Small:
        """One under this seed."""
        rng = np.random.default_rng(seed)
        below = rng.normal(0, UNITS**-0.5, (UNITS, UNITS))
        top = rng.normal(0, UNITS**-0.5, (CLASSES, UNITS))
        hot = np.eye(CLASSES)[rng.integers(0, CLASSES, EXAMPLES)]
        return cls((below, top), rng.normal(size=(EXAMPLES, UNITS)), hot)

    def surface(self, cost: str) -> Surface:
        """The cost as the first weight of either layer varies, (first, second)."""
        axis = np.linspace(-REACH, REACH, POINTS)
        first, top = self.weights[0].copy(), self.weights[1]
        found = np.empty((POINTS, POINTS))
        for i, one in enumerate(axis):
            first[0, 0] = one
            hidden = np.tanh(self.images @ first.T)
            outputs = np.broadcast_to(hidden @ top.T, (POINTS, EXAMPLES, CLASSES)).copy()
            outputs[..., 0] += (axis[:, None] - top[0, 0]) * hidden[:, 0]
            shares = np.exp(outputs - outputs.max(2, keepdims=True))
            shares /= shares.sum(2, keepdims=True)
            if cost == "quadratic":
                found[i] = ((shares - self.hot) ** 2).sum(2).mean(1)
            else:
                found[i] = -np.log((shares * self.hot).sum(2)).mean(1)
        return found


def wants(_scale: Scale, _lookup: Lookup) -> Iterator[Trial]:
    """Nothing is trained."""
    yield from ()


def draw(_scale: Scale, _lookup: Lookup) -> Section:
    """Both surfaces, and how much of each is flat, over networks drawn under many seeds."""
    surfaces = {cost: Small.draw(0).surface(cost) for cost in COSTS}
    flat = {
        cost: [_plateau(Small.draw(seed).surface(cost)) for seed in range(SEEDS)] for cost in COSTS
    }
    pictures = []
    for cost, surface in surfaces.items():
        pictures += [
            Picture(
                f"fig5-{cost}-paper",
                f"{cost.capitalize()}, as in the paper",
                "The cost, seen from aside, over one weight of either layer.",
                _wires(surface, cost),
            ),
            Picture(
                f"fig5-{cost}-modern",
                f"{cost.capitalize()}, from above",
                "Its slope as a share of the steepest: what is pale is a plateau.",
                _heat(surface, cost),
            ),
        ]
    means = {cost: 100 * float(np.mean(shares)) for cost, shares in flat.items()}
    more = sum(q > c for c, q in zip(*(flat[cost] for cost in COSTS), strict=True))
    return Section(
        name="fig5",
        title="Figure 5: cost surfaces of cross-entropy and of the quadratic cost",
        shows="A layer of tanh units and a softmax on top, random inputs and labels. The quadratic "
        "cost of the same outputs has the wider plateaus, where gradient descent hardly moves.",
        pictures=pictures,
        findings=[
            Finding(
                "The quadratic cost has more severe plateaus than the cross-entropy.",
                means["quadratic"] > means["cross-entropy"] and more > SEEDS / 2,
                f"slope below {FLAT:.0%} of the steepest on {means['quadratic']:.0f} % of the "
                f"square, with cross-entropy on {means['cross-entropy']:.0f} % (means of {SEEDS} "
                f"networks; the quadratic cost is flatter in {more} of them)",
            )
        ],
        data={"plateau": flat},
    )


def _slope(surface: Surface) -> Surface:
    down, across = np.gradient(surface)
    slope: Surface = np.hypot(down, across)
    slope /= slope.max()
    return slope


def _plateau(surface: Surface) -> float:
    """Share of the square on which the slope is below ``FLAT`` of the steepest."""
    return float((_slope(surface) < FLAT).mean())


def _wires(surface: Surface, cost: str) -> alt.LayerChart | None:
    """Lines along both weights, in a parallel projection."""
    axis = np.linspace(-1, 1, POINTS)
    height = (surface - surface.min()) / np.ptp(surface)
    every, rows = range(0, POINTS, 2), []
    for line in every:
        for along in every:
            for series, (i, j) in (("a", (line, along)), ("b", (along, line))):
                x = axis[i] * 0.87 - axis[j] * 0.5
                y = -(axis[i] * 0.3 + axis[j] * 0.5) * 0.6 + 1.1 * height[i, j]
                place = {"x": compact(x), "y": compact(y), "order": along}
                rows.append(place | {"line": f"{series}{line}"})
    marks = (
        alt.Chart()
        .mark_line(style="predicted", strokeWidth=0.7)
        .encode(
            alt.X("x:Q", axis=None),
            alt.Y("y:Q", axis=None),
            alt.Detail("line:N"),
            alt.Order("order:Q"),
        )
    )
    return framed([marks], rows, f"Surface of the {cost} cost over two weights", 300)


def _heat(surface: Surface, cost: str) -> alt.LayerChart | None:
    slope, axis = _slope(surface), np.linspace(-REACH, REACH, POINTS)
    half = REACH / (POINTS - 1)
    rows = [
        {
            "x": compact(axis[i] - half),
            "x2": compact(axis[i] + half),
            "y": compact(axis[j] - half),
            "y2": compact(axis[j] + half),
            "slope": round(float(slope[i, j]), 3),
        }
        for i in range(POINTS)
        for j in range(POINTS)
    ]
    marks = (
        alt.Chart()
        .mark_rect()
        .encode(
            alt.X("x:Q", title="weight of the first layer", scale=alt.Scale(nice=False)),
            alt.X2("x2:Q"),
            alt.Y("y:Q", title="weight of the second layer", scale=alt.Scale(nice=False)),
            alt.Y2("y2:Q"),
            alt.Opacity("slope:Q", title="slope", scale=alt.Scale(range=[0.03, 1]), legend=None),
            tooltip=[alt.Tooltip("slope:Q", title="share of the steepest slope")],
        )
    )
    return framed([marks], rows, f"Slope of the {cost} cost over two weights", 300)


EXHIBIT = Exhibit("fig5", "cost surfaces, cross-entropy against quadratic", wants, draw)
