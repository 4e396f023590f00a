"""All rules of a training."""

from __future__ import annotations

from functools import cache

from evenflow.diagnose.registry import rules
from evenflow.diagnose.rule import Explained
from evenflow.diagnose.training import (
    finite,
    gradients,
    loss,
    precision,
    rank,
    setup,
    signal,
    units,
    updates,
)
from evenflow.diagnose.training.rule import TrainingRule


def every_rule() -> tuple[Explained, ...]:
    """Rules of both kinds, over a Record and over a Run, in the order of the codes."""
    return (*rules(), *training_rules())


@cache
def training_rules() -> tuple[TrainingRule, ...]:
    """Every rule over a Run, in the order of the codes."""
    modules = (finite, gradients, loss, precision, rank, setup, signal, units, updates)
    found = [rule() for module in modules for rule in module.RULES]
    return tuple(sorted(found, key=lambda rule: rule.code))
