"""Figure 6: activations at initialisation, tanh, standard and normalized."""

from __future__ import annotations

from evenflow.study.glorot2010.start import Deviations, exhibit
from evenflow.study.section import Finding


def _finding(standard: Deviations, normalized: Deviations) -> Finding:
    kept = [float((sd[:, -1] / sd[:, 0]).mean()) for sd in (standard, normalized)]
    return Finding(
        "The signal shrinks from layer to layer, far less under the normalized initialisation.",
        kept[0] < 0.2 < 0.5 < kept[1],
        f"sd of the top layer over the first: {kept[0]:.3f} standard, "
        f"{kept[1]:.3f} normalized ({len(standard)} seeds, width 1000)",
    )


EXHIBIT = exhibit(
    "fig6",
    "activations at initialisation",
    quantity="activation",
    x="activation",
    shows="Under the standard initialisation the peak at zero grows from layer to layer: the "
    "signal shrinks. Under the normalized one it stays about as wide.",
    finding=_finding,
)
