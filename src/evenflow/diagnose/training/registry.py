"""All rules of a training."""

from __future__ import annotations

from functools import cache

from evenflow.diagnose.training import finite, loss, units
from evenflow.diagnose.training.rule import TrainingRule


@cache
def training_rules() -> tuple[TrainingRule, ...]:
    """Every rule over a Run, in the order of the codes."""
    found = [rule() for module in (finite, loss, units) for rule in module.RULES]
    return tuple(sorted(found, key=lambda rule: rule.code))
