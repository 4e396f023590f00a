"""Statements about trained networks: not judged where training was too short to say anything."""

from __future__ import annotations

from evenflow.study.glorot2010.scales import EPOCH, SCALES, Scale
from evenflow.study.section import Finding

ENOUGH = 5000
"""Updates below which a statement about training is not judged at all."""


def judged(scale: Scale, claim: str, holds: bool | None, ours: str) -> Finding:
    """The finding; where it differs, with the likely cause."""
    if scale.updates < ENOUGH:
        return Finding(claim, None, f"{ours} (after {scale.updates:,} updates)")
    full = SCALES["paper"].updates
    if holds is False and scale.updates < full:
        ours += (
            f". Likely cause: trained for {scale.updates / EPOCH:g} of the paper's "
            f"{full // EPOCH} epochs"
        )
    return Finding(claim, holds, ours)
