"""Sampler: what stands in for rules. The framework that can run operations provides it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from evenflow.graph.moments import Moments
from evenflow.graph.recurrent.recurrences import Recurrence
from evenflow.graph.rules.registry import Rule, Step

Known = Mapping[str, Moments]


@dataclass(frozen=True)
class Sampler:
    """All raise ``NoRuleError`` for what cannot be run."""

    rule: Rule
    """For a single operation."""
    forward: Callable[[Recurrence, Step], Known]
    """Moments of each value of a scan; the step is that of its last operation."""
    backward: Callable[[Recurrence, Step, Known], Known]
    """Moments of the whole gradients of its values, and of what they send to each operand, given
    those that reach its values from elsewhere."""
