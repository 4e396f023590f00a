"""Figure 7: back-propagated gradients at initialisation, tanh, standard and normalized."""

from __future__ import annotations

from evenflow.study.glorot2010.start import Deviations, exhibit
from evenflow.study.section import Finding


def _finding(standard: Deviations, normalized: Deviations) -> Finding:
    kept = [float((sd[:, 0] / sd[:, -1]).mean()) for sd in (standard, normalized)]
    return Finding(
        "Gradients shrink going down, far less under the normalized initialisation.",
        kept[0] < 0.2 < 0.5 < kept[1],
        f"sd of the first layer over the top: {kept[0]:.3f} standard, "
        f"{kept[1]:.3f} normalized ({len(standard)} seeds, width 1000)",
    )


EXHIBIT = exhibit(
    "fig7",
    "back-propagated gradients at initialisation",
    quantity="gradient",
    x="∂C/∂s",
    shows="Under the standard initialisation gradients shrink on their way down; under the "
    "normalized one they hardly change.",
    finding=_finding,
)
