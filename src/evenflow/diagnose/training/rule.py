"""TrainingRule: one named check over the Run of a training."""

from __future__ import annotations

from abc import abstractmethod

from evenflow.diagnose.finding import Finding
from evenflow.diagnose.rule import Explained, Skipped
from evenflow.diagnose.training.thresholds import Thresholds
from evenflow.record.run import Run


class TrainingRule(Explained):
    """One check of a Run, at any moment of the training."""

    @abstractmethod
    def check(self, run: Run, limits: Thresholds) -> list[Finding] | Skipped:
        """Look at a Run of at least one sample; Skipped where it lacks what the rule needs."""
