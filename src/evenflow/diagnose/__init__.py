"""Rules over what was measured, and their findings."""

from evenflow.diagnose.diagnosis import diagnose
from evenflow.diagnose.finding import Diagnosis, Finding, Level, RuleOutcome
from evenflow.diagnose.registry import find, rules
from evenflow.diagnose.rule import Rule

__all__ = ["Diagnosis", "Finding", "Level", "Rule", "RuleOutcome", "diagnose", "find", "rules"]
