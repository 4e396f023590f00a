"""Diagnose a training: apply the rules to its Run, and tell causes from what follows from them."""

from __future__ import annotations

from evenflow.diagnose.causes import attribute
from evenflow.diagnose.finding import Diagnosis, RuleOutcome
from evenflow.diagnose.rule import Skipped
from evenflow.diagnose.training.registry import training_rules
from evenflow.diagnose.training.rule import TrainingRule
from evenflow.diagnose.training.thresholds import Thresholds
from evenflow.record.run import Run


def diagnose_run(run: Run, limits: Thresholds | None = None) -> Diagnosis:
    """Apply every rule to ``run``, finished or not, as far as it has come.

    A rule that lacks what it needs is reported as skipped, with the reason; so is one that fails.
    """
    limits = limits or Thresholds()
    return attribute(Diagnosis(tuple(_apply(rule, run, limits) for rule in training_rules())))


def _apply(rule: TrainingRule, run: Run, limits: Thresholds) -> RuleOutcome:
    if not len(run.steps):
        return RuleOutcome(rule.code, rule.name, skipped="no step was recorded")
    try:
        found = rule.check(run, limits)
    except Exception as error:
        return RuleOutcome(
            rule.code, rule.name, skipped=f"the rule failed: {type(error).__name__}: {error}"
        )
    if isinstance(found, Skipped):
        return RuleOutcome(rule.code, rule.name, skipped=found.reason)
    return RuleOutcome(rule.code, rule.name, findings=tuple(found))
