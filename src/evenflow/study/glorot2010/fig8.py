"""Figure 8: weight gradients at initialisation, tanh, standard and normalized."""

from __future__ import annotations

from evenflow.study.glorot2010.start import Deviations, exhibit
from evenflow.study.section import Finding


def _finding(standard: Deviations, normalized: Deviations) -> Finding:
    apart = [float((sd.max(1) / sd.min(1)).mean()) for sd in (standard, normalized)]
    return Finding(
        "Weight gradients of the hidden layers are about equally wide under both.",
        max(apart) < 1.5,
        f"greatest sd over least: {apart[0]:.2f} standard, {apart[1]:.2f} normalized",
    )


EXHIBIT = exhibit(
    "fig8",
    "weight gradients at initialisation",
    quantity="weight_gradient",
    x="∂C/∂W",
    shows="Gradients of the weights are about equally wide in all layers under either "
    "initialisation: what the signal loses going up, the back-propagated gradient loses going "
    "down.",
    finding=_finding,
)
