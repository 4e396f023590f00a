"""Causes: which finding follows from which.

Every rule knows what a fault of its kind leads to (``Rule.explains``, or the finding's own where
it depends on the numbers). A finding that another explains is marked as following from it, and a
cause is as grave as the worst that follows from it.
"""

from __future__ import annotations

from dataclasses import replace

from evenflow.diagnose.finding import LEVELS, Diagnosis, Finding, Level

_UPSTREAM = "65731428"
"""Families by the first digit of a code, from cause to effect: stored tensors, inputs, a
training's settings, weights, forward, loss, backward, the course of a training. Of several findings
that explain another the first in this order is its cause."""


def attribute(diagnosis: Diagnosis) -> Diagnosis:
    """The same diagnosis with ``follows`` filled in and causes raised to their effects' level."""
    findings = sorted(
        (finding for outcome in diagnosis.outcomes for finding in outcome.findings),
        key=lambda finding: (_UPSTREAM.index(finding.code[2]), finding.code),
    )
    causes: dict[Finding, Finding | None] = {}
    for effect in findings:
        explained = (f for f in findings if effect.code in f.explains)
        causes[effect] = next((f for f in explained if not _leads_to(f, effect, causes)), None)
    levels = {finding: finding.level for finding in findings}
    for effect in findings:
        _raise(levels, causes, effect)

    def told(finding: Finding) -> Finding:
        cause = causes[finding]
        return replace(finding, level=levels[finding], follows=cause.code if cause else "")

    return Diagnosis(
        tuple(replace(o, findings=tuple(map(told, o.findings))) for o in diagnosis.outcomes)
    )


def _leads_to(finding: Finding, effect: Finding, causes: dict[Finding, Finding | None]) -> bool:
    """Whether ``finding`` follows from ``effect``, or is it: each may explain the other."""
    behind: Finding | None = finding
    while behind is not None:
        if behind == effect:
            return True
        behind = causes.get(behind)
    return False


def _raise(
    levels: dict[Finding, Level], causes: dict[Finding, Finding | None], effect: Finding
) -> None:
    """Lift the cause of ``effect``, and that one's cause, to at least the level of ``effect``."""
    cause = causes[effect]
    while cause is not None:
        levels[cause] = max(levels[cause], effect.level, key=LEVELS.index)
        cause = causes[cause]
