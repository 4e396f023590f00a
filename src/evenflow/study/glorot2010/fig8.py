"""Figure 8: weight gradients at initialisation, tanh, standard and normalized."""

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
        name="fig8",
        title="Figure 8: weight gradients at initialisation",
        shows="Gradients of the weights are about equally wide in all layers under either "
        "initialisation: what the signal loses going up, the back-propagated gradient loses "
        "going down.",
        pictures=pictures("fig8", "weight_gradient", "∂C/∂W", scale, lookup),
        findings=_findings(scale, lookup),
    )


def _findings(scale: Scale, lookup: Lookup) -> list[Finding]:
    standard, normalized = (seen(name, scale, lookup) for name in PAIR)
    if not standard or not normalized:
        return []
    apart = [
        float((sd.max(1) / sd.min(1)).mean())
        for sd in (deviations(each, "weight_gradient")[:, :-1] for each in (standard, normalized))
    ]
    return [
        Finding(
            "Weight gradients of the hidden layers are about equally wide under both.",
            max(apart) < 1.5,
            f"greatest sd over least: {apart[0]:.2f} standard, {apart[1]:.2f} normalized",
        )
    ]


EXHIBIT = Exhibit("fig8", "weight gradients at initialisation", wants, draw)
