"""Rules over the Run of a training."""

from evenflow.diagnose.training.diagnosis import diagnose_run
from evenflow.diagnose.training.registry import training_rules
from evenflow.diagnose.training.rule import TrainingRule
from evenflow.diagnose.training.thresholds import Thresholds

__all__ = ["Thresholds", "TrainingRule", "diagnose_run", "training_rules"]
