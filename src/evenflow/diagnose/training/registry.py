"""All rules of a training."""

from __future__ import annotations

from functools import cache

from evenflow.diagnose.baseline import ProfileMoved
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
    start,
    units,
    updates,
)
from evenflow.diagnose.training.rule import TrainingRule


def every_rule() -> tuple[Explained, ...]:
    """Rules of every kind, over a Record, a Run and a stored profile, in the order of the codes."""
    return (*rules(), *training_rules(), ProfileMoved())


@cache
def training_rules() -> tuple[TrainingRule, ...]:
    """Every rule over a Run, in the order of the codes."""
    modules = (finite, gradients, loss, precision, rank, setup, signal, start, units, updates)
    found = [rule() for module in modules for rule in module.RULES]
    return tuple(sorted(found, key=lambda rule: rule.code))
