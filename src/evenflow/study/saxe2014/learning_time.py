"""Learning time against depth: it grows for Gaussian starts and stays level for orthogonal ones."""

from __future__ import annotations

import math
from collections.abc import Iterator

from evenflow.report.charts.frame import Row
from evenflow.report.pictures import Picture
from evenflow.study.arrays import Arrays
from evenflow.study.charts import curves
from evenflow.study.networks import Network
from evenflow.study.runner import Lookup
from evenflow.study.saxe2014.scales import Scale
from evenflow.study.section import Exhibit, Finding, Section, Table
from evenflow.study.trial import Trial

STARTS = {"Gaussian": "lecun_normal", "orthogonal": "orthogonal"}
"""The Gaussian is scaled: variance 1/n, which keeps second moments level as well."""
LEARNT = 0.25
"""Quadratic cost at which a network counts as having learnt; a guess of the mean costs 0.45."""


def wants(scale: Scale, _lookup: Lookup) -> Iterator[Trial]:
    """Every depth under both starts at every rate."""
    for depth in scale.depths:
        for rate in scale.rates(depth):
            for scheme in STARTS.values():
                yield _trial(depth, scheme, scale, rate)


def draw(scale: Scale, lookup: Lookup) -> Section:
    """Least learning time over rates, by depth."""
    times = {
        (name, depth): _least(depth, scheme, scale, lookup)
        for name, scheme in STARTS.items()
        for depth in scale.depths
    }
    rows: list[Row] = [
        {"x": depth, "y": time, "series": name}
        for (name, depth), (time, _) in times.items()
        if math.isfinite(time)
    ]
    return Section(
        name="learning_time",
        title="Learning time against depth",
        shows="Deep linear networks on MNIST, best of several learning rates. From scaled Gaussian "
        "weights learning takes longer the deeper the network; from orthogonal ones, whose "
        "singular values are all one at any depth, it does not. The best rate goes as 1/depth.",
        pictures=[
            Picture(
                "learning-time",
                "Updates until learnt",
                f"Updates until the mean cost has fallen to {LEARNT}; what never gets there is "
                "left out.",
                curves(
                    rows,
                    x="layers",
                    y="updates until learnt",
                    series=list(STARTS),
                    title="Learning time against depth",
                ),
                "No network has learnt.",
            )
        ],
        tables=[
            Table(
                ("start", "layers", "updates until learnt", "learning rate"),
                [
                    (name, str(depth), _said(time), f"{rate:g}" if rate else "–")
                    for (name, depth), (time, rate) in times.items()
                ],
                "Least over the learning rates tried.",
            )
        ],
        findings=_findings(scale, {key: time for key, (time, _) in times.items()}),
        scaled=scale.reduced(),
        data={f"{name} {depth}": time for (name, depth), time in times.items() if time[1]},
    )


def _trial(depth: int, scheme: str, scale: Scale, rate: float) -> Trial:
    network = Network(
        hidden=(scale.width,) * (depth - 1), activation="linear", scheme=scheme, cost="quadratic"
    )
    return Trial(
        data="mnist",
        network=network,
        rate=rate,
        updates=scale.updates,
        evaluations=scale.looks,
        observations=2,
        test_images=1000,
    )


def _least(depth: int, scheme: str, scale: Scale, lookup: Lookup) -> tuple[float, float]:
    """Least learning time and its rate; infinite and 0 where none learnt."""
    least = math.inf, 0.0
    for rate in scale.rates(depth):
        result = lookup(_trial(depth, scheme, scale, rate))
        if result is not None:
            least = min(least, (_time(result), rate))
    return least if math.isfinite(least[0]) else (math.inf, 0.0)


def _time(result: Arrays) -> float:
    """Updates until the cost, a mean since the look before, is first low enough."""
    for at, cost in zip(result["evaluated_at"][1:], result["training_cost"][1:], strict=True):
        if cost <= LEARNT:
            return float(at)
    return math.inf


def _said(time: float) -> str:
    return f"{time:,.0f}" if math.isfinite(time) else "not learnt"


def _findings(scale: Scale, times: dict[tuple[str, int], float]) -> list[Finding]:
    ends = (scale.depths[0], scale.depths[-1])
    grows = {}
    for name in STARTS:
        first, last = (times[name, depth] for depth in ends)
        if not math.isfinite(first):
            return []
        grows[name] = last / first
    gaussian, orthogonal = (grows[name] for name in STARTS)
    return [
        Finding(
            "Learning time grows with depth from Gaussian starts, hardly from orthogonal ones.",
            gaussian > orthogonal,
            f"from {ends[0]} to {ends[1]} layers ×{gaussian:.1f} Gaussian, ×{orthogonal:.1f} "
            "orthogonal (∞: the deepest did not learn)",
        )
    ]


EXHIBIT = Exhibit("learning_time", "learning time against depth", wants, draw)
