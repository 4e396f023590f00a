"""Figure 6: activations at initialisation, tanh, standard and normalized."""

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
        name="fig6",
        title="Figure 6: activations at initialisation",
        shows="Under the standard initialisation the peak at zero grows from layer to layer: the "
        "signal shrinks. Under the normalized one it stays about as wide.",
        pictures=pictures("fig6", "activation", "activation", scale, lookup),
        findings=_findings(scale, lookup),
    )


def _findings(scale: Scale, lookup: Lookup) -> list[Finding]:
    standard, normalized = (seen(name, scale, lookup) for name in PAIR)
    if not standard or not normalized:
        return []
    first, second = (deviations(each, "activation") for each in (standard, normalized))
    shrinks = [float((sd[:, -1] / sd[:, 0]).mean()) for sd in (first, second)]
    return [
        Finding(
            "The signal shrinks from layer to layer, far less under the normalized initialisation.",
            shrinks[0] < 0.2 < 0.5 < shrinks[1],
            f"sd of the top layer over the first: {shrinks[0]:.3f} standard, "
            f"{shrinks[1]:.3f} normalized ({len(first)} seeds, width 1000)",
        )
    ]


EXHIBIT = Exhibit("fig6", "activations at initialisation", wants, draw)
