"""Figure 7: back-propagated gradients at initialisation, tanh, standard and normalized."""

from __future__ import annotations

from collections.abc import Iterator

from evenflow.study.glorot2010.scales import Scale
from evenflow.study.glorot2010.start import PAIR, deviations, pictures, seen, starts
from evenflow.study.runner import Lookup
from evenflow.study.section import Exhibit, Finding, Section
from evenflow.study.trial import Trial


def wants(scale: Scale, _lookup: Lookup) -> Iterator[Trial]:
    """The starts of both networks."""
    yield from starts(PAIR, scale)


def draw(scale: Scale, lookup: Lookup) -> Section:
    """Histograms layer by layer, and how much the layers differ."""
    return Section(
        name="fig7",
        title="Figure 7: back-propagated gradients at initialisation",
        shows="Under the standard initialisation gradients shrink on their way down; under the "
        "normalized one they hardly change.",
        pictures=pictures("fig7", "gradient", "∂C/∂s", scale, lookup),
        findings=_findings(scale, lookup),
    )


def _findings(scale: Scale, lookup: Lookup) -> list[Finding]:
    standard, normalized = (seen(name, scale, lookup) for name in PAIR)
    if not standard or not normalized:
        return []
    first, second = (deviations(each, "gradient") for each in (standard, normalized))
    shrinks = [float((sd[:, 0] / sd[:, -1]).mean()) for sd in (first, second)]
    return [
        Finding(
            "Gradients shrink going down, far less under the normalized initialisation.",
            shrinks[0] < 0.2 < 0.5 < shrinks[1],
            f"sd of the first layer over the top: {shrinks[0]:.3f} standard, "
            f"{shrinks[1]:.3f} normalized ({len(first)} seeds, width 1000)",
        )
    ]


EXHIBIT = Exhibit("fig7", "back-propagated gradients at initialisation", wants, draw)
